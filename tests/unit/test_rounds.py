"""How a worker finds what to do, without Redis: places that come free, looks that fail, notices that come in crowds."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Collection, Coroutine, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from gateway.presence.errors import StoreUnavailable
from gateway.presence.model import Chat, State
from gateway.presence.places import Places
from gateway.presence.steps import ChatKey, Claim, Grant, Look
from gateway.presence.wakeups import WakeUpResult
from workers.rounds import LOOK_EVERY_S, Rounds
from workers.watch import Watch

Answer = Claim | int | None


def chat(number: int) -> ChatKey:
    return ChatKey("i1", Chat(f"55119{number:08}@s.whatsapp.net"))


def claim_of(key: ChatKey) -> Claim:
    return Claim(Grant(key, "w", State.PAUSED, 0.0), 0, 0, is_echo=False, trace="", why="")


@dataclass
class World:
    """A partition whose chats are due in so many seconds from when it began, and what a worker did about it."""

    due_s: dict[ChatKey, float] = field(default_factory=dict)
    answer: Callable[[ChatKey], Answer] = claim_of
    fails: int = 0
    looks: int = 0
    claimed: list[ChatKey] = field(default_factory=list)
    done: list[ChatKey] = field(default_factory=list)
    begun: set[asyncio.Task[None]] = field(default_factory=set)
    began_s: float = field(default_factory=time.monotonic)

    async def in_use(self, partitions: Collection[int]) -> Collection[int]:
        return partitions

    async def look(self, partition: int, *, ahead_ms: int) -> Look:
        self.looks += 1
        if self.fails:
            self.fails -= 1
            raise StoreUnavailable
        await asyncio.sleep(0)
        passed_s = time.monotonic() - self.began_s
        waits_ms = {key: round((at_s - passed_s) * 1000) for key, at_s in self.due_s.items()}
        return Look([(key, in_ms) for key, in_ms in waits_ms.items() if in_ms <= ahead_ms], may_rest=False)

    async def claim(self, chats: Sequence[ChatKey], *, owner: str) -> list[Answer]:
        await asyncio.sleep(0)
        self.claimed += chats
        return [self.answer(key) for key in chats]

    async def perform(self, claim: Claim, change: str | None) -> WakeUpResult:
        self.done.append(claim.grant.key)
        self.due_s.pop(claim.grant.key, None)
        return WakeUpResult("paused")

    @staticmethod
    def partition(_: ChatKey) -> int:
        return 0

    async def account_of(self, chats_id: str) -> str:
        return "a1"

    async def latest_change(self) -> str:
        return "1"

    def begin(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        self.begun.add(task)
        task.add_done_callback(self.begun.discard)


async def nothing(*_: object) -> None:
    """Do what is no part of the test."""


async def no_tidying() -> bool:
    return False


@asynccontextmanager
async def rounds(world: World, *, places: int = 100) -> AsyncIterator[Rounds]:
    """Do the rounds inside the block."""
    made = Rounds(
        world,  # type: ignore[arg-type]
        world,  # type: ignore[arg-type]
        Places(places),
        Watch(asyncio.Event()),
        mine=lambda: {0},
        begin=world.begin,
        perform=world.perform,
        rest=nothing,
        beat=no_tidying,
        tidy=nothing,
    )

    async def go() -> None:
        while True:
            await made.once()

    going = asyncio.create_task(go())
    try:
        yield made
    finally:
        going.cancel()
        await asyncio.gather(going, return_exceptions=True)
        await made.close()


async def until(condition: Callable[[], bool], *, within_s: float) -> float:
    """Wait for something that must happen; returns how long that took."""
    began = time.monotonic()
    while not condition():
        assert time.monotonic() - began < within_s, "it did not happen in time"
        await asyncio.sleep(0.001)
    return time.monotonic() - began


async def test_a_place_that_comes_free_at_once_is_for_whoever_waits() -> None:
    """However soon after a claim, and though nothing else is due: not for the next look."""
    world = World({chat(number): 0.0 for number in range(4)}, answer=lambda _: None)
    async with rounds(world, places=1):
        await until(lambda: set(world.claimed) == {chat(number) for number in range(4)}, within_s=LOOK_EVERY_S / 2)


async def test_a_crowd_of_notices_is_one_look_or_two() -> None:
    world = World()
    async with rounds(world) as made:
        await until(lambda: world.looks == 1, within_s=0.5)
        for _ in range(1000):
            made.told(0)
        await asyncio.sleep(0.2)
        assert 2 <= world.looks <= 3
