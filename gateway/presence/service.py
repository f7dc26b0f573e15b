"""The heart: show an indicator, and promise that it ends, whatever dies in between.

A command (`show`) makes its promise before it tells the upstream anything, and records afterwards what became of it.
What is due later, the refreshes and the pause, is done by `wakeups`, in whichever process. Only the owner of the chat's
lease calls the upstream, so calls never overlap and nothing older acts on anything newer. `docs/durability.md` goes
through it line by line.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Literal, NamedTuple

from gateway.presence import ids
from gateway.presence.calls import NOBODY, Calls, Sent, error_of, in_ms
from gateway.presence.errors import StoreUnavailable
from gateway.presence.model import Chat, Instance, Outcome, State
from gateway.presence.ports import Indicators
from gateway.presence.promising import Promising
from gateway.presence.replay import Promises
from gateway.presence.retries import Retries
from gateway.presence.steps import ChatKey, Grant, NothingShows, Overtaken, Repeated
from gateway.presence.wanted import MESSAGE, PAUSE, Ahead, Late, Wanted


class CommandResult(NamedTuple):
    """What became of a command that was obeyed, for the door to count."""

    outcome: Literal["shown", "repeated", "overtaken", "nothing"]
    ended: Literal["pause", "message", "replaced"] | None = None
    """What ended an indicator that showed before, where one did."""


_SHOWN = CommandResult("shown")
_NOTHING = CommandResult("nothing")


class Presence:
    """Obeys commands, and what else a caller does to a chat."""

    def __init__(
        self,
        indicators: Indicators,
        calls: Calls,
        promises: Promises | None = None,
        *,
        natural_end_s: float = 10.0,
        lost_lease: Callable[[], None] = lambda: None,
        monotonic: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        """Pause what has no duration after `natural_end_s`; 0 leaves it to the phone.

        `lost_lease` is called for each call that took longer than its lease.
        """
        self._lost_lease = lost_lease
        self._indicators = indicators
        self._calls = calls
        self._promises = promises
        self._natural_end_ms = in_ms(natural_end_s)
        self._monotonic = monotonic
        self._retries = Retries(monotonic=monotonic, sleep=sleep)
        self._promising = Promising(indicators, self._retries, promises, monotonic=monotonic, sleep=sleep)

    async def show(
        self,
        instance: Instance,
        chat: Chat,
        state: State,
        duration_s: int,
        *,
        asked: str = "",
        trace: str = "",
        ahead: Ahead | None = None,
    ) -> CommandResult:
        """Obey a caller's command; returns as soon as the upstream has answered.

        Args:
            instance: whose WhatsApp number.
            chat: the recipient.
            state: what to show; `PAUSED` ends what shows.
            duration_s: until the automatic pause; 0 for the natural end of an indicator.
            asked: the state as the caller wrote it, for messages.
            trace: a W3C `traceparent` to carry along, or ''.
            ahead: the same command's promise, where it was made already.

        Raises:
            GatewayError: as contract section 4 lists; nothing is owed then, except after `UpstreamSilent`.
        """
        if ahead is not None:
            grant: Grant | Overtaken | Repeated | NothingShows
            grant, wanted = ahead.use()
        else:
            key, wanted = ChatKey(instance.chats_id, chat), self._wanted(state, duration_s)
            grant = await self._promising.promise(key, wanted, self._calls.refresh_policy(instance), trace)
        if not isinstance(grant, Grant):
            return CommandResult("repeated" if isinstance(grant, Repeated) else "overtaken")
        told = await self._send(instance, grant, wanted)
        settling = self._settle_behind(grant, told, wanted)
        if told.outcome is not Outcome.OK:
            # Its caller hears that nothing is owed: then the promise must not be left behind, should we die.
            await asyncio.wait({settling})
            raise error_of(told.outcome, asked or state.value)
        ended = _ended(grant)
        return CommandResult("shown", ended) if ended else _SHOWN

    async def promise_ahead(
        self, instance: Instance, chat: Chat, state: State, duration_s: int, *, trace: str = ""
    ) -> Ahead | None:
        """Promise what `show` would, for a caller who is being admitted meanwhile; None where that has to wait.

        Whoever asks for it hands it to `show`, or gives it to `withdraw`.
        """
        key, wanted = ChatKey(instance.chats_id, chat), self._wanted(state, duration_s)
        return await self._promising.promise_ahead(key, wanted, self._calls.refresh_policy(instance), trace)

    async def withdraw(self, ahead: Ahead | None) -> None:
        """Roll back a promise that was made ahead, unless it was used, before its caller hears of a refusal."""
        if ahead is not None and not ahead.is_used:
            await self._promising.withdraw(ahead)

    async def message_sent(self, instance: Instance, chat: Chat, *, sent_ago_s: float = 0.0) -> CommandResult:
        """End what a chat shows, since a message to it was sent: that is what the indicator announced.

        Never fails: what cannot be done now is done by a wake-up, or when Redis is back. A command that arrived after
        the message was sent, `sent_ago_s` before this call, is newer, and is not touched.
        """
        key, sent_s = ChatKey(instance.chats_id, chat), self._monotonic() - sent_ago_s
        ticket = f"-{round(sent_ago_s * 1_000_000)}" if sent_ago_s > 0 else None
        try:
            grant = await self._promising.promise(key, MESSAGE, self._calls.refresh_policy(instance), "", ticket)
        except StoreUnavailable:
            self._retries.until_done(partial(self._end_later, instance, Late(key, MESSAGE, sent_s, ids.fresh())))
            return _NOTHING
        if not isinstance(grant, Grant):
            return _NOTHING
        self._settle_behind(grant, await self._send(instance, grant, MESSAGE), MESSAGE)
        return CommandResult("shown", "message")

    async def pause_unpromised(self, instance: Instance, chat: Chat) -> None:
        """Send a bare pause while Redis is away: it owes nothing, and a pause too many harms nobody.

        Raises:
            GatewayError: the upstream did not take it.
        """
        outcome = await self._calls.send_bare(instance, chat, State.PAUSED)
        if outcome is not Outcome.OK:
            raise error_of(outcome, State.PAUSED.value)
        # The record does not know, and would show its indicator again: it is told once Redis is back.
        late = Late(ChatKey(instance.chats_id, chat), PAUSE, self._monotonic(), ids.fresh())
        self._retries.until_done(partial(self._record_pause, late))

    async def drain(self) -> None:
        """Wait for records that could not be settled at once because Redis was away."""
        await self._retries.drain()

    def _wanted(self, state: State, duration_s: int) -> Wanted:
        """Some phones never let go of what nobody pauses: it ends by itself, even where no end was asked for."""
        if duration_s or state is State.PAUSED or not self._natural_end_ms:
            return Wanted(state, duration_s * 1000)
        return Wanted(state, self._natural_end_ms, "natural")

    async def _send(self, instance: Instance, grant: Grant, wanted: Wanted) -> Sent:
        told = await self._calls.send(instance, grant)
        if wanted.why == "natural" and told.began_s is not None:
            # Sent once: nobody asked that it be held. Its life, counted from the sending, must outlast its end.
            told = told._replace(refresh=told.refresh._replace(life_s=2 * wanted.lasts_ms / 1000))
        return told

    def _settle_behind(self, grant: Grant, told: Sent, wanted: Wanted) -> asyncio.Task[None]:
        """Record what became of a call, behind the answer.

        Dying here is safe where the upstream has acted: the provisional pause is on disk. The exact time is recorded in
        a moment, or as soon as Redis is back.
        """
        return self._retries.begin(partial(self._settle, grant, told, wanted))

    async def _settle(self, grant: Grant, told: Sent, wanted: Wanted) -> None:
        report = told.report(self._monotonic())
        settled = await self._indicators.settle_command(grant, report, wanted.lasts_ms, wanted.why)
        # A lost lease too: the reply to a settlement that was made may have been lost, and this one came second.
        if self._promises is not None and report.result != "failed":
            lasts_ms = wanted.lasts_ms if report.result == "ok" else report.answered_ms_ago
            self._promises.remember(grant, told.refresh, lasts_ms, answered_ms_ago=report.answered_ms_ago)
        if settled.lost_lease:
            self._lost_lease()

    async def _record_pause(self, late: Late) -> None:
        """Make the record of a pause that was told while Redis was away, unless a newer command came."""
        granted = await late.promise(self._indicators, NOBODY.refresh, self._monotonic())
        if granted is not None:
            # It may have shown again since Redis is back, so this ends in a pause of its own.
            await self._indicators.settle_command(granted, NOBODY._replace(result="unknown"), 0)

    async def _end_later(self, instance: Instance, late: Late) -> None:
        """End what a chat shows by a message that was sent while Redis was away, unless a newer command came."""
        granted = await late.promise(self._indicators, self._calls.refresh_policy(instance), self._monotonic())
        if granted is not None:
            await self._settle(granted, await self._send(instance, granted, late.wanted), late.wanted)


def _ended(grant: Grant) -> Literal["pause", "replaced"] | None:
    """What a command that was obeyed ended: whatever showed, by a pause, or by something else in its place."""
    if grant.shows in {None, State.PAUSED, grant.op}:
        return None
    return "pause" if grant.op is State.PAUSED else "replaced"
