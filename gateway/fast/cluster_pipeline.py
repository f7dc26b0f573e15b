"""A pipeline for each primary of a cluster, and the way of each command to the one that holds its key.

A command leaves at once by what the map says. Where the answer is that somebody else holds the slot (MOVED, ASK), it
goes there; where nobody does just now, or the primary is away, it waits for the cluster to say who took over, until
its timeout. It waits by itself: commands to the other primaries pass by. A primary that has said nothing for a part of
the timeout may have a successor already: the cluster is asked, and what waits there is sent to the successor.

Leans on: nothing but `pipeline.py`, and what that leans on.
Gains: a script on three primaries costs its caller 7 us of CPU where 50 are under way, 30 to 45 us alone; redis-py's
    `RedisCluster` 45 to 50 and 75 to 90, and one primary's failure closes its connections to all of them; the plain way
    85 to 100 and 120 to 145. `PYTHONPATH=tests:bench python -m alone.cluster_calls`
Plain way: `[fast] pipeline = false`; `store/plain_cluster.py`, redis-py's own calls on a pool for each slot.
"""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import hiredis
from redis.crc import key_slot
from redis.exceptions import ConnectionError as RedisConnectionError

from gateway.fast.pipeline import Pipeline
from gateway.fast.redis_connection import Call

Place = tuple[str, int]

_ASKING = hiredis.pack_command(("ASKING",))

_REDIRECTS = 3
"""A command that is sent around more often than this waits for the cluster to agree with itself."""

_SILENCE = 0.125
"""The part of the timeout after which a primary that says nothing may have a successor; looked for as often."""


class Slots(Protocol):
    """Which primary holds which slot."""

    def holder(self, slot: int) -> Place | None:
        """Return who holds a slot, as far as is known."""
        ...

    @property
    def primaries(self) -> frozenset[Place]:
        """Everybody who holds a slot."""
        ...

    def moved(self, slot: int, to: Place) -> None:
        """Note what a primary said of one slot."""
        ...

    async def refresh(self) -> None:
        """Ask the cluster; raises nothing, and takes a moment where it was asked just now."""
        ...


@dataclass(slots=True, kw_only=True)
class _Routed(Call):
    """A call that finds its primary, and another one where that fails."""

    slot: int
    router: "ClusterPipeline"
    redirects: int = 0
    is_timed: bool = False

    def fail(self, error: Exception) -> None:
        if not self.answer.done():
            self.router.failed(self, error)


