"""The heart: show an indicator, hold it while its duration runs, and end it, whatever dies in between.

A command (`show`) makes its promise before it tells the upstream anything, and records afterwards what became of it.
Wake-ups that are due are claimed many at a time (`take`), in whichever process, and each is performed by itself: the
chat's record says whether that is a refresh, the pause, or nothing because a newer command came. Only the owner of the
chat's lease calls the upstream, so calls never overlap and nothing older acts on anything newer. `docs/durability.md`
goes through it line by line.
"""

import asyncio
import random
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from functools import partial
from typing import Literal, NamedTuple

from gateway.presence import ids
from gateway.presence.errors import (
    GatewayError,
    InstanceNotConnected,
    InvalidNumber,
    StateUnsupported,
    StoreUnavailable,
    UpstreamCredentialRefused,
    UpstreamCredentialSealed,
    UpstreamNotAllowed,
    UpstreamRejected,
    UpstreamSilent,
    UpstreamUnavailable,
)
from gateway.presence.model import Chat, Instance, Outcome, State
from gateway.presence.ports import (
    Busy,
    ChatKey,
    Claim,
    Directory,
    Early,
    Grant,
    Indicators,
    NothingShows,
    Overtaken,
    Pace,
    Repeated,
    Report,
    Settled,
    Upstreams,
    Why,
)
from gateway.presence.replay import Promises
from gateway.presence.retries import Retries

BACK_OFF_S = (0.3, 0.6, 1.2, 2.4, 5.0)
"""Waits between the tries of a failed pause; the last one repeats. Jitter of a fifth keeps a crowd apart."""

_LEAST_TO_CALL_S = 0.5
"""With less of the lease left than this we do not call: the answer would come when the chat is somebody else's."""

_WAIT_S = (0.005, 0.01, 0.02, 0.04, 0.05)
"""Waits between two looks at a lease that is taken; a healthy call gives it back within milliseconds."""


class Shown(NamedTuple):
    """What became of a command that was obeyed, for the door to count."""

    outcome: Literal["shown", "repeated", "overtaken", "nothing"]
    lost_lease: bool = False
    ended: Literal["pause", "message", "replaced"] | None = None
    """What ended an indicator that showed before, where one did."""


_SHOWN = Shown("shown")
_NOTHING = Shown("nothing")


class Woken(NamedTuple):
    """What a wake-up did, for the door to count and log."""

    did: Literal["nothing", "refreshed", "refresh_failed", "paused", "pause_failed", "abandoned"]
    trigger: Literal["due", "retry", "echo"] = "due"
    outcome: Outcome | None = None
    late_ms: int | None = None
    lost_lease: bool = False
    trace: str = ""
    ended: Literal["time", "natural", "message"] | None = None
    """Why an indicator was paused, where this was its first pause."""


class _Wanted(NamedTuple):
    """What a command wants of its chat: what to show, for how long, and what ends it where that is not a time."""

    op: State
    lasts_ms: int
    why: Why = ""


_PAUSE = _Wanted(State.PAUSED, 0)
_MESSAGE = _Wanted(State.PAUSED, 0, "message")


