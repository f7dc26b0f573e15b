"""Every adapter's reading of its upstream's webhook: which chat a message of ours was sent to, and nothing else."""

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.presence.model import Chat
from gateway.upstreams.reading import at, chats, decode, instant
from gateway.upstreams.registry import ADAPTERS

FIXTURES = Path(__file__).parents[1] / "fixtures" / "events"
EXAMPLES = {
    f"{path.parent.name}/{path.stem}": json.loads(path.read_text(encoding="utf-8"))
    for path in sorted(FIXTURES.glob("*/*.json"))
}
OF_KIND = {
    kind: [name for name in EXAMPLES if name.startswith(f"{kind}/")]
    for kind in sorted({name.partition("/")[0] for name in EXAMPLES})
}


def sent_to(name: str, event: object) -> tuple[Chat, ...]:
    """What the adapter of this example reads in an event that arrived as JSON."""
    return ADAPTERS[name.partition("/")[0]].sent_to(decode(json.dumps(event).encode()))


@pytest.mark.parametrize("name", EXAMPLES)
def test_an_example_names_exactly_the_chats_that_it_says(name: str) -> None:
    assert tuple(map(Chat, EXAMPLES[name]["sent_to"])) == sent_to(name, EXAMPLES[name]["event"])


def louder(value: Any) -> Any:
    """The same event from a build that writes its keys in other letters."""
    if isinstance(value, dict):
        return {key.swapcase(): louder(item) for key, item in value.items()}
    return [louder(item) for item in value] if isinstance(value, list) else value


@pytest.mark.parametrize("name", EXAMPLES)
def test_letter_case_of_the_keys_does_not_change_what_an_event_means(name: str) -> None:
    assert tuple(map(Chat, EXAMPLES[name]["sent_to"])) == sent_to(name, louder(EXAMPLES[name]["event"]))


def test_every_kind_has_its_examples_and_every_example_its_kind() -> None:
    assert set(ADAPTERS) == set(OF_KIND)


@pytest.mark.parametrize("kind", ADAPTERS)
def test_a_kind_has_examples_of_ours_of_theirs_of_a_group_of_a_lid_of_a_status_and_of_another_event(kind: str) -> None:
    named = [set(EXAMPLES[name]["sent_to"]) for name in OF_KIND[kind]]
    servers = {jid.partition("@")[2] for jids in named for jid in jids}
    names = " ".join(OF_KIND[kind])
    assert {"s.whatsapp.net", "g.us", "lid"} <= servers
    assert all(f"{kind}/{words}" in names for words in ("ours_status", "theirs"))
    assert [name for name in OF_KIND[kind] if not name.startswith((f"{kind}/ours", f"{kind}/theirs"))]


@pytest.mark.parametrize("name", EXAMPLES)
def test_where_each_example_comes_from_is_written_down(name: str) -> None:
    kind, _, stem = name.partition("/")
    section = (FIXTURES / "SOURCES.md").read_text(encoding="utf-8").partition(f"## {kind}\n")[2].partition("\n## ")[0]
    assert f"`{stem}`" in section


DOCS = (Path(__file__).parents[2] / "docs" / "upstreams.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("kind", ADAPTERS)
def test_the_document_says_how_its_webhook_is_pointed_at_us(kind: str) -> None:
    section = DOCS.partition("## Point its webhook at the gateway\n")[2].partition("\n## ")[0]
    assert f"\n| `{kind}` |" in section
    assert f"\n**{kind}**: " in section


WORDS = sorted(
    {
        "5511999999999",
        "5511999999999:12@c.us",
        "true_5511999999999@c.us_3EB0",
        "status@broadcast",
        "123@lid",
        "@lid",
        "_",
        "x" * 65,
    }
)
LEAVES = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=8)
JSON: st.SearchStrategy[Any] = st.recursive(
    LEAVES | st.sampled_from(WORDS),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)


