"""The simulated world: processes that die and stall, a Redis and upstreams that fail, and the workers' queue."""

import asyncio
import json
import random
from collections.abc import Awaitable, Callable, Coroutine
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any, Literal

from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import TimeoutError as RedisTimeoutError

from gateway.presence.calls import Calls
from gateway.presence.errors import GatewayError, StoreUnavailable
from gateway.presence.model import Chat, Instance, Outcome, State, Target
from gateway.presence.places import Places
from gateway.presence.ports import ChatKey, Claim, RefreshPolicy
from gateway.presence.replay import Promises
from gateway.presence.service import Presence
from gateway.presence.wakeups import WakeUpResult, WakeUps
from gateway.store.indicators import RedisIndicators, parse_key
from gateway.store.redis import Script
from gateway.upstreams.breaker import Breakers
from model.keyspace import QUEUE, Keyspace

EPOCH_MS = 1_800_000_000_000
UPSTREAM_TIMEOUT_S = 4.5
LEASE_S = 5.5
ECHO_S = 10.0
NATURAL_S = 10
REDIS_TIMEOUT_S = 2.0
IN_PROGRESS_MS = 21_000
POLL_S = 0.02
AGAIN_S = 0.1
AT_ONCE = 2
MAX_JOBS = 8
LOOK = "look"
REFRESH_POLICY = RefreshPolicy(4.0, 5.5)

CROWD = tuple(f"h{number}" for number in range(6))
"""Sessions of one account, each with a credential of its own, on the origin where another account has `i2`."""

Role = Literal["gateway", "worker"]


@dataclass(eq=False)
class Command:
    """One call of a client, and what became of it. Instants are seconds of virtual time."""

    n: int
    chat: ChatKey
    state: State
    seconds: int
    sent_at: float
    node: str = ""
    ran_at: float | None = None  # its first step in Redis
    granted_at: float | None = None  # the first time, where a reply was lost
    answered_at: float | None = None  # the upstream's answer, as the gateway saw it
    outcome: Outcome | None = None
    done_at: float | None = None
    result: str = ""  # 'shown', 'overtaken', an error's name, or '' where its process died
    died_at: float | None = None
    disturbed: bool = False
    is_natural: bool = False  # no end was asked for
    is_message: bool = False  # a message was sent: it ends what shows
    late_s: float = 0.0  # for so long nobody reported that
    is_repeat: bool = False  # it called nobody, since the chat shows it already
    is_bare: bool = False  # told without a promise, because Redis did not answer

    def __str__(self) -> str:
        return f"command {self.n} {self.state} {self.seconds}s on {self.chat.instance_id}/{self.chat.chat.user}"

    @property
    def over_at(self) -> float | None:
        return self.done_at if self.died_at is None else self.died_at


@dataclass(eq=False)
class Telling:
    """One call to an upstream."""

    n: int
    chat: ChatKey
    state: State
    by: Command | None  # None: a wake-up
    asked_at: float  # when the code asked for it
    sent_at: float = 0.0  # later, where the process was stopped in between
    claimed_at: float = 0.0
    applied_at: list[float] = field(default_factory=list)
    answered_at: float | None = None
    outcome: Outcome | None = None


@dataclass(eq=False)
class Wake:
    """One look at the queue and what it claimed, or one job that arq's own worker started."""

    job: str
    began_at: float  # of a look: when Redis claimed


CURRENT: ContextVar[Command | Wake | None] = ContextVar("current", default=None)