class Presence:
    """Commands come from the front door, wake-ups from the back; both keep one promise."""

    def __init__(
        self,
        indicators: Indicators,
        upstreams: Upstreams,
        directory: Directory,
        promises: Promises | None = None,
        *,
        upstream_timeout_s: float,
        give_up_s: float,
        natural_end_s: float = 10.0,
        monotonic: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
        jitter: Callable[[], float] = lambda: random.uniform(0.8, 1.2),  # noqa: S311 - spreads load, guards nothing
    ) -> None:
        self._indicators = indicators
        self._upstreams = upstreams
        self._directory = directory
        self._upstream_timeout_s = upstream_timeout_s
        self._give_up_s = give_up_s
        self._natural_end_ms = _ms(natural_end_s)
        self._monotonic = monotonic
        self._sleep = sleep
        self._jitter = jitter
        self._promises = promises
        self._taker: str | None = None
        self._retries = Retries(monotonic=monotonic, sleep=sleep)

    async def show(
        self,
        instance: Instance,
        chat: Chat,
        state: State,
        duration_s: int,
        *,
        asked: str = "",
        trace: str = "",
    ) -> Shown:
        """Obey a caller's command; returns as soon as the upstream has answered.

        Args:
            instance: whose WhatsApp number.
            chat: the recipient.
            state: what to show; `PAUSED` ends what shows.
            duration_s: until the automatic pause; 0 for the natural end of an indicator.
            asked: the state as the caller wrote it, for messages.
            trace: a W3C `traceparent` to carry along, or ''.

        Raises:
            GatewayError: as contract section 4 lists; nothing is owed then, except after `UpstreamSilent`.
        """
        wanted = self._wanted(state, duration_s)
        pace = self._upstreams.pace(instance.target)
        grant = await self._promise(ChatKey(instance.chats_id, chat), wanted, pace, trace)
        if not isinstance(grant, Grant):
            return Shown("repeated" if isinstance(grant, Repeated) else "overtaken")
        told, settled = await self._carry_out(instance, grant, wanted)
        if told.outcome is not Outcome.OK:
            raise _error(told.outcome, asked or state.value)
        ended = _ended(grant)
        return Shown("shown", settled.lost_lease, ended) if settled.lost_lease or ended else _SHOWN

    async def message_sent(self, instance: Instance, chat: Chat) -> Shown:
        """End what a chat shows, since a message to it was sent: that is what the indicator announced.

        Never fails: what cannot be done now is done by a wake-up, or when Redis is back. A command that arrives after
        this call is newer, and is not touched.
        """
        key, sent_s = ChatKey(instance.chats_id, chat), self._monotonic()
        try:
            grant = await self._promise(key, _MESSAGE, self._upstreams.pace(instance.target), "")
        except StoreUnavailable:
            self._retries.until_done(partial(self._end_later, instance, _Late(key, _MESSAGE, sent_s, ids.fresh())))
            return _NOTHING
        if not isinstance(grant, Grant):
            return _NOTHING
        _, settled = await self._carry_out(instance, grant, _MESSAGE)
        return Shown("shown", settled.lost_lease, "message")

    async def pause_unpromised(self, instance: Instance, chat: Chat) -> None:
        """Send a bare pause while Redis is away: it owes nothing, and a pause too many harms nobody.

        Raises:
            GatewayError: the upstream did not take it.
        """
        outcome = await self._upstreams.tell(instance.target, chat, State.PAUSED, timeout_s=self._upstream_timeout_s)
        if outcome is not Outcome.OK:
            raise _error(outcome, State.PAUSED.value)
        # The record does not know, and would show its indicator again: it is told once Redis is back.
        late = _Late(ChatKey(instance.chats_id, chat), _PAUSE, self._monotonic(), ids.fresh())
        self._retries.until_done(partial(self._record_pause, late))

    async def claim(self, key: ChatKey, generation: str) -> Claim | None:
        """Claim one wake-up, of a worker that is handed them one at a time; None where there is nothing to do.

        Raises:
            StoreUnavailable: Redis did not answer; the record still owes what it owed.
        """
        owner = ids.fresh()
        while True:
            claim = await self._retries.insist(lambda: self._indicators.claim(key, generation, owner=owner))
            if not isinstance(claim, Early):
                return claim
            await self._sleep(min(claim.wait_ms / 1000, 1.0))

    async def take(self, most: int) -> list[Claim]:
        """Claim up to `most` wake-ups that are due; whoever gets them performs them at once, within their lease.

        Raises:
            StoreUnavailable: Redis did not answer. What it may have claimed for us comes with the next call.
        """
        owner, self._taker = self._taker or ids.fresh(), None
        try:
            return await self._indicators.take(most, owner=owner)
        except StoreUnavailable:
            self._taker = owner
            raise

    async def perform(self, claim: Claim) -> Woken:
        """Tell the upstream what was claimed, and record what became of it; failing, it is claimed again later.

        Raises:
            StoreUnavailable: Redis did not answer; the record still owes what it owed.
        """
        instance = await self._directory.instance(claim.grant.key.instance_id, claim.instance_version)
        if instance is None:
            # Nobody is left to tell. Giving up closes the record.
            await self._indicators.settle_wake(claim.grant, _NOBODY, retry_ms=None)
            return Woken("abandoned", trace=claim.trace)
        return await self._settle_wake(claim, await self._tell(instance, claim.grant))

    async def drain(self) -> None:
        """Wait for records that could not be settled at once because Redis was away."""
        await self._retries.drain()

    def _wanted(self, state: State, duration_s: int) -> _Wanted:
        """Some phones never let go of what nobody pauses: it ends by itself, even where no end was asked for."""
        if duration_s or state is State.PAUSED or not self._natural_end_ms:
            return _Wanted(state, duration_s * 1000)
        return _Wanted(state, self._natural_end_ms, "natural")

    async def _carry_out(self, instance: Instance, grant: Grant, wanted: _Wanted) -> "tuple[_Told, Settled]":
        told = await self._tell(instance, grant)
        # Dying here is safe: the provisional pause is armed.
        if wanted.why == "natural" and told.began_s is not None:
            # Sent once, as without an end at all: nobody asked that it be held.
            told = told._replace(pace=told.pace._replace(life_s=wanted.lasts_ms / 1000))
        return told, await self._settle_command(grant, told, wanted)

    async def _promise(
        self, key: ChatKey, wanted: _Wanted, pace: Pace, trace: str
    ) -> Grant | Overtaken | Repeated | NothingShows:
        """Promise before acting, and wait while another call to this chat is under way."""
        owner, ticket, looks = ids.fresh(), None, 0
        op, lasts_ms, why = wanted
        while True:
            asked_s = self._monotonic()
            try:
                answer = await self._indicators.promise(
                    key, op, lasts_ms, owner=owner, ticket=ticket, trace=trace, pace=pace, why=why
                )
            except StoreUnavailable:
                # It may have been made, or be made yet, and our caller hears that nothing is owed: roll it back, or
                # it would cut short what the chat shows.
                self._retries.until_done(partial(self._roll_back, Grant(key, owner, op, 0.0), lasts_ms))
                raise
            if isinstance(answer, Repeated) and self._promises is not None:
                repeated = Grant(key, owner, op, 0.0, ticket=answer.ticket)
                self._promises.remember(repeated, pace, lasts_ms, answered_ms_ago=_ms(self._monotonic() - asked_s))
            if not isinstance(answer, Busy):
                return answer
            ticket = answer.ticket
            await self._sleep(min(_WAIT_S[min(looks, len(_WAIT_S) - 1)], answer.lease_ms / 1000))
            looks += 1

    async def _tell(self, instance: Instance, grant: Grant) -> "_Told":
        """Call the upstream within the lease, or not at all."""
        pace = self._upstreams.pace(instance.target)
        began_s = self._monotonic()
        if _is_still_telling(grant, pace):
            # Its next refresh says what is wanted now; a second call at once would undo the first.
            return _Told(Outcome.OK, pace, None, began_s)
        left_s = grant.deadline_s - began_s
        if left_s < _LEAST_TO_CALL_S:
            return _Told(Outcome.UNAVAILABLE, pace, began_s, began_s)
        outcome = await self._upstreams.tell(
            instance.target, grant.key.chat, grant.op, timeout_s=min(self._upstream_timeout_s, left_s)
        )
        return _Told(outcome, pace, began_s, self._monotonic())

    async def _settle_command(self, grant: Grant, told: "_Told", wanted: _Wanted) -> Settled:
        async def settle() -> Settled:
            report = told.report(self._monotonic())
            settled = await self._indicators.settle_command(grant, report, wanted.lasts_ms, wanted.why)
            # A lost lease too: the reply to a settlement that was made may have been lost, and this one came second.
            if self._promises is not None and report.result != "failed":
                lasts_ms = wanted.lasts_ms if report.result == "ok" else report.answered_ms_ago
                self._promises.remember(grant, told.pace, lasts_ms, answered_ms_ago=report.answered_ms_ago)
            return settled

        try:
            return await settle()
        except StoreUnavailable:
            # The upstream has acted and the provisional pause is on disk, so the caller's answer stands;
            # the exact time is recorded as soon as Redis is back.
            self._retries.until_done(settle)
            return Settled(lost_lease=False, late_ms=None)

    async def _roll_back(self, grant: Grant, duration_ms: int) -> None:
        await self._indicators.settle_command(grant, _NOBODY, duration_ms)

    async def _record_pause(self, late: "_Late") -> None:
        """Make the record of a pause that was told while Redis was away, unless a newer command came."""
        granted = await self._promise_late(late, _NOBODY.pace)
        if granted is not None:
            # It may have shown again since Redis is back, so this ends in a pause of its own.
            await self._indicators.settle_command(granted, _NOBODY._replace(result="unknown"), 0)

    async def _end_later(self, instance: Instance, late: "_Late") -> None:
        """End what a chat shows by a message that was sent while Redis was away, unless a newer command came."""
        granted = await self._promise_late(late, self._upstreams.pace(instance.target))
        if granted is not None:
            await self._carry_out(instance, granted, late.wanted)

    async def _promise_late(self, late: "_Late", pace: Pace) -> Grant | None:
        """Promise what arrived a while ago; None where nothing is left to do."""
        ticket = late.ticket or f"-{_ms((self._monotonic() - late.arrived_s) * 1000) + 1}"
        op, lasts_ms, why = late.wanted
        answer = await self._indicators.promise(
            late.key, op, lasts_ms, owner=late.owner, ticket=ticket, trace="", pace=pace, why=why
        )
        if isinstance(answer, Busy):
            late.ticket = answer.ticket  # its place in the line: an age says it less exactly the next time
            raise StoreUnavailable
        return answer if isinstance(answer, Grant) else None

    async def _settle_wake(self, claim: Claim, told: "_Told") -> Woken:
        is_pause = claim.grant.op is State.PAUSED
        retry_ms = self._retry_ms(claim, told.outcome) if is_pause else None
        settled = await self._retries.insist(
            lambda: self._indicators.settle_wake(claim.grant, told.report(self._monotonic()), retry_ms=retry_ms)
        )
        return Woken(
            _did(told.outcome, is_pause=is_pause, gave_up=retry_ms is None),
            trigger="echo" if claim.is_echo else "retry" if claim.tries else "due",
            outcome=told.outcome,
            late_ms=settled.late_ms,
            lost_lease=settled.lost_lease,
            trace=claim.trace,
            ended=(claim.why or "time") if is_pause and not claim.is_echo and told.outcome is Outcome.OK else None,
        )

    def _retry_ms(self, claim: Claim, outcome: Outcome) -> int | None:
        """When to try a failed pause again; None where it has failed for so long that nobody waits for it."""
        if claim.overdue_ms >= self._give_up_s * 1000:
            return None
        # A session that is down cannot show anything either: no hurry.
        is_down = outcome in {Outcome.NOT_CONNECTED, Outcome.NOT_READY}
        step = -1 if is_down else min(claim.tries, len(BACK_OFF_S) - 1)
        return _ms(BACK_OFF_S[step] * self._jitter())


