"""The promise of a command: made before the upstream is told anything, rolled back where that comes to nothing."""

import asyncio
from collections.abc import Awaitable, Callable
from functools import partial

from gateway.presence import ids
from gateway.presence.calls import NOBODY, in_ms
from gateway.presence.errors import StoreUnavailable
from gateway.presence.ports import Indicators
from gateway.presence.replay import Promises
from gateway.presence.retries import Retries
from gateway.presence.steps import Busy, ChatKey, Grant, NothingShows, Overtaken, RefreshPolicy, Repeated, Unclear
from gateway.presence.wanted import Ahead, Wanted

_WAIT_S = (0.005, 0.01, 0.02, 0.04, 0.05)
"""Waits between two looks at a lease that is taken; a healthy call gives it back within milliseconds."""


class Promising:
    """Makes promises, and rolls them back."""

    def __init__(
        self,
        indicators: Indicators,
        retries: Retries,
        promises: Promises | None,
        *,
        monotonic: Callable[[], float],
        sleep: Callable[[float], Awaitable[None]],
    ) -> None:
        """Remember in `promises` what a failover might lose."""
        self._indicators = indicators
        self._retries = retries
        self._promises = promises
        self._monotonic = monotonic
        self._sleep = sleep

    async def promise(
        self, key: ChatKey, wanted: Wanted, refresh: RefreshPolicy, trace: str, ticket: str | None = None
    ) -> Grant | Overtaken | Repeated | NothingShows:
        """Promise, and wait while another call to this chat is under way.

        Raises:
            StoreUnavailable: Redis did not answer; what it may have made of it is rolled back.
        """
        owner, looks = ids.fresh(), 0
        while True:
            asked_s = self._monotonic()
            answer = await self._ask(key, wanted, owner, refresh, trace, ticket=ticket)
            if isinstance(answer, Repeated) and self._promises is not None:
                repeated = Grant(key, owner, wanted.op, 0.0, ticket=answer.ticket)
                self._promises.remember(
                    repeated, refresh, wanted.lasts_ms, answered_ms_ago=in_ms(self._monotonic() - asked_s)
                )
            assert not isinstance(answer, Unclear)  # which only answers what is asked ahead
            if not isinstance(answer, Busy):
                return answer
            ticket = answer.ticket
            await self._sleep(min(_WAIT_S[min(looks, len(_WAIT_S) - 1)], answer.lease_ms / 1000))
            looks += 1

    async def promise_ahead(self, key: ChatKey, wanted: Wanted, refresh: RefreshPolicy, trace: str) -> Ahead | None:
        """Promise for a caller who is being admitted meanwhile; None where that has to wait."""
        try:
            answer = await self._ask(key, wanted, ids.fresh(), refresh, trace, ahead=True)
        except StoreUnavailable:
            return None
        return Ahead(answer, wanted) if isinstance(answer, Grant) else None

    async def withdraw(self, ahead: Ahead) -> None:
        """Roll back a promise that was made ahead, before its caller hears of a refusal."""
        grant, wanted = ahead.use()
        step = partial(self._roll_back, grant, wanted.lasts_ms, "withdrawn")
        await asyncio.wait({self._retries.begin(step)})

    async def _ask(
        self,
        key: ChatKey,
        wanted: Wanted,
        owner: str,
        refresh: RefreshPolicy,
        trace: str,
        *,
        ticket: str | None = None,
        ahead: bool = False,
    ) -> Grant | Busy | Overtaken | Repeated | NothingShows | Unclear:
        op, lasts_ms, why = wanted
        try:
            return await self._indicators.promise(
                key, op, lasts_ms, owner=owner, ticket=ticket, trace=trace, refresh=refresh, why=why, ahead=ahead
            )
        except StoreUnavailable:
            # It may have been made, or be made yet, and our caller hears that nothing is owed: roll it back, or it
            # would cut short what the chat shows.
            self._retries.until_done(partial(self._roll_back, Grant(key, owner, op, 0.0), lasts_ms))
            raise

    async def _roll_back(self, grant: Grant, duration_ms: int, outcome: str = "") -> None:
        await self._indicators.settle_command(grant, NOBODY._replace(outcome=outcome), duration_ms)