@dataclass
class Faults:
    """How likely each fault is at each step, and the windows in which something is down."""

    kill_gateway: float = 0.0
    kill_worker: float = 0.0
    stall_gateway: float = 0.0
    stall_worker: float = 0.0
    stall_command: float = 0.0  # only while a command is under way
    stall_s: tuple[float, float] = (7, 30)
    most_kills: int = 3
    lost_request: float = 0.0
    lost_reply: float = 0.0
    silent: float = 0.0  # of the lost ones: nothing comes until the timeout
    queue_loss: float = 0.0
    duplicate_job: float = 0.0
    store: list[tuple[float, float, str]] = field(default_factory=list)  # from, to, 'down' | 'stopped' | 'failover'
    upstream: list[tuple[float, float, str, str]] = field(default_factory=list)  # from, to, how, instance
    workers_down: list[tuple[float, float]] = field(default_factory=list)
    clock: list[tuple[float, float]] = field(default_factory=list)  # when every machine's clock is set, by how much
    until: float = 1e9  # no fault begins after this
    down_at_claim: float = 0.0  # for so long, from some step of a wake-up, before or after Redis ran it
    kill_at: tuple[str, int, str] | None = None  # crash point: process, its k-th I/O, 'before' | 'after'
    restart_s: tuple[float, float] = (0.5, 3.0)


class Node:
    """A process, from its start to its death."""

    def __init__(self, world: "World", role: Role, name: str) -> None:
        self.world, self.role, self.name = world, role, name
        self.dead = False
        self.stalled_until = 0.0
        self.ios = 0
        self.skew_ms = world.dice.uniform(-30, 30)
        self.tasks: set[asyncio.Task[Any]] = set()
        self.looks_at: float | None = None  # when this worker looks at the queue next
        self.is_looking = False
        self.places = Places(MAX_JOBS)
        self.breakers = Breakers(self.monotonic)
        self.indicators = world.make_indicators(self)
        self.calls = Calls(Phone(world, self), timeout_s=UPSTREAM_TIMEOUT_S, monotonic=self.monotonic)
        self.presence, self.wakeups = world.make_presence(self)

    def start(self, work: Coroutine[Any, Any, Any]) -> "asyncio.Task[Any]":
        task = self.world.loop.create_task(work)
        self.tasks.add(task)
        task.add_done_callback(self.tasks.discard)
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

    async def edge(self, what: str) -> None:
        """One side of an I/O: here a process is stopped or killed."""
        world, faults, dice = self.world, self.world.faults, self.world.dice
        if not self.dead and self.stalled_until <= world.now:
            if faults.kill_at is not None:
                self.ios += 1
                if not world.kills and faults.kill_at[:2] == (self.name, self.ios):
                    world.kill(self, what)
            elif world.now < faults.until:
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


