"""The promises of design section 4 and contract 4.1, as objections to what happened; written from them alone.

A command may still have its effect until a newer one was surely obeyed after it. It was *superseded* by a command that
arrived after it was over and was answered 200. Whatever nobody superseded may be what a chat shows, so a pause or a
refresh that the gateway sends by itself must be one that some command that is not superseded asked for.

What no upstream lets us fence is left out, and only that: a request that a process sent after it had been stopped
between its last look at its clock and the socket; the bare pause of a caller whose gateway could not reach Redis; what
a replica that lacks the latest writes lets happen in the second before it is told again; and what an upstream does
later than it was told. All must still end: `ends` and `late` hold for them too.
"""

from collections.abc import Iterable
from itertools import pairwise
from typing import TYPE_CHECKING

from gateway.presence.model import Outcome, State
from gateway.presence.steps import ChatKey
from gateway.store import keys
from model.events import Command, Disturbance, StoreFault, Telling
from model.keyspace import STORES
from model.phone import SLUGGISH_S
from model.simulation import CROWD
from model.stores import LOST_S, TENANTS

if TYPE_CHECKING:
    from model.simulation import World

EARLY_S = 0.003
CALM_LATE_S = 0.05
LIFE_S = 5.5
"""How long a phone surely shows an indicator that it was told."""

LEASE_S = 5.5

HELD_S = 4.0 + CALM_LATE_S
"""From one telling to the next, where nothing is wrong."""

REFRESH_S = 4.1
"""From one telling to the next, and what it took on its way."""

STOPPED_S = 0.3
"""Between the code's last look at its clock and the socket: longer only where the process was stopped."""

STEP_S = 6.0 + 4.5
"""One back-off step, and the call that ends it."""

REASSERTED_S = 1.0
"""After a failover, until every gateway that is alive has said again what was lost."""

BOUNDS: dict[str, tuple[float, float]] = {
    # fault: (from the pause's time, from the fault's end), whichever is later
    "gateway killed": (6.0, 0.0),
    "worker killed": (5.7, 0.0),
    "all workers down": (CALM_LATE_S, 7.0),
    "redis restarted": (CALM_LATE_S, 0.3),
    "redis restarted at a claim": (CALM_LATE_S, 0.3),
    "redis stopped": (CALM_LATE_S, 1.0),
    "redis failover": (CALM_LATE_S, 1.0),
    "redis cut off": (CALM_LATE_S, 1.0),
    "slots move": (CALM_LATE_S, 0.3),
    "worker leaves": (0.2, 0.0),
    "notices lost": (1.0, 0.0),
    "clock set forward": (CALM_LATE_S, 0.0),
    "clock set back": (LEASE_S + CALM_LATE_S, 0.0),
    "upstream rejects": (CALM_LATE_S, STEP_S),
    "upstream down": (CALM_LATE_S, STEP_S),
    "upstream hangs": (CALM_LATE_S, STEP_S),
    "upstream lost_reply": (CALM_LATE_S, STEP_S),
    "upstream slow": (4.6, STEP_S),
    "upstream late": (CALM_LATE_S, STEP_S),
    "upstream not_connected": (CALM_LATE_S, 18.1),
}
PATIENCE_S = 2.5
"""How much younger than it is a message may become on its way to Redis: as long as a reply is awaited, and a bit."""

STORM_S = 8.5
"""With several faults: once nothing has gone wrong for this long, everything owed has been paid."""

NOT_CONNECTED_S = 20.0

CROWD_S = 5.0
"""How much longer it takes where more is owed to an upstream that failed than its account may hold places for."""


_TRIPS = 6
"""Ways to and from Redis that a wake-up goes one after the other."""

_ELSEWHERE = {f"single {fault}" for fault in BOUNDS if fault.startswith(("redis", "slots"))}
"""What befalls one primary, or one partition, and not the others."""


def judge(world: "World", kind: str, ends_at: float) -> tuple[list[str], list[float]]:
    """Return every objection, and how late each promised pause was."""
    objections = [*_left_over(world), *world.failures]
    lateness: list[float] = []
    for chat in {command.chat for command in world.commands}:
        story = _Story(world, chat, kind, ends_at)
        objections += story.objections()
        if story.is_calm:
            objections += _not_calm(story.commands)
        lateness += story.lateness
    return sorted(objections), lateness


def _left_over(world: "World") -> Iterable[str]:
    """Nothing about a chat outlives its indicator."""
    for store in STORES:
        if left := world.stores.left(store):
            yield f"still in store {store} at the end: {left}"


