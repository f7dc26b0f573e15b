"""One simulated process: the real code of a gateway or a worker, from its start to its death."""

import asyncio
import contextlib
from collections.abc import Coroutine
from typing import TYPE_CHECKING, Any, Literal, cast

from redis.asyncio import Redis

from gateway.presence.calls import Calls
from gateway.presence.errors import StoreUnavailable
from gateway.presence.model import Instance
from gateway.presence.places import Places
from gateway.presence.replay import Promises
from gateway.presence.service import Presence
from gateway.presence.steps import Claim
from gateway.presence.wakeups import WakeUpResult, WakeUps
from gateway.store.indicators import RedisIndicators
from gateway.store.redis import Script
from gateway.store.worker_registry import WorkerRegistry
from gateway.tenants.lookups import Lookups
from gateway.upstreams.breaker import Breakers
from model.events import CURRENT, Command, Wake
from model.link import REDIS_TIMEOUT_S, Link, Notices
from model.phone import UPSTREAM_TIMEOUT_S, Phone
from model.stores import LEASE_S
from workers.notices import listen_for_ever
from workers.rounds import Rounds
from workers.watch import Watch

if TYPE_CHECKING:
    from model.simulation import World

ECHO_S = 10.0
NATURAL_S = 10
GIVE_UP_S = 600
MAX_JOBS = 8

Role = Literal["gateway", "worker"]


class Node:
    """A process, from its start to its death."""

    def __init__(self, world: "World", role: Role, name: str) -> None:
        self.world, self.role, self.name = world, role, name
        self.dead = False
        self.leaves = False
        self._going: list[asyncio.Task[Any]] = []
        self.stalled_until = 0.0
        self.ios = 0
        self.tasks: set[asyncio.Task[Any]] = set()
        self.link = Link(world, self)
        self.breakers = Breakers(self.monotonic)
        self.indicators = _Indicators(
            self, lease_s=LEASE_S, echo_s=ECHO_S, patience_s=REDIS_TIMEOUT_S, monotonic=self.monotonic
        )
        self.calls = Calls(Phone(world, self), timeout_s=UPSTREAM_TIMEOUT_S, monotonic=self.monotonic)
        self.directory = Register(world, self.link)
        self.promises: Promises | None = Promises(self.indicators, monotonic=self.monotonic, sleep=self.sleep)
        self.presence = self._make_presence()
        self.wakeups = self._make_wakeups()
        self.places = Places(MAX_JOBS)
        self.registry = WorkerRegistry(self.link, f"{name} since {world.now:.3f}")
        self.rounds = self._make_rounds()
        self.notices = Notices(world, self) if role == "worker" else None

    def begin(self) -> None:
        """Do what such a process does by itself."""
        if self.role == "gateway":
            if self.promises is not None:
                self.start(self.promises.watch())
        else:
            assert self.notices is not None
            listening = listen_for_ever(cast("Any", self.notices.open), self.rounds.told)
            self._going = [self.start(listening), self.start(self._go())]

    @property
    def scripts(self) -> dict[str, Script]:
        """Every script that it runs, by its name."""
        parts = {**vars(self.indicators), **vars(self.registry)}
        return {part._name.rpartition(" ")[2]: part for part in parts.values() if isinstance(part, Script)}

    @property
    def is_busy(self) -> bool:
        """Whether it performs a wake-up, or waits for a store."""
        retries = self.presence._retries
        return bool(self.places.held or retries._retrying or retries._begun)

    def start(self, work: Coroutine[Any, Any, Any]) -> "asyncio.Task[Any]":
        task = self.world.loop.create_task(work)
        self.tasks.add(task)
        task.add_done_callback(self._ended)
        return task

    def monotonic(self) -> float:
        return self.world.now

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)
        await self.passes()

    async def passes(self) -> None:
        """Go on only while this process runs."""
        while True:
            if self.dead:
                await self.world.loop.create_future()
            wait = self.stalled_until - self.world.now
            if wait <= 0:
                return
            await asyncio.sleep(wait)

    async def edge(self, what: str, *, counts: bool = True) -> None:
        """One side of an I/O: here a process is stopped or killed."""
        world, faults, dice = self.world, self.world.faults, self.world.dice
        if not self.dead and self.stalled_until <= world.now:
            if faults.kill_at is not None:
                self.ios += counts
                if counts and not world.kills and faults.kill_at[:2] == (self.name, self.ios):
                    world.kill(self, what)
            elif counts and world.now < faults.until:
                kill, stall = (
                    (faults.kill_gateway, faults.stall_gateway)
                    if self.role == "gateway"
                    else (faults.kill_worker, faults.stall_worker)
                )
                if isinstance(CURRENT.get(), Command):
                    stall = max(stall, faults.stall_command)
                if kill and dice.random() < kill and world.kills < faults.most_kills:
                    world.kill(self, what)
                elif stall and dice.random() < stall and world.kills < faults.most_kills:
                    world.stall(self, what, dice.uniform(*faults.stall_s))
        await self.passes()

    # A worker

    async def leave(self) -> None:
        """End as `workers.worker` does when it is told to: nothing new, say so, and finish what was begun."""
        self.leaves = True
        for task in self._going:
            task.cancel()
        with contextlib.suppress(StoreUnavailable):
            await self.registry.leave()
        await self.rounds.close()

    async def _go(self) -> None:
        await self.passes()
        while True:
            await self.rounds.once()
            await self.passes()

    def _make_presence(self) -> Presence:
        return Presence(
            self.indicators,
            self.calls,
            self.promises,
            natural_end_s=NATURAL_S,
            monotonic=self.monotonic,
            sleep=self.sleep,
        )

    def _make_wakeups(self) -> WakeUps:
        return WakeUps(
            self.indicators,
            self.calls,
            self.directory,
            give_up_s=GIVE_UP_S,
            monotonic=self.monotonic,
            sleep=self.sleep,
            jitter=lambda: self.world.dice.uniform(0.8, 1.2),
        )

    def _make_rounds(self) -> Rounds:
        return _Rounds(
            self,
            self.indicators,
            self.directory,
            self.places,
            _Watch(asyncio.Event()),
            # The others are empty.
            mine=lambda: self.registry.mine & self.world.partitions,
            begin=self.start,
            perform=self._perform,
            rest=_rest,
            beat=self._beat,
            tidy=_tidy,
        )

    async def _beat(self) -> bool:
        try:
            return await self.registry.say()
        except StoreUnavailable:
            return False

    async def _perform(self, claim: Claim, change: str | None) -> WakeUpResult | None:
        claimed_at = self.world.stores.claimed_at[claim.grant.owner]
        CURRENT.set(Wake(claim.grant.key.chat.user, claimed_at))
        try:
            woken = await self.wakeups.perform(claim, change)
        except StoreUnavailable:
            self.world.say(f"{self.name}: a wake-up gave up, redis is away")
            return None
        self.world.say(f"{self.name}: {woken.did} {woken.trigger} late={woken.late_ms} lost={woken.lost_lease}")
        return woken

    def _ended(self, task: "asyncio.Task[Any]") -> None:
        self.tasks.discard(task)
        if not task.cancelled() and (failure := task.exception()) is not None:
            self.world.failures.append(f"{self.name} failed: {failure!r}")