@dataclass(slots=True)
class _Late:
    """What arrived while Redis was away, and its place among the chat's commands once it has one."""

    key: ChatKey
    wanted: _Wanted
    arrived_s: float
    owner: str
    ticket: str | None = None


class _Told(NamedTuple):
    """One telling: its outcome, and when it began (None: not at all) and was answered, on the monotonic clock."""

    outcome: Outcome
    pace: Pace
    began_s: float | None
    answered_s: float

    def report(self, now_s: float) -> Report:
        """Say it as of now; the record counts from Redis' clock."""
        told_ms_ago = None if self.began_s is None else _ms(now_s - self.began_s)
        return Report(self.outcome.settled, self.pace, _ms(now_s - self.answered_s), told_ms_ago)


_NOBODY = Report("failed", Pace(1.0, 1.0), 0, 0)


def _ended(grant: Grant) -> Literal["pause", "replaced"] | None:
    """What a command that was obeyed ended: whatever showed, by a pause, or by something else in its place."""
    if grant.shows in {None, State.PAUSED, grant.op}:
        return None
    return "pause" if grant.op is State.PAUSED else "replaced"


def _is_still_telling(grant: Grant, pace: Pace) -> bool:
    """Whether an upstream that takes one telling at a time is still busy with the one before."""
    if not pace.one_at_a_time or grant.op is State.PAUSED or grant.told_ms_ago is None:
        return False
    return grant.told_ms_ago < pace.refresh_s * 1000