class Link:
    """What `RedisIndicators` takes for a Redis client: one process's connection, which loses things."""

    def __init__(self, world: "World", node: Node) -> None:
        self._world, self._node = world, node

    async def execute_command(self, *words: Any) -> Any:
        try:
            return await self._once(words)
        except RedisConnectionError:
            await asyncio.sleep(0.01)  # the pool tries once more on a fresh connection
            return await self._once(words)

    async def _once(self, words: tuple[Any, ...]) -> Any:
        world, node, faults, dice = self._world, self._node, self._world.faults, self._world.dice
        await node.edge("redis before")
        asked_at = world.now
        falls = self._falls_now() and dice.choice(("before", "after"))
        if falls == "before":
            self._fall()
        lost = ""
        if world.now < faults.until:
            if faults.lost_request and dice.random() < faults.lost_request:
                lost = "request"
            elif faults.lost_reply and dice.random() < faults.lost_reply:
                lost = "reply"
        silent = bool(lost) and dice.random() < faults.silent
        await asyncio.sleep(dice.uniform(0.0002, 0.001))
        await self._while_down(words)
        if lost:
            world.say(f"{node.name}: redis {lost} lost{' silently' if silent else ''}")
            world.disturb(world.now, world.now)
            _mark(CURRENT.get())
        if lost != "request":
            reply = world.run_script(words, CURRENT.get())
        if falls == "after":
            self._fall()
            raise RedisConnectionError("its process died after it had run this")
        await asyncio.sleep(REDIS_TIMEOUT_S if silent else dice.uniform(0.0002, 0.001))
        await node.edge("redis after")
        if lost:
            _arrives_anew(CURRENT.get())
        if lost or (world.now - asked_at > REDIS_TIMEOUT_S and dice.random() < 0.5):
            raise RedisTimeoutError("silent") if silent or not lost else RedisConnectionError("reset")
        return reply

    def _falls_now(self) -> bool:
        """Whether Redis dies at this step of a wake-up: at one of its first few."""
        faults = self._world.faults
        in_a_wake_up = isinstance(CURRENT.get(), Wake)
        return bool(faults.down_at_claim and not faults.store and in_a_wake_up and self._world.dice.random() < 0.4)

    def _fall(self) -> None:
        world = self._world
        world.faults.store.append((world.now, world.now + world.faults.down_at_claim, "down"))
        world.say(f"redis down for {world.faults.down_at_claim:.2f} s")
        world.disturb(*world.faults.store[0][:2])

    async def _while_down(self, words: tuple[Any, ...]) -> None:
        """Be refused, or wait for a Redis that is stopped, where it is so now."""
        world, node = self._world, self._node
        down = world.store_window()
        if down is None:
            return
        goes_on_at = down[1] + world.dice.uniform(0, 0.02)
        if down[2] == "stopped" and goes_on_at - world.now <= REDIS_TIMEOUT_S:
            await asyncio.sleep(goes_on_at - world.now)
            return
        if down[2] == "stopped":
            # It reads what its socket holds when it goes on, whether or not somebody still waits.
            world.loop.call_at(goes_on_at, world.run_unheard, words, CURRENT.get())
            await asyncio.sleep(REDIS_TIMEOUT_S)
        await node.passes()
        _mark(CURRENT.get())
        raise RedisTimeoutError("stopped") if down[2] == "stopped" else RedisConnectionError("refused")