class _Indicators(RedisIndicators):
    """Looks at servers again only where something has befallen one: that is most of what an idle world does."""

    def __init__(self, node: Node, **options: Any) -> None:
        super().__init__(node.link, **options)
        self._node = node
        self._known: tuple[int, list[str]] = (-1, [])

    async def servers(self) -> list[str]:
        node, stores = self._node, self._node.world.stores
        events, names = self._known
        if events == stores.events and node.link.knows_all and all(clock.is_known for clock in self._partitions.clocks):
            await node.sleep(node.world.faults.latency_s[1])
            return names
        events = stores.events
        names = await super().servers()
        if all(names) and stores.are_well:
            self._known = events, names
        return names


class _Rounds(Rounds):
    """Of a process that may be stopped while it sleeps."""

    def __init__(self, node: Node, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self._node = node

    async def _sleep(self) -> None:
        await super()._sleep()
        await self._node.passes()


class _Watch(Watch):
    """Who needs no log."""

    def missed(self, error: Exception) -> None:
        pass


async def _rest(partition: int) -> None:
    raise AssertionError(f"no account of this world is to rest, of partition {partition}")


async def _tidy() -> None:
    raise AssertionError("nobody left anything to tidy")


class Register(Lookups):
    """Every instance exists, and nobody changes one; who asks asks Redis, as far as it is asked."""

    def __init__(self, world: "World", link: Link) -> None:
        super().__init__(cast("Redis", link), cast("Any", None), link)
        self._world = world

    async def keeper(self, chats_id: str, change: str | None) -> Instance | None:
        found = await super().keeper(chats_id, change)
        self._world.met.setdefault(chats_id, self._world.now)
        return found

    async def instance(self, instance_id: str, version: str) -> Instance | None:
        return self._world.instances[instance_id] if version else None