def places(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Every path in a JSON value."""
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [path, *(place for key, item in inner for place in places(item, (*path, key)))]


def replaced(value: Any, path: tuple[Any, ...], new: object) -> Any:
    """A copy of a JSON value with another one at this path."""
    if not path:
        return new
    copy = dict(value) if isinstance(value, dict) else list(value)
    copy[path[0]] = replaced(copy[path[0]], path[1:], new)
    return copy


@pytest.mark.parametrize("kind", ADAPTERS)
def test_any_one_place_of_an_example_may_hold_anything(kind: str) -> None:
    odd: list[Any] = [None, True, 0, "x", [], {}]
    for name in OF_KIND[kind]:
        event = EXAMPLES[name]["event"]
        for place in places(event):
            for value in odd:
                altered = replaced(event, place, value)
                assert_named_in(altered, sent_to(name, altered))


@st.composite
def spoiled(draw: st.DrawFn) -> tuple[str, Any]:
    """An example of which up to three places hold something else."""
    name = draw(st.sampled_from(sorted(EXAMPLES)))
    event = EXAMPLES[name]["event"]
    for _ in range(draw(st.integers(0, 3))):
        event = replaced(event, draw(st.sampled_from(places(event))), draw(JSON))
    return name, event


def assert_named_in(event: object, named: tuple[Chat, ...]) -> None:
    text = json.dumps(event, ensure_ascii=False).translate(str.maketrans("", "", "+ -.()"))
    assert all(chat.user.replace("-", "") in text for chat in named)
    assert all(Chat.parse(chat.jid) == chat and chat.server != "broadcast" for chat in named)


@given(JSON)
def test_any_json_is_read_by_every_adapter_and_names_no_chat_of_its_own_making(event: object) -> None:
    for kind in ADAPTERS:
        assert_named_in(event, sent_to(f"{kind}/", event))


@given(spoiled())
def test_an_example_that_is_spoiled_anywhere_raises_nothing_and_names_no_chat_that_is_not_in_it(
    example: tuple[str, Any],
) -> None:
    name, event = example
    assert_named_in(event, sent_to(name, event))


@pytest.mark.parametrize("body", [b"", b"{", b"\xff", b"[" * 100_000, b'{"a":' * 2_000 + b"1" + b"}" * 2_000])
def test_what_is_no_json_or_nested_beyond_reason_is_nothing(body: bytes) -> None:
    assert decode(body) is None


NEW_YEAR_S = 1_767_225_600


@pytest.mark.parametrize("name", [name for name in EXAMPLES if EXAMPLES[name]["sent_to"] and "sandbox" not in name])
def test_an_event_of_ours_says_when_its_message_was_sent(name: str) -> None:
    assert ADAPTERS[name.partition("/")[0]].sent_at(decode(json.dumps(EXAMPLES[name]["event"]).encode())) == NEW_YEAR_S


@pytest.mark.parametrize(
    "said",
    [
        NEW_YEAR_S,
        float(NEW_YEAR_S),
        NEW_YEAR_S * 1_000,
        NEW_YEAR_S * 1_000_000,
        str(NEW_YEAR_S),
        f"{NEW_YEAR_S}000",
        "2026-01-01T00:00:00Z",
        "2026-01-01T00:00:00.000000000Z",
        "2025-12-31T21:00:00-03:00",
        {"low": NEW_YEAR_S, "high": 0, "unsigned": True},
    ],
)
def test_a_time_is_read_in_whatever_way_it_is_said(said: object) -> None:
    assert instant(said) == NEW_YEAR_S


@pytest.mark.parametrize(
    "said",
    [
        None,
        True,
        0,
        -1,
        10**400,
        1e18,
        "",
        "soon",
        "9" * 5_000,
        "²",
        "2026-01-01T00:00:00",
        "9999-99-99",
        [1],
        {"low": "1"},
    ],
)
def test_what_says_no_time_is_none(said: object) -> None:
    assert instant(said) is None


@given(JSON)
def test_any_value_is_a_time_of_the_last_millennia_or_none(value: object) -> None:
    when = instant(value)
    assert when is None or 0 < when < 1e12


def test_a_chat_that_is_named_twice_is_one_and_what_is_no_chat_is_none() -> None:
    phone = Chat("5511999999999@s.whatsapp.net")
    assert (phone,) == chats("5511999999999", "5511999999999@c.us", None, 5511999999999, "system", {"user": "1"})


def test_a_path_that_leads_nowhere_is_nothing() -> None:
    astray: list[Any] = [None, 1, "a", {"a": "b"}, {"a": []}, [1]]
    assert at({"a": [{"b": 1}]}, "a", 0, "b") == 1
    assert [at(value, "a", 0) for value in astray] == [None] * len(astray)