class ClusterPipeline:
    """Runs commands as `Pipeline` does, each where its first key is; a script's keys share one slot."""

    def __init__(
        self,
        slots: Slots,
        open_lane: Callable[[Place], Pipeline],
        *,
        timeout_s: float,
        passes: Callable[[Exception], bool],
    ) -> None:
        """Connect to nobody yet.

        Args:
            slots: who holds what.
            open_lane: makes the pipeline to one primary.
            timeout_s: how long a command may take.
            passes: whether a refusal is one of this moment, or of this node, and not of the command.
        """
        self._loop = asyncio.get_running_loop()
        self._slots = slots
        self._open_lane = open_lane
        self._timeout_s = timeout_s
        self._passes = passes
        self._lanes: dict[Place, Pipeline] = {}
        self._parked: list[_Routed] = []
        self._asking: asyncio.Task[None] | None = None
        self._timer: asyncio.TimerHandle | None = None
        # Nobody waits for what the word before a redirected command is answered.
        self._nobody: asyncio.Future[Any] = self._loop.create_future()
        self._nobody.cancel()

    def execute_command(self, *words: str | bytes | float) -> "asyncio.Future[Any]":
        """Run one command that has a key; awaiting it brings the reply.

        Raises:
            RedisError: Redis refused it, or nobody served its key within the timeout.
            TimeoutError: no answer within the timeout, counted from this call.
        """
        call = self._routed(words)
        self._send(call)
        return call.answer

    def execute_in_passing(self, *words: str | bytes | float) -> "asyncio.Future[Any]":
        """Run one command that is in no hurry (see `Pipeline.execute_in_passing`)."""
        call = self._routed(words)
        self._send(call, in_passing=True)
        return call.answer

    def _routed(self, words: tuple[str | bytes | float, ...]) -> _Routed:
        loop = self._loop
        if self._timer is None:
            self._timer = loop.call_later(self._timeout_s * _SILENCE, self._look)
        packed = hiredis.pack_command(words)  # type: ignore[arg-type]
        deadline = loop.time() + self._timeout_s
        return _Routed(packed, loop.create_future(), deadline, slot=slot_of(words), router=self)

    async def by_server(self, keys: Sequence[str]) -> list[tuple[Pipeline, list[str]]]:
        """Group keys by who holds them now, each group with what runs commands on that server alone.

        A key that nobody holds at this moment is in no group.
        """
        places = [self._slots.holder(slot_of(("", key))) for key in keys]
        if None in places:
            await self._slots.refresh()
            places = [self._slots.holder(slot_of(("", key))) for key in keys]
        held: dict[Place, list[str]] = {}
        for key, place in zip(keys, places, strict=True):
            if place is not None:
                held.setdefault(place, []).append(key)
        return [(self._lane(place), group) for place, group in held.items()]

    def failed(self, call: _Routed, error: Exception) -> None:
        """Send a call to where it can be answered, or wait for there to be such a place; else tell who waits."""
        word, place = redirection(error)
        call.is_second_try = False
        if call.deadline <= self._loop.time():
            Call.fail(call, error)
        elif word and call.redirects < _REDIRECTS:
            call.redirects += 1
            self._redirect(call, place, is_for_now=word == "ASK")
        elif word or isinstance(error, (RedisConnectionError, OSError)) or self._passes(error):
            self._park(call, error)
        else:
            Call.fail(call, error)

    async def close(self) -> None:
        """Wait for what is under way, and close the connections."""
        while pending := self._pending():
            await asyncio.wait([call.answer for call in pending])
        if self._asking is not None:
            self._asking.cancel()
            await asyncio.wait({self._asking})
        if self._timer is not None:
            self._timer.cancel()
        for lane in self._lanes.values():
            await lane.close()

    def _pending(self) -> list[Call]:
        parked: list[Call] = [call for call in self._parked if not call.answer.done()]
        return parked + [call for lane in self._lanes.values() for call in lane.pending()]

    def _lane(self, place: Place) -> Pipeline:
        lane = self._lanes.get(place)
        if lane is None:
            lane = self._lanes[place] = self._open_lane(place)
        return lane

    def _send(self, call: _Routed, *, in_passing: bool = False) -> None:
        place = self._slots.holder(call.slot)
        if place is None:
            self._park(call, RedisConnectionError("no node of the cluster says who holds this key"))
        else:
            self._lane(place).take(call, in_passing=in_passing)

    def _redirect(self, call: _Routed, place: Place, *, is_for_now: bool) -> None:
        lane = self._lane(place)
        if is_for_now:
            lane.take(Call(_ASKING, self._nobody, call.deadline))
        else:
            self._slots.moved(call.slot, place)
            self._ask()
        lane.take(call)

    def _park(self, call: _Routed, error: Exception) -> None:
        """Hold a call until the cluster was asked; it is told of what went wrong first, if nothing comes of it."""
        if not call.is_timed:
            call.is_timed = True
            self._loop.call_at(call.deadline, Call.fail, call, error)
        self._parked.append(call)
        self._ask()

    def _ask(self) -> None:
        if self._asking is None:
            self._asking = self._loop.create_task(self._ask_and_send())

    async def _ask_and_send(self) -> None:
        """Ask who holds what; then send what waits for that, and what waits at a primary that holds nothing now."""
        try:
            await self._slots.refresh()
        finally:
            self._asking = None
        for place in self._lanes.keys() - self._slots.primaries:
            for left in self._lanes.pop(place).hand_over():
                left.fail(RedisConnectionError("this primary holds nothing any more"))
        parked, self._parked = self._parked, []
        for call in parked:
            if not call.answer.done():
                call.redirects = 0
                self._send(call)

    def _look(self) -> None:
        """Doubt a primary that has been silent for a while; one timer looks after all calls."""
        pending = self._pending()
        sent_before = self._loop.time() + self._timeout_s * (1 - _SILENCE)
        if any(call.deadline < sent_before for call in pending):
            self._ask()
        self._timer = self._loop.call_later(self._timeout_s * _SILENCE, self._look) if pending else None


def slot_of(words: Sequence[str | bytes | float]) -> int:
    """Return the slot of a command's first key."""
    key = words[3] if words[0] in {"EVALSHA", "EVAL"} else words[1]
    return key_slot(key if isinstance(key, bytes) else str(key).encode())


def redirection(error: Exception) -> tuple[str, Place]:
    """Read `MOVED slot host:port` or `ASK slot host:port`; the first is "" where an error is neither."""
    word, _, rest = str(error).partition(" ")
    if word not in {"MOVED", "ASK"}:
        return "", ("", 0)
    host, _, port = rest.rpartition(" ")[2].rpartition(":")
    return word, (host, int(port))