def _not_calm(commands: "Iterable[Command]") -> Iterable[str]:
    for command in commands:
        if command.result not in {"shown", "overtaken", "nothing", "refused"}:
            yield f"{command} answered {command.result!r} although nothing was wrong"
        elif command.done_at is None or command.done_at - command.sent_at > 1.5:
            yield f"{command} was not answered within 1.5 s"


class _Story:
    """What happened to one chat."""

    def __init__(self, world: "World", chat: ChatKey, kind: str, ends_at: float) -> None:
        self.world, self.chat, self.kind, self.ends_at = world, chat, kind, ends_at
        self.commands = [c for c in world.commands if c.chat == chat]
        self.tellings = [t for t in world.tellings if t.chat == chat]
        self.applied = sorted((at, t.n, t) for t in self.tellings for at in t.applied_at)
        self.lateness: list[float] = []
        name = chat.instance_id
        home, faults = world.stores.home[keys.partition(name)], world.faults
        self.disturbances = [d for d in world.disturbances if d.instances is None or name in d.instances]
        # A worker that meets an instance for the first time asks the primary that has the tenants.
        tenants_away = [fault for fault in faults.store if fault.store == TENANTS]
        if any(world.met.get(name, fault.to) >= fault.since for fault in tenants_away):
            # What it had claimed for that it claims again when its lease ends.
            self.disturbances += [Disturbance(fault.since, fault.to + LEASE_S) for fault in tenants_away]
        self.may_move = any(move.instance == name for move in faults.moves)
        stores = STORES if self.may_move else (home,)
        self.store_faults: list[StoreFault] = [fault for fault in faults.store if fault.store in stores]
        self.clock = [(at, step_s) for at, step_s, store in faults.clock if store in stores]
        self.skew_s = abs(faults.skew_s) if self.may_move else 0.0

    @property
    def is_calm(self) -> bool:
        """Whether nothing goes wrong that this chat's account, or the primary that has it, has a part in."""
        if self.kind in _ELSEWHERE:
            return not self.disturbances
        return self.kind == "calm" or (self.kind == "crowd" and self.chat.instance_id not in CROWD)

    def objections(self) -> Iterable[str]:
        yield from self._ends()
        for telling in self.tellings:
            if telling.by is not None:
                yield from self._commanded(telling)
            elif telling.state is State.PAUSED:
                yield from self._paused(telling)
            else:
                yield from self._refreshed(telling)
        yield from self._overlaps()
        for command in self.commands:
            if command.result == "shown" and command.seconds:
                yield from self._on_time(command)
                if self.is_calm and not command.is_natural:
                    yield from self._never_dark(command)
            if command.is_message:
                yield from self._ends_with(command)
            if command.is_repeat:
                yield from self._shows_already(command)

    def alive(self, at: float) -> "list[Command]":
        """The commands that may still have their effect at an instant."""
        arrived = [c for c in self.commands if c.sent_at <= at]
        return [c for c in arrived if not any(_supersedes(newer, c, at) for newer in arrived)]

    def _ends(self) -> Iterable[str]:
        """No chat is left showing, except where its newest command asked for no end."""
        if not self.applied or self.applied[-1][2].state is State.PAUSED:
            return
        endless = [
            c
            for c in self.alive(self.ends_at)
            if not c.seconds and c.state is not State.PAUSED and c.outcome is Outcome.OK
        ]
        last = self.applied[-1][2].by
        if not endless and not (last is not None and self._is_gone(last)):
            at, _, telling = self.applied[-1]
            yield f"left on: {_name(self.chat)} shows {telling.state} since {at:.3f}"

    def _overlaps(self) -> Iterable[str]:
        """One call to a chat at a time, for as long as a lease lasts."""
        told = [t for t in self.tellings if t.sent_at - t.asked_at <= STOPPED_S and not self._is_forgotten(t)]
        told = [t for t in told if t.by is None or not t.by.is_bare]
        for first, second in pairwise(sorted(told, key=lambda t: (t.sent_at, t.n))):
            free = first.claimed_at + LEASE_S - 1.0
            if self._forgot_lease(first, second):
                continue
            if self._jumped_s(first.asked_at - STOPPED_S) < self._jumped_s(second.sent_at):
                continue  # the lease ended when the clock was set forward
            if second.sent_at < min(free, free if first.answered_at is None else first.answered_at):
                yield f"told {second.state} at {second.sent_at:.3f} while it was being told {first.state}"

    def _forgot_lease(self, first: "Telling", second: "Telling") -> bool:
        """Whether a store came back, or got the slot, without the lease of a call under way.

        A wake-up's is neither logged nor replicated, and a command's may be among the latest writes.
        """
        if first.by is not None:
            losses = [f.since for f in self.store_faults if f.how == "failover"]
            return any(at - LOST_S <= first.claimed_at <= at <= second.sent_at for at in losses)
        losses = [f.since for f in self.store_faults if f.how in {"down", "failover"}]
        losses += [move.to for move in self.world.faults.moves if move.instance == self.chat.instance_id]
        return any(first.claimed_at <= at <= second.sent_at for at in losses)

    def _commanded(self, telling: "Telling") -> Iterable[str]:
        """No command acts on a newer one that was obeyed already."""
        command = telling.by
        assert command is not None
        if telling.sent_at - telling.asked_at > STOPPED_S or command.is_bare:
            return
        if command not in self.alive(telling.sent_at):
            yield f"{command} acted at {telling.sent_at:.3f} on a newer one"
        came_at = command.ran_at if not command.late_s else command.sent_at + PATIENCE_S
        newer = [
            c
            for c in self.commands
            if c.result == "shown"
            and c.done_at is not None
            and c.done_at <= telling.sent_at
            and c.ran_at is not None
            and came_at is not None
            and c.sent_at > came_at
        ]
        if newer:
            yield f"{command} acted at {telling.sent_at:.3f} on {newer[0]}, which arrived later and was obeyed"

    def _paused(self, telling: "Telling") -> Iterable[str]:
        """A pause that the gateway sends by itself is one that some command asked for, and not before its time."""
        if telling.sent_at - telling.asked_at > STOPPED_S or self._is_forgotten(telling):
            return
        failed_over = any(fault.how == "failover" and fault.to <= telling.sent_at for fault in self.store_faults)
        if failed_over and not self._shows_at(telling.sent_at):
            return  # the echo of a promise whose settlement was lost: nothing shows, so it ends nothing
        alive = self.alive(telling.claimed_at)
        jumped_s = self._jumped_s(telling.sent_at)
        if any(c.over_at and self._jumped_s(c.sent_at) < self._jumped_s(c.over_at) for c in alive):
            return  # its lease ended when the clock was set forward
        if not any(self._may_pause(c, telling.sent_at + s) for c in alive for s in {0.0, jumped_s}):
            yield f"pause at {telling.sent_at:.3f} before its time or for nobody; alive: {', '.join(map(str, alive))}"

    def _may_pause(self, command: "Command", at: float) -> bool:
        if command.state is State.PAUSED:
            return any((command.outcome is not None, command.granted_at is not None, command.died_at is not None))
        if command.outcome is Outcome.UNKNOWN:
            return True
        if command.granted_at is not None and (command.over_at is None or command.over_at > at):
            # Its process stopped after the promise, and what it told or will tell the upstream is not known.
            return at >= command.granted_at + command.seconds
        if command.granted_at is not None and command.outcome is None and _was_stopped(command):
            # It was stopped for so long that it told nothing; its provisional pause, and that one's echo, harm nobody.
            return at >= command.granted_at + command.seconds + LEASE_S
        ends = self._ends_at(command)
        return ends is not None and at >= ends - EARLY_S - self.skew_s

    def _ends_at(self, command: "Command") -> float | None:
        """When a command's indicator is to end; None where it never showed, or has no end."""
        if command.died_at is not None or (command.disturbed and command.outcome is Outcome.OK):
            begun = command.granted_at if command.granted_at is not None else command.sent_at
            return begun + command.seconds
        if command.outcome is Outcome.OK and command.answered_at is not None and command.seconds:
            return command.answered_at + command.seconds
        return None

    def _refreshed(self, telling: "Telling") -> Iterable[str]:
        """A refresh tells what some command asked for, while it lasts."""
        if telling.sent_at - telling.asked_at > STOPPED_S or self._is_forgotten(telling):
            return
        for command in self.alive(telling.claimed_at):
            if command.state is not telling.state or command.outcome not in {Outcome.OK, Outcome.UNKNOWN, None}:
                continue
            # Counted from the answer, however long its process was stopped before it saw that.
            ends = command.answered_at + command.seconds if command.answered_at else self._ends_at(command)
            if ends is not None and command.disturbed and command.granted_at is not None:
                ends = max(ends, command.granted_at + LEASE_S + command.seconds)
            if (
                not command.seconds
                or ends is None
                or telling.claimed_at <= ends + EARLY_S + self._held_back_s
                or command.died_at is not None
            ):
                return
        yield f"refresh {telling.state} at {telling.sent_at:.3f}, which nobody wants any more"

    def _on_time(self, command: "Command") -> Iterable[str]:
        """The pause of a command that was answered 200 comes no later than the fault table says."""
        ends = (command.answered_at or 0.0) + command.seconds
        deadline = self._deadline(ends)
        if self._is_gone(command):
            return
        if any(_supersedes(newer, command, deadline) for newer in self.commands) or self._may_be_newer(command):
            return
        paused = [
            t.sent_at
            for t in self.tellings
            if t.state is State.PAUSED
            and t.applied_at
            and t.applied_at[0] >= ends - 9 - self._jumped_s(t.sent_at)
            and t.sent_at >= (command.answered_at or 0.0)
        ]
        first = min(paused, default=None)
        was_cut = command.disturbed or self._jumped_s(ends) > 0
        if (first is None or first > deadline) and was_cut and not self._shows_at(deadline):
            return  # its lease ended before it was answered: paused at once, and that is that
        if first is None or first > deadline:
            yield f"late: the pause of {command} was due at {ends:.3f}, by {deadline:.3f}; it came at {first}"
        else:
            self.lateness.append(max(0.0, first - ends))

    def _shows_already(self, repeat: "Command") -> Iterable[str]:
        """Who calls nobody relies on what was told before: the same, with success, less than a refresh ago."""
        assert repeat.granted_at is not None
        if self.clock:
            return  # how long ago that was is what the clocks say
        told = [t for t in self.tellings if t.sent_at <= repeat.granted_at]
        last = max(told, key=lambda t: (t.sent_at, t.n), default=None)
        if last is not None and last.by is not None and last.by.is_bare:
            return  # the record does not know of it yet
        if last is not None and (self._is_forgotten(last) or last.sent_at - last.asked_at > STOPPED_S):
            return
        age_s = repeat.granted_at - last.sent_at if last else 0.0
        if last is None or last.state is not repeat.state or last.outcome is not Outcome.OK or age_s > REFRESH_S:
            yield f"{repeat} called nobody, {age_s:.3f} s after {last and (last.state, last.outcome)}"

    def _ends_with(self, message: "Command") -> Iterable[str]:
        """Once a message was sent, nothing that was asked for before it shows for longer than a pause may take."""
        if message.done_at is None or message.died_at is not None or self._is_gone(message):
            return
        deadline = self._deadline(message.done_at)
        later = [c for c in self.commands if c is not message and (c.over_at is None or c.over_at > message.sent_at)]
        if any(f.how == "failover" and f.since <= message.done_at <= self._told_again_at(f) for f in self.store_faults):
            return  # what it would have ended was lost, and has not been said again
        died = any(node == message.node and message.sent_at <= at <= deadline for node, at in self.world.deaths)
        last = max((one for one in self.applied if one[0] <= deadline), default=None)
        if last is not None and last[2].sent_at <= message.sent_at < last[0]:
            return  # the upstream applied what it was told before the message only after it: an echo ends that
        if last is not None and last[2].by is not None and self._is_gone(last[2].by):
            return  # lost, and its gateway died before it could say it again
        if not later and not died and self._shows_at(deadline):
            yield f"{message} was sent at {message.sent_at:.3f}, and the chat still shows at {deadline:.3f}"

    def _shows_at(self, at: float) -> bool:
        applied = [telling.state for since, _, telling in self.applied if since <= at]
        return bool(applied) and applied[-1] is not State.PAUSED

    def _may_be_newer(self, command: "Command") -> bool:
        """Whether some command raced with this one, so that nobody can say which of them was the last."""
        assert command.done_at is not None
        return any(
            c is not command
            and (c.over_at is None or c.over_at > command.sent_at)
            and c.result != "overtaken"
            and c.sent_at < self._deadline(command.done_at + command.seconds)
            for c in self.commands
            if c.outcome is not Outcome.REJECTED
        )

    def _deadline(self, ends: float) -> float:
        disturbances = [(d.since, d.to) for d in self.disturbances if d.since <= ends + 60]
        if self.is_calm or not disturbances:
            return ends + CALM_LATE_S + self._sluggish_s
        if self.kind.startswith("single "):
            after_due, after_fault = BOUNDS[self.kind.removeprefix("single ").removesuffix(" between")]
            fault_ends = max(b for _, b in disturbances)
            late_s = self._held_back_s + self.skew_s + self._sluggish_s
            fixed = max(ends + after_due, fault_ends + after_fault if after_fault else 0.0)
            return max(fixed, self._copied_leases_end) + late_s
        quiet = NOT_CONNECTED_S if any(w[2] == "not_connected" for w in self.world.faults.upstream) else STORM_S
        if self.world.faults.upstream:
            quiet = max(quiet, STEP_S)
        if self.kind == "crowd":
            quiet += CROWD_S
        at = ends + quiet
        moved = True
        while moved:
            moved = False
            for a, b in disturbances:
                if a <= at and b > at - quiet + 1e-6:
                    at, moved = b + quiet, True
        return at + CALM_LATE_S + self.skew_s

    def _jumped_s(self, at: float) -> float:
        """How far the clocks were set forward until an instant: pauses come as much too early."""
        return sum(step_s for since, step_s in self.clock if step_s > 0 and since <= at)

    @property
    def _held_back_s(self) -> float:
        """How far the clocks were set back: what is promised comes as much too late."""
        return -sum(step_s for _, step_s in self.clock if step_s < 0)

    @property
    def _copied_leases_end(self) -> float:
        """When the last lease has ended that a copy of a store, or of a partition, took along from its midst."""
        copied = [f.since - f.copied_s for f in self.store_faults if f.copied_s is not None and f.how != "stopped"]
        copied += [move.since for move in self.world.faults.moves if move.instance == self.chat.instance_id]
        return max(copied, default=-LEASE_S) + LEASE_S + CALM_LATE_S

    @property
    def _slow_s(self) -> float:
        """How long a wake-up's ways to Redis take."""
        return _TRIPS * self.world.faults.latency_s[1]

    @property
    def _sluggish_s(self) -> float:
        """For how long a pause may have to wait for a call under way, and for Redis."""
        is_sluggish = any(w[2] == "sluggish" and w[3] == self.chat.instance_id for w in self.world.faults.upstream)
        return (SLUGGISH_S[1] if is_sluggish else 0.0) + self._slow_s

    def _is_forgotten(self, telling: "Telling") -> bool:
        """Whether Redis lost its latest writes just now, and the gateways have not told it again yet."""
        return any(
            fault.since <= telling.claimed_at <= self._told_again_at(fault)
            for fault in self.store_faults
            if fault.how == "failover"
        )

    def _is_gone(self, command: "Command") -> bool:
        """Whether a failover may have lost a promise whose gateway died before it could say it again: two faults."""
        over_at = command.over_at or 0.0
        return any(
            fault.how == "failover"
            and fault.since - LOST_S <= over_at <= fault.to
            and any(node == command.node and over_at <= at <= fault.to + REASSERTED_S for node, at in self.world.deaths)
            for fault in self.store_faults
        )

    def _told_again_at(self, fault: StoreFault) -> float:
        """When the gateways have said again what a failover lost; one that is stopped says it when it goes on."""
        back_at = fault.to
        for other in sorted(self.store_faults, key=lambda one: one.since):
            if other.since <= back_at + REASSERTED_S:
                back_at = max(back_at, other.to)
        promised = {command.node for command in self.commands if command.sent_at <= back_at}
        stops = (stop for stop in self.world.stops if stop[0] in promised)
        goes_on = (to for _, since, to in stops if since <= back_at + REASSERTED_S and to >= fault.since)
        return max([back_at, *goes_on]) + REASSERTED_S

    def _never_dark(self, command: "Command") -> Iterable[str]:
        if self._may_be_newer(command) or any(_supersedes(newer, command, 1e9) for newer in self.commands):
            return
        assert command.answered_at is not None
        ends = command.answered_at + command.seconds
        since = (
            max((at for at, _, _ in self.applied if at <= command.sent_at), default=0.0) if command.is_repeat else 0.0
        )
        since = since or command.sent_at
        shows = [at for at, _, t in self.applied if since <= at <= ends and t.state is command.state]
        for since, to in zip(shows, [*shows[1:], ends], strict=True):
            if to - since > LIFE_S + self._sluggish_s:
                yield f"dark: {command} from {since + LIFE_S:.3f} to {to:.3f}"
        told = sorted(t.sent_at for t in self.tellings if command.sent_at <= t.sent_at < ends)
        for since, to in pairwise(told):
            if to - since > HELD_S + self._slow_s:
                yield f"late refresh: {command} was told again at {to:.3f}, {to - since:.3f} s after the last"


def _supersedes(newer: "Command", older: "Command", at: float) -> bool:
    return (
        newer is not older
        and newer.result == "shown"
        and newer.done_at is not None
        and newer.done_at <= at
        and older.over_at is not None
        and newer.sent_at > older.over_at
    )


def _was_stopped(command: "Command") -> bool:
    """Whether its process was stopped for longer than its lease."""
    assert command.granted_at is not None
    return command.over_at is not None and command.over_at - command.granted_at > LEASE_S - 1.0


def _name(chat: ChatKey) -> str:
    return f"{chat.instance_id}/{chat.chat.user}"
