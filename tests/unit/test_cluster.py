"""The URL of a cluster, and the map of who holds which slot."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from redis.crc import key_slot
from redis.exceptions import ConnectionError as RedisConnectionError

from gateway.settings import SettingsError, load
from gateway.store.cluster import Address, Place, SlotMap

Told = list[list[object]]
LAST = 16383


def test_a_url_names_nodes_and_credentials() -> None:
    url = "cluster://me:s%40cret@a:1,b,[::1]:3,[::2]"
    assert load(environ={"PRESENCE_REDIS__URL": url}).redis.url == url
    address = Address.parse(url)
    assert address == Address((("a", 1), ("b", 6379), ("::1", 3), ("::2", 6379)), "me", "s@cret")


@pytest.mark.parametrize(
    "url",
    [
        "cluster://",
        "cluster://s3cret@",
        "cluster://:s3cret@a:x",
        "cluster://:s3cret@a:70000",
        "cluster://:s3cret@a:0",
        "cluster://:s3cret@a:",
        "cluster://:s3cret@:1",
        "cluster://:s3cret@a:1/0",
        "cluster://:s3cret@a:1?db=0",
    ],
)
def test_a_url_that_names_too_little_or_too_much_is_refused_without_its_password(url: str) -> None:
    with pytest.raises(ValueError, match="a cluster URL") as refused:
        Address.parse(url)
    assert "s3cret" not in str(refused.value)
    with pytest.raises(SettingsError, match=r"\[redis\] url: a cluster is cluster://host:port") as reported:
        load(environ={"PRESENCE_REDIS__URL": url})
    assert "s3cret" not in str(reported.value)


class Nodes(SlotMap):
    """A map whose nodes are told by a test what to say; one that is not told is away, `None` is silent."""

    def __init__(self, *seeds: Place, says: dict[Place, Told | None]) -> None:
        super().__init__(Address(seeds, None, None), connect_timeout_s=0.5)
        self.says = says
        self.asked: list[Place] = []

    async def _told_by(self, place: Place) -> Told:
        self.asked.append(place)
        await asyncio.sleep(0)
        if place not in self.says:
            raise RedisConnectionError
        told = self.says[place]
        if told is None:
            await asyncio.Event().wait()
        assert told is not None
        return told


A, B, C = ("a", 1), ("b", 2), ("c", 3)
HALVES: Told = [[0, 8191, [b"a", 1, b"id"], [b"c", 3, b"id"]], [8192, LAST, [b"b", 2, b"id"]]]


async def test_any_node_says_who_holds_what_and_who_else_there_is() -> None:
    slots = Nodes(B, says={B: HALVES})
    assert (await slots.find(0), await slots.find(8191), await slots.find(8192), await slots.find(LAST)) == (A, A, B, B)
    assert slots.primaries == {A, B}
    assert set(slots.nodes()) == {A, B, C}
    assert slots.asked == [B]


async def test_a_node_without_a_host_of_its_own_is_where_it_was_asked() -> None:
    slots = Nodes(A, says={A: [[0, 9, [b"", 7, b"id"]], [10, 19, [None, 8, b"id"]], [20, LAST, [b"?", 9, b"id"]]]})
    assert (await slots.find(0), await slots.find(10)) == (("a", 7), ("a", 8))
    with pytest.raises(RedisConnectionError, match="who holds"):
        await slots.find(20)


async def test_a_node_that_is_away_or_silent_or_of_no_cluster_is_passed_over() -> None:
    slots = Nodes(("away", 1), ("silent", 2), ("alone", 3), B, says={("silent", 2): None, ("alone", 3): [], B: HALVES})
    assert await slots.find(0) == A


async def test_what_was_known_stays_while_nobody_answers() -> None:
    slots = Nodes(A, says={A: HALVES})
    await slots.refresh()
    slots.says.clear()
    await slots.refresh()
    assert slots.holder(0) == A
    slots.doubt()
    assert await slots.find(0) == A


async def test_nobody_is_asked_again_before_there_is_a_doubt() -> None:
    slots = Nodes(A, says={A: HALVES, B: HALVES, C: HALVES})
    for _ in range(3):
        await slots.find(0)
    assert len(slots.asked) == 1
    slots.doubt()
    for _ in range(3):
        await slots.find(0)
    assert len(slots.asked) == 2


async def test_what_a_primary_says_of_one_slot_holds_at_once_and_the_rest_is_doubted() -> None:
    slots = Nodes(A, says={A: HALVES, B: HALVES, C: HALVES})
    await slots.refresh()
    slots.moved(5, ("d", 4))
    assert (slots.holder(5), slots.holder(6)) == (("d", 4), A)
    assert ("d", 4) in slots.primaries
    assert await slots.find(5) == A  # what the cluster says now


async def test_however_many_ask_at_once_the_cluster_is_asked_once_and_then_not_at_once_again() -> None:
    slots = Nodes(A, says={A: HALVES, B: HALVES, C: HALVES})
    loop = asyncio.get_running_loop()
    began = loop.time()
    await asyncio.gather(*(slots.refresh() for _ in range(1000)))
    assert len(slots.asked) == 1
    await slots.refresh()
    await slots.refresh()
    assert len(slots.asked) == 3
    assert loop.time() - began > 0.09


async def test_the_next_question_goes_to_another_node() -> None:
    slots = Nodes(A, says={A: HALVES, B: HALVES, C: HALVES})
    for _ in range(4):
        await slots.refresh()
    assert set(slots.asked) == {A, B, C}


@asynccontextmanager
async def asking(slots: SlotMap) -> AsyncIterator["asyncio.Task[None]"]:
    task = asyncio.create_task(slots.refresh())
    await asyncio.sleep(0.01)
    yield task
    await asyncio.gather(task, return_exceptions=True)


async def test_whoever_stops_waiting_leaves_the_question_to_the_others() -> None:
    slots = Nodes(A, says={A: None})
    async with asking(slots) as first, asking(slots) as second:
        slots.says = {A: HALVES}
        first.cancel()
        await second
    assert slots.holder(0) == A


def test_the_tags_of_our_keys_are_in_65_slots() -> None:
    tags = [f"{number:02d}" for number in range(64)] + ["t"]
    assert len({key_slot(f"pg:{{{tag}}}:x".encode()) for tag in tags}) == 65
