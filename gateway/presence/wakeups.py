"""What is due later: refreshes and pauses, claimed for many chats at a time and performed each by itself.

The chat's record says whether that is a refresh, the pause, or nothing because a newer command came. Whoever dies with
a claim gives it back when its lease ends.
"""

import asyncio
import random
import time
from collections.abc import Awaitable, Callable
from typing import Literal, NamedTuple

from gateway.presence.calls import NOBODY, Calls, Sent, in_ms
from gateway.presence.model import Outcome, State
from gateway.presence.ports import Directory, Indicators
from gateway.presence.retries import Retries
from gateway.presence.steps import Claim

BACK_OFF_S = (0.3, 0.6, 1.2, 2.4, 5.0)
"""Waits between the tries of a failed pause; the last one repeats. Jitter of a fifth keeps a crowd apart."""


class WakeUpResult(NamedTuple):
    """What a wake-up did, for the door to count and log."""

    did: Literal["nothing", "refreshed", "refresh_failed", "paused", "pause_failed", "abandoned"]
    trigger: Literal["due", "retry", "echo"] = "due"
    outcome: Outcome | None = None
    late_ms: int | None = None
    lost_lease: bool = False
    trace: str = ""
    ended: Literal["time", "natural", "message"] | None = None
    """Why an indicator was paused, where this was its first pause."""


class WakeUps:
    """Performs wake-ups; in the worker, and wherever else one runs."""

    def __init__(
        self,
        indicators: Indicators,
        calls: Calls,
        directory: Directory,
        *,
        give_up_s: float,
        monotonic: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
        jitter: Callable[[], float] = lambda: random.uniform(0.8, 1.2),  # noqa: S311 - spreads load, guards nothing
    ) -> None:
        """Try a pause that fails for `give_up_s`."""
        self._indicators = indicators
        self._calls = calls
        self._directory = directory
        self._give_up_s = give_up_s
        self._monotonic = monotonic
        self._sleep = sleep
        self._jitter = jitter
        self._retries = Retries(monotonic=monotonic, sleep=sleep)

    async def perform(self, claim: Claim, change: str | None) -> WakeUpResult:
        """Tell the upstream what was claimed, and record what became of it; failing, it is claimed again later.

        Args:
            claim: what, under a lease.
            change: the latest change to instances (see `ports.Directory.keeper`).

        Raises:
            StoreUnavailable: Redis did not answer; the record still owes what it owed.
        """
        instance = await self._directory.keeper(claim.grant.key.instance_id, change)
        if instance is None:
            # Nobody is left to tell. Giving up closes the record.
            await self._indicators.settle_wake(claim.grant, NOBODY, retry_ms=None)
            return WakeUpResult("abandoned", trace=claim.trace)
        return await self._settle_wake(claim, await self._calls.send(instance, claim.grant))

    async def _settle_wake(self, claim: Claim, told: Sent) -> WakeUpResult:
        is_pause = claim.grant.op is State.PAUSED
        # An upstream that doubts the number has paused all the same, and would say the same of it every time.
        is_obeyed = is_pause and told.outcome is Outcome.DOUBTED_NUMBER
        done = told._replace(outcome=Outcome.OK) if is_obeyed else told
        failed = is_pause and done.outcome is not Outcome.OK
        retry_ms = self._retry_ms(claim, told.outcome) if failed else None
        settled = await self._retries.insist(
            lambda: self._indicators.settle_wake(claim.grant, done.report(self._monotonic()), retry_ms=retry_ms)
        )
        return WakeUpResult(
            _did(done.outcome, is_pause=is_pause, gave_up=retry_ms is None),
            trigger="echo" if claim.is_echo else "retry" if claim.tries else "due",
            outcome=told.outcome,
            late_ms=settled.late_ms,
            lost_lease=settled.lost_lease,
            trace=claim.trace,
            ended=(claim.why or "time") if is_pause and not claim.is_echo and done.outcome is Outcome.OK else None,
        )

    def _retry_ms(self, claim: Claim, outcome: Outcome) -> int | None:
        """When to try a failed pause again; None where it has failed for so long that nobody waits for it."""
        if claim.overdue_ms >= self._give_up_s * 1000:
            return None
        # A session that is down cannot show anything either: no hurry.
        is_down = outcome in {Outcome.NOT_CONNECTED, Outcome.NOT_READY}
        step = -1 if is_down else min(claim.tries, len(BACK_OFF_S) - 1)
        return in_ms(BACK_OFF_S[step] * self._jitter())


def _did(
    outcome: Outcome, *, is_pause: bool, gave_up: bool
) -> Literal["refreshed", "refresh_failed", "paused", "pause_failed", "abandoned"]:
    if not is_pause:
        return "refreshed" if outcome is Outcome.OK else "refresh_failed"
    if outcome is Outcome.OK:
        return "paused"
    return "abandoned" if gave_up else "pause_failed"