class World:
    """Everything; `trace` is the timeline."""

    def __init__(self, keyspace: Keyspace, seed: int, faults: Faults, mutate: Callable[["Node"], None] | None) -> None:
        self.loop = asyncio.get_running_loop()
        self.seed = seed
        self.dice = random.Random(seed)
        self.faults = faults
        self.mutate = mutate
        self.keyspace = keyspace
        keyspace.clear(lambda: self.now * 1000)
        self.trace: list[tuple[float, str]] = []
        self.commands: list[Command] = []
        self.tellings: list[Telling] = []
        self.disturbances: list[tuple[float, float]] = []
        self.stops: list[tuple[str, float, float]] = []
        self.deaths: list[tuple[str, float]] = []
        self.kills = 0
        self.set_s = 0.0  # how far the clocks were set
        self.in_progress: dict[str, float] = {}
        self.server = "s1"
        self.client_tasks: set[asyncio.Task[Any]] = set()
        self._snapshot: Any = None
        self.instances = {name: _instance(name) for name in ("i1", "i2", *CROWD)}
        for name, instance in self.instances.items():
            keyspace.step("HSET", f"pg:instance:{name}", "version", "1", "account", instance.account_id)
        self.nodes: dict[str, Node] = {}
        self._every_node: list[Node] = []  # the dead too: what they waited for must not be collected
        for role in ("gateway", "worker"):
            for number in (1, 2):
                self.boot(role, f"{role[0]}{number}")
        for since, to, how in faults.store:
            self.disturb(since, to)
            self.loop.call_at(since, self.say, f"redis {how} for {to - since:.2f} s")
            if how == "failover":
                self.loop.call_at(max(0.0, since - self.dice.uniform(0, 1.0)), self._take_snapshot)
                self.loop.call_at(since, self._lose_the_latest)
            if how in {"down", "failover"}:
                self.loop.call_at(to, self._new_server)
        for since, to, how, name in faults.upstream:
            self.disturb(since, to)
            self.loop.call_at(since, self.say, f"upstream of {name} {how} for {to - since:.2f} s")
        for since, to in faults.workers_down:
            self.disturb(since, to)
            self.loop.call_at(since, self._all_workers_down, to)
        self._plan_clocks()
        if faults.queue_loss:
            self.loop.call_at(self.dice.uniform(0.5, 4), self._lose_a_job)

    # Time and what happened

    @property
    def now(self) -> float:
        return self.loop.time()

    def redis_us(self) -> int:
        """What every machine's wall clock says."""
        return EPOCH_MS * 1000 + round((self.now + self.set_s) * 1_000_000)

    def say(self, what: str) -> None:
        self.trace.append((self.now, what))

    def disturb(self, since: float, to: float) -> None:
        self.disturbances.append((since, to))

    # Processes

    def make_indicators(self, node: Node) -> RedisIndicators:
        return RedisIndicators(
            Link(self, node),
            lease_s=LEASE_S,
            echo_s=ECHO_S,
            patience_s=REDIS_TIMEOUT_S,
            monotonic=node.monotonic,
            clock_us=self.redis_us,
        )

    def make_presence(self, node: Node) -> tuple[Presence, WakeUps]:
        promises = Promises(node.indicators, monotonic=node.monotonic, sleep=node.sleep)
        node.presence = Presence(
            node.indicators,
            node.calls,
            promises,
            natural_end_s=NATURAL_S,
            monotonic=node.monotonic,
            sleep=node.sleep,
        )
        node.wakeups = WakeUps(
            node.indicators,
            node.calls,
            Register(self, node),
            give_up_s=600,
            monotonic=node.monotonic,
            sleep=node.sleep,
            jitter=lambda: self.dice.uniform(0.8, 1.2),
        )
        if self.mutate is not None:
            self.mutate(node)
        for script in (part for part in vars(node.indicators).values() if isinstance(part, Script)):
            # Known before it is asked for: the first of a thousand scenarios must go like the last.
            self.keyspace.know(script._source)
        return node.presence, node.wakeups

    def boot(self, role: Role, name: str) -> None:
        if name in self.nodes and not self.nodes[name].dead:
            return
        node = self.nodes[name] = Node(self, role, name)
        self._every_node.append(node)
        if role == "gateway" and node.presence._promises is not None:
            node.start(node.presence._promises.watch())
        if role == "worker":
            node.start(self._sweep(node))
            self.watch_queue()
        if self.now:
            self.say(f"{name}: started")

    def kill(self, node: Node, where: str, *, until: float | None = None) -> None:
        self.kills += 1
        node.dead = True
        self.deaths.append((node.name, self.now))
        back = self.now + self.dice.uniform(*self.faults.restart_s) if until is None else until
        self.say(f"{node.name}: KILLED {where} ({_doing()}); back in {back - self.now:.2f} s")
        self.disturb(self.now, self.now)
        if node.role == "worker" and all(n.dead for n in self.nodes.values() if n.role == "worker"):
            self.disturb(self.now, back)
        for command in self.commands:
            if command.node == node.name and command.over_at is None:
                command.died_at = self.now
                command.disturbed = True
        self.loop.call_at(back, self.boot, node.role, node.name)

    def stall(self, node: Node, where: str, seconds: float) -> None:
        self.kills += 1
        node.stalled_until = self.now + seconds
        self.say(f"{node.name}: STOPPED {where} for {seconds:.1f} s ({_doing()})")
        self.disturb(self.now, node.stalled_until)
        self.stops.append((node.name, self.now, node.stalled_until))
        for command in self.commands:
            if command.node == node.name and command.over_at is None:
                command.disturbed = True

    def _all_workers_down(self, until: float) -> None:
        for node in [n for n in self.nodes.values() if n.role == "worker" and not n.dead]:
            self.kill(node, "all workers down", until=until)

    # Clients

    def client(
        self, chat: ChatKey, state: State, seconds: int, *, is_message: bool = False, late_s: float = 0.0
    ) -> None:
        up = [n for n in self.nodes.values() if n.role == "gateway" and not n.dead and n.stalled_until <= self.now]
        if not up:
            return
        node = self.dice.choice(up)
        command = Command(len(self.commands), chat, state, seconds, self.now - late_s, node.name)
        command.is_message, command.late_s = is_message, late_s
        if not seconds and state is not State.PAUSED:
            command.is_natural, command.seconds = True, NATURAL_S
        self.commands.append(command)
        self.say(f"{node.name}: {command}")
        CURRENT.set(command)
        node.start(self._obey(node, command))
        CURRENT.set(None)

    async def _obey(self, node: Node, command: Command) -> None:
        await node.edge("command arrives")
        instance = self.instances[command.chat.instance_id]
        seconds = 0 if command.is_natural else command.seconds
        try:
            if command.is_message:
                sent = node.presence.message_sent(instance, command.chat.chat, sent_ago_s=command.late_s)
                result: str = (await sent).outcome
            else:
                result = (await node.presence.show(instance, command.chat.chat, command.state, seconds)).outcome
        except GatewayError as error:
            result = type(error).__name__
            if isinstance(error, StoreUnavailable) and command.state is State.PAUSED:
                result = await self._pause_unpromised(node, instance, command)
        await node.edge("answer")
        command.result, command.done_at = "shown" if command.is_repeat and result == "repeated" else result, self.now
        self.say(f"{node.name}: answered {command.n}: {result}")

    async def _pause_unpromised(self, node: Node, instance: Instance, command: Command) -> str:
        """As the front door does."""
        command.is_bare = True
        try:
            await node.presence.pause_unpromised(instance, command.chat.chat)
        except GatewayError as error:
            return type(error).__name__
        return "unpromised"

    # Redis

    def store_window(self) -> tuple[float, float, str] | None:
        return next((w for w in self.faults.store if w[0] <= self.now < w[1]), None)

    def run_script(self, words: tuple[Any, ...], doing: Command | Wake | None) -> Any:
        if words[0] == "INFO":
            return f"run_id:{self.server}\r\nserver_time_usec:{self.redis_us()}\r\nrole:master\r\n".encode()
        if words[0] in {"EVALSHA", "EVAL"}:
            # Redis reads its clock when it runs the script, not when somebody asked for it.
            at = 3 + int(words[2])
            words = (*words[:at], self.redis_us(), *words[at + 1 :])
        reply = self.keyspace.step(*words)
        if isinstance(doing, Command):
            if doing.ran_at is None and reply != [b"expired"]:
                doing.ran_at = self.now
            if doing.granted_at is None and doing.done_at is None and isinstance(reply, list) and reply[0] == b"go":
                doing.granted_at = self.now
            if doing.done_at is None and isinstance(reply, list) and reply[0] == b"repeated":
                doing.is_repeat, doing.outcome = True, Outcome.OK
                doing.granted_at = doing.answered_at = self.now
        elif doing is not None and doing.job == LOOK:
            doing.began_at = self.now
        self.watch_queue()
        return reply

    def run_unheard(self, words: tuple[Any, ...], doing: Command | Wake | None) -> None:
        self.say(f"redis runs what nobody waits for any more ({_name(doing)})")
        self.run_script(words, doing)

    def _plan_clocks(self) -> None:
        for at, step_s in self.faults.clock:
            self.disturb(at, at + abs(step_s))
            self.loop.call_at(at, self._clock_set, step_s)

    def _clock_set(self, step_s: float) -> None:
        self.set_s += step_s
        self.say(f"the clocks are set by {step_s:+.2f} s")
        self.keyspace.step("PING")
        self.watch_queue()

    def _take_snapshot(self) -> None:
        self._snapshot = self.keyspace.dump()
        self._snapshot_at = self.now

    def _lose_the_latest(self) -> None:
        self.say(f"redis lost the last {self.now - self._snapshot_at:.2f} s")
        self.keyspace.restore(self._snapshot)
        self.in_progress.clear()

    def _new_server(self) -> None:
        self.server = f"s{self.now:.3f}"
        self.keyspace.step("PING")
        self.watch_queue()

    # The queue

    def watch_queue(self) -> None:
        """Let every worker look at the queue when its next job is due."""
        due = min(self.keyspace.queue.values(), default=None)
        if due is None:
            return
        at = max(due / 1000 - EPOCH_MS / 1000 - self.set_s, self.now)
        for node in self.nodes.values():
            if node.role == "worker" and not node.dead and (node.looks_at is None or node.looks_at > at + POLL_S):
                node.looks_at = at + self.dice.uniform(0, POLL_S)
                self.loop.call_at(node.looks_at, self._look, node, node.looks_at)

    def _look(self, node: Node, at: float) -> None:
        if node.dead or node.looks_at != at:
            return
        if node.stalled_until > self.now or node.is_looking:
            node.looks_at = max(node.stalled_until, self.now + POLL_S)
            self.loop.call_at(node.looks_at, self._look, node, node.looks_at)
            return
        node.looks_at, node.is_looking = None, True
        CURRENT.set(Wake(LOOK, self.now))
        node.start(self._take(node))
        if self.faults.duplicate_job and self.now < self.faults.until:
            self._start_arq()
        CURRENT.set(None)

    async def _take(self, node: Node) -> None:
        """What `fast.batch_claims` does between two sleeps."""
        look = CURRENT.get()
        assert isinstance(look, Wake)
        while most := min(node.places.free, AT_ONCE):
            try:
                claims = await node.wakeups.claim_due(most, node.places)
            except StoreUnavailable:
                await node.sleep(AGAIN_S)
                continue
            for claim in claims:
                CURRENT.set(Wake(claim.grant.key.chat.user, look.began_at))
                node.start(self._perform_in_its_place(node, claim))
                CURRENT.set(look)
            if len(claims) < most:
                break
        node.is_looking = False
        self.watch_queue()

    async def _perform_in_its_place(self, node: Node, claim: Claim) -> None:
        began_s = self.now
        node.places.hold(claim.account_id)
        woken = await self._perform(node, node.wakeups.perform(claim))
        node.places.end(claim.account_id, began_s, woken)

    async def _perform(self, node: Node, work: Coroutine[Any, Any, WakeUpResult]) -> WakeUpResult | None:
        try:
            woken = await work
        except StoreUnavailable:
            self.say(f"{node.name}: a wake-up gave up, redis is away")
            return None
        if woken.did != "nothing":
            self.say(f"{node.name}: {woken.did} {woken.trigger} late={woken.late_ms} lost={woken.lost_lease}")
        return woken

    def _start_arq(self) -> None:
        """Let arq's own worker, in one of an older version, take a job that is due now too."""
        node = self.dice.choice([n for n in self.nodes.values() if n.role == "worker"])
        if node.dead or self.store_window() is not None:
            return
        now_ms = self.redis_us() / 1000 + node.skew_ms
        for job, due in list(self.keyspace.queue.items()):
            if due <= now_ms and job not in self.in_progress and self.dice.random() < self.faults.duplicate_job:
                self.say(f"{node.name}: arq starts {job} too")
                self.keyspace.step("SET", f"arq:in-progress:{job}", "1")
                self._hold(job, IN_PROGRESS_MS)
                CURRENT.set(Wake(job, self.now))
                node.start(self._run_job(node, job))

    def _hold(self, job: str, ms: float) -> None:
        until = self.now + ms / 1000
        self.in_progress[job] = until
        self.keyspace.expire(f"arq:in-progress:{job}", ms)
        self.loop.call_at(until, self._release, job, until)

    def _release(self, job: str, until: float) -> None:
        if self.in_progress.get(job) == until:
            del self.in_progress[job]

    @staticmethod
    async def _claim_and_perform(node: Node, key: ChatKey, generation: str) -> WakeUpResult:
        claim = await node.wakeups.claim_one(key, generation)
        return WakeUpResult("nothing") if claim is None else await node.wakeups.perform(claim)

    async def _run_job(self, node: Node, job: str) -> None:
        await node.edge("job starts")
        blob = self.keyspace.step("GET", f"arq:job:{job}")
        if blob is None:
            self.say(f"{node.name}: job {job} has no blob; dropped")
        else:
            instance_id, jid, generation = json.loads(blob)["a"]
            await self._perform(node, self._claim_and_perform(node, parse_key(instance_id, jid), generation))
        await node.edge("job ends")
        if self.store_window() is None:
            self.in_progress.pop(job, None)
            self.keyspace.step("DEL", f"arq:in-progress:{job}", f"arq:job:{job}")
            self.keyspace.step("ZREM", QUEUE, job)
            self.watch_queue()

    async def _sweep(self, node: Node) -> None:
        await node.sleep(self.dice.uniform(0, 1))
        while True:
            try:
                armed = await node.indicators.sweep()
                if armed:
                    self.say(f"{node.name}: swept {armed}")
            except StoreUnavailable:
                pass
            await node.sleep(1.0)

    def _lose_a_job(self) -> None:
        """Every way in which a queue loses a job."""
        if self.now >= self.faults.until:
            return
        jobs = sorted(self.keyspace.queue)
        if jobs and self.store_window() is None and self.dice.random() < self.faults.queue_loss:
            job, how = self.dice.choice(jobs), self.dice.choice(("member", "blob", "stuck", "all"))
            self.say(f"the queue loses {job}: {how}")
            self.disturb(self.now, self.now)
            if how in {"member", "all"}:
                self.keyspace.step("ZREM", QUEUE, job)
            if how in {"blob", "all"}:
                self.keyspace.step("DEL", f"arq:job:{job}")
            if how == "stuck":
                self.keyspace.step("SET", f"arq:in-progress:{job}", "1")
                self._hold(job, 310_000)
        self.loop.call_at(self.now + self.dice.uniform(0.5, 4), self._lose_a_job)


