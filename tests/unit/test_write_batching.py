"""What one turn of the event loop sends to upstreams leaves at its end, in order, and is neither kept nor lost."""

import asyncio
from typing import cast

from gateway.fast.write_batching import WriteBatch


class Wire:
    """Stands where a transport does, and notes what happens to it, together with others of its kind."""

    def __init__(self, name: str, seen: list[tuple[str, bytes]]) -> None:
        self.name = name
        self.seen = seen
        self.is_gone = False

    def write(self, data: bytes) -> None:
        self.seen.append((self.name, data))

    def is_closing(self) -> bool:
        return self.is_gone


def as_transport(wire: object) -> asyncio.Transport:
    return cast("asyncio.Transport", wire)


async def test_writes_of_one_turn_leave_at_its_end_in_their_order() -> None:
    seen: list[tuple[str, bytes]] = []
    batch, a, b = WriteBatch(asyncio.get_running_loop()), Wire("a", seen), Wire("b", seen)
    batch.write(as_transport(a), b"1")
    batch.write(as_transport(b), b"2")
    batch.write(as_transport(a), b"3")
    assert seen == []
    await asyncio.sleep(0)
    assert seen == [("a", b"1"), ("b", b"2"), ("a", b"3")]


async def test_the_next_turn_has_an_end_of_its_own() -> None:
    seen: list[tuple[str, bytes]] = []
    batch, a = WriteBatch(asyncio.get_running_loop()), Wire("a", seen)
    for data in (b"1", b"2"):
        batch.write(as_transport(a), data)
        await asyncio.sleep(0)
    assert seen == [("a", b"1"), ("a", b"2")]


async def test_a_connection_that_has_gone_costs_the_others_nothing() -> None:
    seen: list[tuple[str, bytes]] = []
    batch, a, b = WriteBatch(asyncio.get_running_loop()), Wire("a", seen), Wire("b", seen)
    batch.write(as_transport(a), b"1")
    batch.write(as_transport(b), b"2")
    a.is_gone = True
    await asyncio.sleep(0)
    assert seen == [("b", b"2")]


async def test_much_leaves_at_once_and_what_follows_at_the_end_of_the_turn() -> None:
    seen: list[tuple[str, bytes]] = []
    batch, a = WriteBatch(asyncio.get_running_loop()), Wire("a", seen)
    half = b"x" * 40_000
    batch.write(as_transport(a), half)
    batch.write(as_transport(a), half)
    assert seen == [("a", half), ("a", half)]
    batch.write(as_transport(a), b"more")
    assert len(seen) == 2
    await asyncio.sleep(0)
    assert seen[2:] == [("a", b"more")]
