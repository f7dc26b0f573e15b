"""A process' connections to the primaries, which lose things, and its subscription to what wakes up sooner."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any, Self

from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import TimeoutError as RedisTimeoutError

from model.events import CURRENT, Command, Wake
from model.keyspace import STORES

if TYPE_CHECKING:
    from model.node import Node
    from model.simulation import World

REDIS_TIMEOUT_S = 2.0
PASSING_S = 0.01
"""For so long at the most what is in no hurry waits for company (`fast/pipeline.py`)."""

_WAKES = {"claim", "settle", "refreshed"}

_IDLE = {"look", "enlist_worker"}
"""What a process does again and again, whether or not there is work. Who dies at it dies between two pieces of work."""


class Link:
    """What the code takes for a Redis client; it knows the slots as a client of a cluster does, or one server only."""

    def __init__(self, world: "World", node: "Node", server: int | None = None) -> None:
        self._world, self._node, self._server = world, node, server
        self._slots = dict(world.stores.home)
        self._held: list[list[str]] = []  # remembered: it is asked for all the time

    async def execute_command(self, *words: Any) -> Any:
        try:
            return await self._once(words)
        except RedisConnectionError:
            await asyncio.sleep(0.01)  # the pool tries once more on a fresh connection
            return await self._once(words)

    async def execute_in_passing(self, *words: Any) -> Any:
        await self._node.sleep(self._world.dice.uniform(0, PASSING_S))
        return await self.execute_command(*words)

    def at(self, store: int) -> "Link":
        """Return the same for one server."""
        return Link(self._world, self._node, store)

    @property
    def knows_all(self) -> bool:
        """Whether it knows where every slot is now."""
        return self._slots == self._world.stores.home

    def held(self, names: Sequence[str]) -> list[list[str]]:
        """Say which keys of partitions each server holds, as far as this client knows."""
        if not self._held:
            self._held = [[name for name in names if self._slots.get(int(name[4:6]), 0) == store] for store in STORES]
        return self._held

    def _store_for(self, words: tuple[Any, ...]) -> int:
        partition = self._world.stores.partition_of(words)
        return self._slots[partition] if partition is not None and self._server is None else self._server or 0

    async def _once(self, words: tuple[Any, ...]) -> Any:
        world, node, faults, dice = self._world, self._node, self._world.faults, self._world.dice
        counts = world.stores.script_of(words) not in _IDLE and words[0] != "INFO"
        await node.edge("redis before", counts=counts)
        asked_at = world.now
        falls = self._falls_now(words) and dice.choice(("before", "after"))
        if falls == "before":
            world.stores.fall(self._store_for(words), faults.down_at_claim)
        lost = self._what_is_lost()
        silent = bool(lost) and dice.random() < faults.silent
        await asyncio.sleep(dice.uniform(*faults.latency_s))
        store = await self._arrive(words)
        if lost:
            world.say(f"{node.name}: redis {lost} lost{' silently' if silent else ''}")
            world.disturb(world.now, world.now)
            _mark(CURRENT.get())
        if lost != "request":
            reply = world.stores.run(store, words, CURRENT.get())
        if falls == "after":
            world.stores.fall(store, faults.down_at_claim)
            raise RedisConnectionError("its process died after it had run this")
        await asyncio.sleep(REDIS_TIMEOUT_S if silent else dice.uniform(*faults.latency_s))
        if (cut := world.stores.window(store)) is not None and cut.how == "cut":
            await asyncio.sleep(min(cut.to - world.now, REDIS_TIMEOUT_S))
        await node.edge("redis after", counts=counts)
        if lost:
            _arrives_anew(CURRENT.get())
        if lost or (world.now - asked_at >= REDIS_TIMEOUT_S and dice.random() < 0.5):
            raise RedisTimeoutError("silent") if silent or not lost else RedisConnectionError("reset")
        return reply

    def _what_is_lost(self) -> str:
        faults, dice = self._world.faults, self._world.dice
        if self._world.now < faults.until:
            if faults.lost_request and dice.random() < faults.lost_request:
                return "request"
            if faults.lost_reply and dice.random() < faults.lost_reply:
                return "reply"
        return ""

    def _falls_now(self, words: tuple[Any, ...]) -> bool:
        """Whether Redis dies at this step of a wake-up: at one of its first few."""
        faults = self._world.faults
        in_a_wake_up = self._node.role == "worker" and self._world.stores.script_of(words) in _WAKES
        return bool(faults.down_at_claim and not faults.store and in_a_wake_up and self._world.dice.random() < 0.4)

    async def _arrive(self, words: tuple[Any, ...]) -> int:
        """Reach the primary that has the slot: ask where it was, go where that says, wait while it is handed over."""
        stores = self._world.stores
        partition = stores.partition_of(words)
        while True:
            store = self._store_for(words)
            await self._while_down(store, words)
            if (closed_s := stores.closed_s(partition)) > 0:
                await asyncio.sleep(closed_s)
            elif partition is None or self._server is not None or stores.home[partition] == store:
                return store
            else:
                self._slots[partition] = stores.home[partition]
                self._held = []
                await asyncio.sleep(self._world.dice.uniform(0.0004, 0.002))

    async def _while_down(self, store: int, words: tuple[Any, ...]) -> None:
        """Be refused, or wait for a Redis that is stopped, where it is so now."""
        world, node = self._world, self._node
        down = world.stores.window(store)
        if down is None:
            return
        goes_on_at = down.to + world.dice.uniform(0, 0.02)
        is_silent = down.how in {"stopped", "cut"}
        if is_silent and goes_on_at - world.now <= REDIS_TIMEOUT_S:
            await asyncio.sleep(goes_on_at - world.now)
            return
        if is_silent:
            # It reads what its socket holds when it goes on, whether or not somebody still waits.
            if down.how == "stopped" or world.dice.random() < 0.5:
                world.loop.call_at(goes_on_at, world.stores.run_unheard, store, words, CURRENT.get())
            await asyncio.sleep(REDIS_TIMEOUT_S)
        await node.passes()
        _mark(CURRENT.get())
        raise RedisTimeoutError("stopped") if is_silent else RedisConnectionError("refused")


async def by_server(executor: Link, names: Sequence[str]) -> list[tuple[Link, list[str]]]:
    """Stand for `store.connections.by_server`: each server that a process knows, and the keys that it holds."""
    return [(executor.at(store), held) for store, held in zip(STORES, executor.held(names), strict=True)]


async def are_absent(_executor: Link, _names: Sequence[str]) -> bool:
    """Stand for `store.connections.are_absent`, on a cluster."""
    return False


class Notices:
    """What `workers.notices` takes for a Redis: one worker's subscription, on some primary."""

    def __init__(self, world: "World", node: "Node") -> None:
        self._world, self._node = world, node
        self._store = 0
        self._said: asyncio.Queue[bytes | None] | None = None

    @asynccontextmanager
    async def open(self) -> AsyncIterator[Self]:
        yield self

    @asynccontextmanager
    async def pubsub(self) -> AsyncIterator[Self]:
        try:
            yield self
        finally:
            self._said = None

    async def subscribe(self, _: str) -> None:
        world = self._world
        await self._node.passes()
        self._store = world.dice.choice(STORES)
        down = world.stores.window(self._store)
        if down is not None and down.how in {"down", "failover"}:
            raise RedisConnectionError("refused")
        if down is not None:
            await asyncio.sleep(down.to - world.now)
        await asyncio.sleep(world.dice.uniform(0.0004, 0.002))
        await self._node.passes()
        self._said = asyncio.Queue()

    async def get_message(self, *, ignore_subscribe_messages: bool, timeout: float) -> dict[str, bytes] | None:  # noqa: ASYNC109 - redis-py's
        assert self._said is not None
        try:
            said = await asyncio.wait_for(self._said.get(), timeout)
        except TimeoutError:
            return None
        await self._node.passes()
        if said is None:
            raise RedisConnectionError("reset")
        return {"data": said}

    async def ping(self) -> None:
        pass

    def said(self, store: int, notice: bytes) -> None:
        """Hear what a primary published, unless it is lost on its way: they tell each other only while both live."""
        world = self._world
        if self._said is None or world.stores.window(self._store) is not None or world.stores.window(store) is not None:
            return
        if (
            world.faults.lost_notice
            and world.now < world.faults.until
            and world.dice.random() < world.faults.lost_notice
        ):
            world.say(f"{self._node.name}: does not hear of {notice.decode()}")
            world.disturb(world.now, world.now)
            return
        world.loop.call_later(world.dice.uniform(0.0002, 0.001), self._said.put_nowait, notice)

    def breaks(self, store: int) -> None:
        """Lose the connection to a primary that died."""
        if self._said is not None and self._store == store:
            self._said.put_nowait(None)


def _arrives_anew(doing: Command | Wake | None) -> None:
    """Its place among the chat's commands was lost with the reply, unless it had its lease."""
    if isinstance(doing, Command) and (doing.granted_at is None or doing.is_repeat):
        doing.ran_at = None
        if doing.is_repeat:
            doing.granted_at = doing.answered_at = doing.outcome = None
            doing.is_repeat = False


def _mark(doing: Command | Wake | None) -> None:
    if isinstance(doing, Command):
        doing.disturbed = True
