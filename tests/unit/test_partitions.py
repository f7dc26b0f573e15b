"""Which partition a chat is in, which keys are always on one server, and which worker looks after what."""

import re
from collections import Counter
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway import store
from gateway.store import keys
from gateway.store.worker_registry import partitions_of

EVERY = frozenset(range(keys.PARTITIONS))
LUA = sorted(Path(store.__file__).parents[1].glob("*/lua/*.lua"))

ids = st.from_regex(r"i[0-9a-f]{12}", fullmatch=True)
places = st.builds(lambda one, moves: f"{one}~{moves}" if moves else one, ids, st.integers(0, 99))
jids = st.sampled_from(["5511999999999@s.whatsapp.net", "1203630@g.us", "1@newsletter", "a:b@lid"])
names = st.sets(st.text(st.characters(codec="utf-8"), min_size=1, max_size=20), min_size=1, max_size=6)


@given(ids, st.integers(1, 10_000))
def test_all_places_of_an_instance_are_in_one_partition(instance_id: str, moves: int) -> None:
    assert keys.partition(f"{instance_id}~{moves}") == keys.partition(instance_id) in EVERY


def test_a_partition_is_what_it_always_was() -> None:
    """Redis holds chats under it: another hash, or another count, would lose them."""
    assert keys.PARTITIONS == 64
    assert [keys.partition(name) for name in ("i1", "i2", "i0123456789ab", "i1~7")] == [43, 17, 41, 43]


def test_instances_are_spread_over_the_partitions() -> None:
    counts = Counter(keys.partition(f"i{number:012x}") for number in range(6400))
    assert counts.keys() == EVERY
    assert max(counts.values()) < 2 * 100


def tag_of(key: str) -> str:
    """Return what a cluster hashes of a key: what is in its first braces, where that is not empty."""
    (tag,) = re.findall(r"^[^{]*\{([^}]+)\}", key)
    return str(tag)


@given(places, jids)
def test_every_key_of_a_chat_has_the_tag_of_its_partition(chats_id: str, jid: str) -> None:
    number = keys.partition(chats_id)
    of_the_chat = [keys.record(chats_id, jid), keys.chats(chats_id), keys.ends(chats_id)]
    of_the_partition = [keys.queue(number), keys.late(number), keys.resting(number)]
    assert {tag_of(key) for key in (*of_the_chat, *of_the_partition)} == {f"{number:02}"}


def test_every_other_key_has_the_tag_of_tenants() -> None:
    constants = {name: value for name, value in vars(keys).items() if name.isupper() and isinstance(value, str)}
    del constants["SOONER"]  # a channel, which is on every server
    made = [
        keys.account("x"),
        keys.instances("x"),
        keys.account_tokens("x"),
        keys.instance("x"),
        keys.former("x~1"),
        keys.session("x"),
        keys.instance_tokens("x"),
        keys.audit("x"),
        keys.token("x"),
        keys.window("x", "c"),
        keys.failures("127.0.0.1"),
    ]
    assert {tag_of(key) for key in (*constants.values(), *made)} == {"t"}


def test_nobody_names_a_key_that_is_not_tried_here() -> None:
    functions = {name for name, value in vars(keys).items() if callable(value) and not name.startswith("_")}
    assert functions - {"Final", "lru_cache"} == {
        *("account", "instances", "account_tokens", "instance", "former", "session", "instance_tokens", "audit"),
        *("token", "window", "failures", "record", "chats", "ends", "queue", "late", "resting"),
        *("partition", "instance_of"),  # which make none
    }


@pytest.mark.parametrize("script", LUA, ids=lambda file: file.stem)
def test_a_script_makes_no_key_but_under_a_tag(script: Path) -> None:
    """It may take the tag of its first key, or name that of tenants; never a name without one."""
    code = "\n".join(line.partition("--")[0] for line in script.read_text(encoding="utf-8").splitlines())
    named = set(re.findall(r"""['"](\^?\(?pg:[^'"]*)""", code))
    if "tenants" in str(script):
        assert {name for name in named if not name.startswith("pg:{t}:")} == set()
    else:
        assert named <= {"^pg:{%d%d}:", "^pg:{%d%d}:c:([^:]+):(.+)$", "^pg:{%d%d}:chats:(.+)$"} | {
            "^(pg:{%d%d}:)chats:(.+)$",
            "pg:sooner",
        }


@given(names)
def test_each_partition_has_exactly_one_worker(workers: set[str]) -> None:
    shared = [partitions_of(name, workers) for name in workers]
    assert sum(map(len, shared)) == keys.PARTITIONS
    assert frozenset().union(*shared) == EVERY


@given(names, st.data())
def test_a_worker_that_goes_or_comes_moves_no_partition_but_its_own(workers: set[str], data: st.DataObject) -> None:
    gone = data.draw(st.sampled_from(sorted(workers)))
    for name in workers - {gone}:
        moved = partitions_of(name, workers - {gone}) - partitions_of(name, workers)
        assert partitions_of(name, workers) <= partitions_of(name, workers - {gone})
        assert moved <= partitions_of(gone, workers)


def test_a_worker_that_has_heard_of_nobody_looks_after_everything() -> None:
    assert partitions_of("me", []) == EVERY
    assert partitions_of("me", ["me"]) == EVERY


def test_workers_have_about_as_much_each() -> None:
    """As processes are named: alike but for a number."""
    for count in (2, 3, 8):
        workers = [f"host-{1000 + number}-{number:016x}" for number in range(count)]
        shares = [len(partitions_of(name, workers)) for name in workers]
        assert min(shares) >= keys.PARTITIONS / count / 3
        assert max(shares) <= 2 * keys.PARTITIONS / count
