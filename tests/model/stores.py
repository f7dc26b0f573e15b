"""The primaries: who has which partition, what time it is there, how they fail, fail over and hand slots over."""

from typing import TYPE_CHECKING, Any

from gateway.presence.model import Outcome
from gateway.store import keys
from model.events import Command, StoreFault, Wake, name_of
from model.keyspace import STORES, Contents, Keyspace

if TYPE_CHECKING:
    from model.simulation import World

EPOCH_MS = 1_800_000_000_000
TENANTS = 0
"""The primary that has the data of tenants."""

LEASE_S = 5.5
LOST_S = 1.0
"""How much of the latest writes a failover loses at the most."""

_HANDED_OVER_S = 0.03
"""For how long at the most nobody may write to a slot that is handed over."""


class Stores:
    """Every primary, on one server; tenants' data is on the first."""

    def __init__(self, world: "World", keyspace: Keyspace) -> None:
        self._world = world
        self.keyspace = keyspace
        keyspace.clear(lambda: world.now * 1000)
        self.servers = [f"s{store}" for store in STORES]
        self.set_s = [0.0 for _ in STORES]  # how far each clock was set
        self.home = {keys.partition(name): world.faults.homes.get(name, 0) for name in world.instances}
        self.claimed_at: dict[str, float] = {}  # a claim's name -> when Redis made it
        self.events = 0  # what has befallen a primary so far: that one is away, or back, or its clock was set
        self._found: dict[int, Contents] = {}  # what a replica that lags will be found to have
        self._closed_until: dict[int, float] = {}
        self._scripts: dict[str, str] = {}
        self._plan()

    def know(self, name: str, sha: str, source: str) -> None:
        """Load a script before it is asked for: the first of a thousand scenarios must go like the last."""
        self._scripts[sha] = name
        self.keyspace.know(source)

    def script_of(self, words: tuple[Any, ...]) -> str:
        return self._scripts[words[1]] if words[0] == "EVALSHA" else ""

    def partition_of(self, words: tuple[Any, ...]) -> int | None:
        """Say whose slot a command needs; None for tenants' data, and what needs none."""
        key = words[3] if words[0] in {"EVALSHA", "EVAL"} else words[1] if len(words) > 1 else ""
        tag = str(key)[4:6]
        return int(tag) if tag.isdigit() else None

    def window(self, store: int) -> StoreFault | None:
        now = self._world.now
        return next((w for w in self._world.faults.store if w.store == store and w.since <= now < w.to), None)

    def closed_s(self, partition: int | None) -> float:
        """For how long a partition takes no writes, since it is handed over this moment."""
        return 0.0 if partition is None else self._closed_until.get(partition, 0.0) - self._world.now

    def now_us(self, store: int) -> int:
        """What a primary's clock says."""
        at_s = self._world.now + self.set_s[store] + self._world.faults.skew_s * store
        return EPOCH_MS * 1000 + round(at_s * 1_000_000)

    @property
    def are_well(self) -> bool:
        """Whether all answer."""
        return all(self.window(store) is None for store in STORES)

    def is_empty(self) -> bool:
        """Whether nothing of any chat is stored, and all answer."""
        return self.are_well and not any(self.left(store) for store in STORES)

    def left(self, store: int) -> list[bytes]:
        """Return every key of a chat."""
        self.keyspace.step(store, "PING")  # what has expired is gone before the next
        found: list[bytes] = self.keyspace.step(store, "KEYS", "*")
        return [key for key in found if not key.startswith(keys.NONE.encode())]

    def run(self, store: int, words: tuple[Any, ...], doing: Command | Wake | None) -> Any:
        """Run what has arrived."""
        if words[0] == "INFO":
            return f"run_id:{self.servers[store]}\r\nserver_time_usec:{self.now_us(store)}\r\nrole:master\r\n".encode()
        if words[0] in {"EVALSHA", "EVAL"}:
            # Redis reads its clock when it runs the script, not when somebody asked for it.
            at = 3 + int(words[2])
            words = (*words[:at], self.now_us(store), *words[at + 1 :])
            if self.script_of(words) == "claim":
                self.claimed_at[words[at + 1]] = self._world.now
        reply = self.keyspace.step(store, *words, touched=self._records_of(words))
        self._publish(store)
        if isinstance(doing, Command):
            self._note(doing, reply)
        return reply

    def _records_of(self, words: tuple[Any, ...]) -> list[str]:
        """Name the chats' records that a script may change."""
        if self.script_of(words) == "claim":
            return [keys.record(*place) for place in zip(words[8::2], words[9::2], strict=True)]
        return [words[3]] if words[0] in {"EVALSHA", "EVAL"} and ":c:" in words[3] else []

    def run_unheard(self, store: int, words: tuple[Any, ...], doing: Command | Wake | None) -> None:
        self._world.say(f"redis runs what nobody waits for any more ({name_of(doing)})")
        partition = self.partition_of(words)
        if partition is None or self.home[partition] == store:
            self.run(store, words, doing)

    def _publish(self, store: int) -> None:
        for notice in self.keyspace.notices():
            for node in self._world.nodes.values():
                if node.notices is not None and not node.dead:
                    node.notices.said(store, notice)

    def _note(self, doing: Command, reply: Any) -> None:
        world = self._world
        verdict = reply[0] if isinstance(reply, list) else None
        if doing.ran_at is None and verdict not in {b"expired", b"unclear"}:
            doing.ran_at = world.now
        # A message is answered before it is promised where Redis is away.
        if verdict == b"go" and (doing.done_at is None or doing.is_message):
            if doing.granted_at is None:
                doing.granted_at = world.now
            elif world.now > doing.granted_at + LEASE_S:
                doing.ran_at = world.now  # stopped for longer than its lease, it asks again, and arrives anew
        if doing.done_at is None and verdict == b"repeated":
            doing.is_repeat, doing.outcome = True, Outcome.OK
            doing.granted_at = doing.answered_at = world.now

    # How they fail

    def fall(self, store: int, seconds: float) -> None:
        """Die this very moment."""
        fault = StoreFault(self._world.now, self._world.now + seconds, "down", store)
        self._world.faults.store.append(fault)
        self._world.disturb(fault.since, fault.to, self._touched(store))
        self._begin(fault)

    def _plan(self) -> None:
        world = self._world
        for fault in world.faults.store:
            world.disturb(fault.since, fault.to, self._touched(fault.store))
            if fault.copied_s is not None:
                world.loop.call_at(max(0.0, fault.since - fault.copied_s), self._copy, fault.store)
            if fault.how == "failover":
                lag_at = max(0.0, fault.since - world.dice.uniform(0, LOST_S))
                world.loop.call_at(lag_at, self._lag, fault)
            else:
                world.loop.call_at(fault.since, self._begin, fault)
        for move in world.faults.moves:
            world.disturb(move.since, move.to, frozenset({move.instance}))
            world.loop.call_at(move.since, self._begin_move, keys.partition(move.instance), move.to)
        for at, step_s, store in world.faults.clock:
            world.disturb(at, at + abs(step_s), self._touched(store))
            world.loop.call_at(at, self._set_clock, store, step_s)

    def _touched(self, store: int) -> frozenset[str] | None:
        """Whose chats are on a primary; None where that changes."""
        if self._world.faults.moves:
            return None
        return frozenset(name for name in self._world.instances if self.home[keys.partition(name)] == store)

    def _copy(self, store: int) -> None:
        self._world.say(f"store {store}: its log is rewritten, and its replica synchronises")
        self.keyspace.copy_to_replica(store)

    def _lag(self, fault: StoreFault) -> None:
        """What the replica has now, and not what comes, is what will be found."""
        self._found[fault.store] = self.keyspace.survives(fault.store)
        self._world.loop.call_at(fault.since, self._begin, fault, self._world.now)

    def _begin(self, fault: StoreFault, lags_at: float = 0.0) -> None:
        world = self._world
        self.events += 1
        world.say(f"store {fault.store}: {fault.how} for {fault.to - fault.since:.2f} s")
        if fault.how in {"stopped", "cut"}:
            return
        found = self._found.pop(fault.store, None) if fault.how == "failover" else None
        if found is not None:
            world.say(f"store {fault.store}: lost the last {world.now - lags_at:.2f} s")
        self.keyspace.put(fault.store, found if found is not None else self.keyspace.survives(fault.store))
        world.loop.call_at(fault.to, self._come_back, fault.store)
        for node in world.nodes.values():
            if node.notices is not None:
                node.notices.breaks(fault.store)

    def _come_back(self, store: int) -> None:
        self.events += 1
        self.servers[store] = f"s{store} since {self._world.now:.3f}"

    def _set_clock(self, store: int, step_s: float) -> None:
        self.events += 1
        self.set_s[store] += step_s
        self._world.say(f"store {store}: its clock is set by {step_s:+.2f} s")

    # How slots move

    def _begin_move(self, partition: int, to: float) -> None:
        source = self.home[partition]
        if self.window(source) is not None:
            return
        server = self.servers[source]
        self._world.say(f"partition {partition} begins to move from store {source}")
        self.keyspace.copy_to_replica(source, partition)
        self._world.loop.call_at(to, self._hand_over, partition, source, server)

    def _hand_over(self, partition: int, source: int, server: str) -> None:
        """Give a slot away: only where both have lived through it."""
        target = 1 - source
        away = self.window(source) is not None or self.window(target) is not None
        if away or self.servers[source] != server or self.home[partition] != source:
            self._world.say(f"partition {partition} stays: a primary was away")
            return
        closed_s = self._world.dice.uniform(0, _HANDED_OVER_S)
        self._closed_until[partition] = self._world.now + closed_s
        moved = self.keyspace.move(partition, source, target)
        # Who has a slot is agreed on by all: a replica that lags lacks none that was handed over, and keeps none.
        if source in self._found:
            self._found[source] = self._found[source].without(partition)
        if target in self._found:
            self._found[target] = self._found[target].along_with(moved)
        self.home[partition] = target
        self.events += 1
        self._world.say(f"partition {partition} is on store {target}")