def _ms(seconds: float) -> int:
    return round(seconds * 1000)


def _did(
    outcome: Outcome, *, is_pause: bool, gave_up: bool
) -> Literal["refreshed", "refresh_failed", "paused", "pause_failed", "abandoned"]:
    if not is_pause:
        return "refreshed" if outcome is Outcome.OK else "refresh_failed"
    if outcome is Outcome.OK:
        return "paused"
    return "abandoned" if gave_up else "pause_failed"


_ERROR_OF_OUTCOME: dict[Outcome, type[GatewayError]] = {
    Outcome.NOT_CONNECTED: InstanceNotConnected,
    Outcome.NOT_READY: InstanceNotConnected,
    Outcome.UNKNOWN_NUMBER: InvalidNumber,
    Outcome.UNAVAILABLE: UpstreamUnavailable,
    Outcome.UNKNOWN: UpstreamSilent,
    Outcome.UNAUTHORIZED: UpstreamCredentialRefused,
    Outcome.SEALED: UpstreamCredentialSealed,
    Outcome.NOT_ALLOWED: UpstreamNotAllowed,
    Outcome.GARBLED: UpstreamRejected,
    Outcome.REJECTED: UpstreamRejected,
}
"""What an upstream's failure means to the caller (contract section 4): the one place that decides."""


def _error(outcome: Outcome, state: str) -> GatewayError:
    return StateUnsupported(state) if outcome is Outcome.UNSUPPORTED else _ERROR_OF_OUTCOME[outcome]()
