"""The simulated world: processes that die and stall, primaries and upstreams that fail, and clients who command."""

import asyncio
import random
from collections.abc import Callable

from gateway.presence.errors import GatewayError, StoreUnavailable
from gateway.presence.model import Instance, State, Target
from gateway.presence.steps import ChatKey
from gateway.store import keys
from model.events import CURRENT, Command, Disturbance, Faults, Telling, name_of
from model.keyspace import Keyspace
from model.node import NATURAL_S, Node, Role
from model.stores import TENANTS, Stores

CROWD = tuple(f"h{number}" for number in range(6))
"""Sessions of one account, each with a credential of its own, on the origin where another account has `i2`."""

KNOWN = 0.5
"""How many commands are of callers who were admitted a moment ago."""

INSTANCES = ("i1", "i2", *CROWD)


class World:
    """Everything; `trace` is the timeline."""

    def __init__(
        self,
        keyspace: Keyspace,
        seed: int,
        faults: Faults,
        mutate: Callable[[Node], None] | None,
        used: frozenset[str] = frozenset(INSTANCES),
    ) -> None:
        self.loop = asyncio.get_running_loop()
        self.seed = seed
        self.dice = random.Random(seed)
        self.faults = faults
        self.mutate = mutate
        self.trace: list[tuple[float, str]] = []
        self.commands: list[Command] = []
        self.tellings: list[Telling] = []
        self.disturbances: list[Disturbance] = []
        self.stops: list[tuple[str, float, float]] = []
        self.deaths: list[tuple[str, float]] = []
        self.failures: list[str] = []
        self.met: dict[str, float] = {}  # instance -> since when a worker knows it
        self.kills = 0
        self.applying = 0  # tellings that will take effect yet
        self.instances = {name: _instance(name) for name in INSTANCES}
        self.partitions = {keys.partition(name) for name in used}
        self.stores = Stores(self, keyspace)
        for name, instance in self.instances.items():
            keyspace.step(TENANTS, "HSET", keys.instance(name), "version", "1", "account", instance.account_id)
        self.nodes: dict[str, Node] = {}
        self._every_node: list[Node] = []  # the dead too: what they waited for must not be collected
        for role in ("gateway", "worker"):
            for number in (1, 2):
                self.boot(role, f"{role[0]}{number}")
        for since, to, how, name in faults.upstream:
            if how != "sluggish":
                self.disturb(since, to)
            self.loop.call_at(since, self.say, f"upstream of {name} {how} for {to - since:.2f} s")
        for since, to in faults.workers_down:
            self.disturb(since, to)
            self.loop.call_at(since, self._all_workers_down, to)
        for at, name in faults.leaves:
            self.disturb(at, at)
            self.loop.call_at(at, self._leave, name)

    # Time and what happened

    @property
    def now(self) -> float:
        return self.loop.time()

    def say(self, what: str) -> None:
        self.trace.append((self.now, what))

    def disturb(self, since: float, to: float, instances: frozenset[str] | None = None) -> None:
        self.disturbances.append(Disturbance(since, to, instances))

    def is_quiet(self) -> bool:
        """Whether nothing is left that could happen: stored, under way, or waiting for a store or a process."""
        return (
            all(node.dead or (node.stalled_until <= self.now and not node.is_busy) for node in self.nodes.values())
            and all(command.over_at is not None for command in self.commands)
            and not self.applying
            and self.stores.is_empty()
        )

    # Processes

    def boot(self, role: Role, name: str) -> None:
        known = self.nodes.get(name)
        if known is not None and not known.dead and not known.leaves:
            return
        node = self.nodes[name] = Node(self, role, name)
        self._every_node.append(node)
        if self.mutate is not None:
            self.mutate(node)
        for script, part in node.scripts.items():
            self.stores.know(script, part._sha, part._source)
        node.begin()
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

    def _leave(self, name: str) -> None:
        """Tell a worker to end, as a deploy does; the next begins soon."""
        node = self.nodes[name]
        if not node.dead and node.stalled_until <= self.now:
            self.say(f"{name}: is told to end")
            node.start(node.leave())
            self.loop.call_at(self.now + self.dice.uniform(*self.faults.restart_s), self.boot, "worker", name)

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
        try:
            if command.is_message:
                sent = node.presence.message_sent(instance, command.chat.chat, sent_ago_s=command.late_s)
                result: str = (await sent).outcome
            else:
                result = await self._show(node, instance, command, 0 if command.is_natural else command.seconds)
        except GatewayError as error:
            result = type(error).__name__
            if isinstance(error, StoreUnavailable) and command.state is State.PAUSED:
                result = await self._pause_unpromised(node, instance, command)
        await node.edge("answer")
        command.result, command.done_at = "shown" if command.is_repeat and result == "repeated" else result, self.now
        self.say(f"{node.name}: answered {command.n}: {result}")

    async def _show(self, node: Node, instance: Instance, command: Command, seconds: int) -> str:
        """Obey a command as the front door does: of a caller who is known, it is promised while they are admitted."""
        is_known, is_refused = self.dice.random() < KNOWN, self.dice.random() < self.faults.refused
        if not is_known and not is_refused:
            return (await node.presence.show(instance, command.chat.chat, command.state, seconds)).outcome
        ahead = None
        if is_known:
            ahead = await node.presence.promise_ahead(instance, command.chat.chat, command.state, seconds)
            if ahead is None:
                command.ran_at = None  # it is rolled back, if it was made, and arrives anew
        try:
            await node.sleep(self.dice.uniform(0, 0.002))  # admitted meanwhile, or not
            if is_refused:
                command.is_refused = True
                return "refused"
            shown = node.presence.show(instance, command.chat.chat, command.state, seconds, ahead=ahead)
            return (await shown).outcome
        finally:
            await node.presence.withdraw(ahead)

    async def _pause_unpromised(self, node: Node, instance: Instance, command: Command) -> str:
        """As the front door does."""
        command.is_bare = True
        try:
            await node.presence.pause_unpromised(instance, command.chat.chat)
        except GatewayError as error:
            return type(error).__name__
        return "unpromised"


def _instance(name: str) -> Instance:
    account, origin = ("a-crowd", "i2") if name in CROWD else (f"a-{name}", name)
    return Instance(name, account, name, Target("sandbox", f"http://{origin}", name, name, account_id=account))


def _doing() -> str:
    return name_of(CURRENT.get())