def _arrives_anew(doing: Command | Wake | None) -> None:
    """Its place among the chat's commands was lost with the reply, unless it had its lease."""
    if isinstance(doing, Command) and (doing.granted_at is None or doing.is_repeat):
        doing.ran_at = None
        if doing.is_repeat:
            doing.granted_at = doing.answered_at = doing.outcome = None
            doing.is_repeat = False


@dataclass
class Register:
    """`ports.Directory`: every instance exists; asking may fail as Redis does."""

    world: World
    node: Node

    async def instance(self, instance_id: str, version: str) -> Instance | None:
        return self.world.instances[instance_id] if version else None


@dataclass
class Phone:
    """`ports.Upstreams`: one process's calls to the upstreams."""

    world: World
    node: Node

    def refresh_policy(self, target: Target) -> RefreshPolicy:
        return REFRESH_POLICY

    async def rest(self, target: Target, *, timeout_s: float) -> Outcome:
        return Outcome.UNSUPPORTED

    async def send(self, target: Target, chat: Chat, state: State, *, timeout_s: float) -> Outcome:
        world, node = self.world, self.node
        doing = CURRENT.get()
        by = doing if isinstance(doing, Command) else None
        passage = node.breakers.enter(target, is_pause=state is State.PAUSED)
        if passage is None:
            world.say(f"{node.name}: leaves {chat.user} {state} alone ({_name(doing)})")
            return self._answered(by, Outcome.UNAVAILABLE)
        with passage:
            outcome = await self._tell(target, chat, state, doing, timeout_s)
            if outcome in {Outcome.UNKNOWN, Outcome.UNAVAILABLE}:
                passage.ended(outcome)
            else:
                passage.answered()
        return self._answered(by, outcome)

    def _answered(self, by: Command | None, outcome: Outcome) -> Outcome:
        if by is not None:
            by.answered_at, by.outcome = self.world.now, outcome
        return outcome

    async def _tell(
        self, target: Target, chat: Chat, state: State, doing: Command | Wake | None, timeout_s: float
    ) -> Outcome:
        world, node, dice = self.world, self.node, self.world.dice
        by = doing if isinstance(doing, Command) else None
        telling = Telling(len(world.tellings), ChatKey(target.session, chat), state, by, world.now)
        telling.claimed_at = doing.began_at if isinstance(doing, Wake) else world.now
        await node.edge(f"tell {state} before")
        telling.sent_at = world.now
        world.tellings.append(telling)
        outcome, answer_s, apply_s = self._fate(target.session, timeout_s)
        for after_s in apply_s:
            world.loop.call_at(world.now + after_s, self._apply, telling)
        world.say(f"{node.name}: tells {chat.user} {state} ({_name(doing)}): {outcome}")
        await asyncio.sleep(answer_s)
        await node.edge(f"tell {state} after")
        if outcome is Outcome.OK and world.now - telling.sent_at > timeout_s and dice.random() < 0.5:
            outcome = Outcome.UNKNOWN
        telling.answered_at, telling.outcome = world.now, outcome
        return outcome

    def _fate(self, instance: str, timeout_s: float) -> tuple[Outcome, float, list[float]]:  # noqa: PLR0911 - a table
        """What becomes of one call: its outcome, when that is known, and when it takes effect."""
        world, dice = self.world, self.world.dice
        quick = dice.uniform(0.001, 0.008)
        how = next((w[2] for w in world.faults.upstream if w[3] == instance and w[0] <= world.now < w[1]), "")
        if how == "flaps":
            how = dice.choice(("", "rejects", "hangs", "lost_reply", "late", "slow"))
        match how:
            case "":
                return Outcome.OK, 2 * quick, [quick]
            case "rejects":
                return Outcome.REJECTED, quick, []
            case "down":
                return Outcome.UNAVAILABLE, quick, []
            case "not_connected":
                return Outcome.NOT_CONNECTED, quick, []
            case "hangs":
                return Outcome.UNKNOWN, timeout_s, []
            case "lost_reply":
                return Outcome.UNKNOWN, dice.choice((quick * 2, timeout_s)), [quick]
            case "slow":
                wait = dice.uniform(0.1, 4.4)
                apply = dice.uniform(0.001, wait)
                return (Outcome.UNKNOWN, timeout_s, [apply]) if wait > timeout_s else (Outcome.OK, wait, [apply])
            case "late":
                # It acts long after we gave up, within the time that an echo waits for.
                return Outcome.UNKNOWN, timeout_s, [timeout_s + dice.uniform(0, ECHO_S - 0.5)]
            case _:
                raise AssertionError(how)

    def _apply(self, telling: Telling) -> None:
        telling.applied_at.append(self.world.now)
        self.world.say(f"        phone {telling.chat.instance_id}/{telling.chat.chat.user} shows {telling.state}")


def _instance(name: str) -> Instance:
    account, origin = ("a-crowd", "i2") if name in CROWD else (f"a-{name}", name)
    return Instance(name, account, name, Target("sandbox", f"http://{origin}", name, name, account_id=account))


def _mark(doing: Command | Wake | None) -> None:
    if isinstance(doing, Command):
        doing.disturbed = True


def _name(doing: Command | Wake | None) -> str:
    if isinstance(doing, Command):
        return f"command {doing.n}"
    return "wake" if isinstance(doing, Wake) else "?"


def _doing() -> str:
    return _name(CURRENT.get())


Sleep = Callable[[float], Awaitable[None]]
