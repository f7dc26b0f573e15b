"""What this process promised lately, to say it again where Redis has lost it.

A replica that takes over, or a server that did not sync its log, may lack the last writes. Whoever made them is still
there: each gateway remembers its own newest command for every chat until that would be over, and tells a Redis that
is not the one it knew. Redis keeps whichever command is newer.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, Collection
from typing import NamedTuple

from cachetools import FIFOCache

from gateway.presence.errors import StoreUnavailable
from gateway.presence.model import State
from gateway.presence.ports import Indicators
from gateway.presence.steps import ChatKey, Grant, RefreshPolicy

LOOK_EVERY_S = 0.5
"""How soon a Redis that lost something is noticed; one `INFO` of each server each time."""

_SELDOM = 10
"""Looks of which all but one are left out where nothing is remembered."""

_LINGER_S = 30.0
"""For how long a command without an end is still the chat's newest: its record lives no longer either."""

_MARGIN_S = 10.0
"""What was over this long before Redis was last seen well has been paused."""

_TIDY_EVERY_S = 5.0
_MOST = 50_000
_AT_ONCE = 64


class Kept(NamedTuple):
    """A command that was obeyed.

    Attributes:
        ticket: its place among the chat's commands.
        op: what the upstream was told.
        ends_s: when its pause is due, on the local monotonic clock; None without an end.
        forget_s: from when it no longer matters.
        refresh: how it is held.
    """

    ticket: str
    op: State
    ends_s: float | None
    forget_s: float
    refresh: RefreshPolicy


class Promises:
    """The memory of one process, and the watch over the Redis that should know the same."""

    def __init__(
        self,
        indicators: Indicators,
        *,
        monotonic: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._indicators = indicators
        self._monotonic = monotonic
        self._sleep = sleep
        self._kept: FIFOCache[ChatKey, Kept] = FIFOCache(_MOST)
        self._servers: list[str] = []
        self._well_s = self._tidied_s = monotonic()

    def __len__(self) -> int:
        """How many commands are remembered."""
        return len(self._kept)

    def remember(self, grant: Grant, refresh: RefreshPolicy, duration_ms: int, *, answered_ms_ago: int) -> None:
        """Keep a command that was obeyed; the older one of its chat is forgotten."""
        now_s = self._monotonic()
        ends_s = now_s + (duration_ms - answered_ms_ago) / 1000 if duration_ms else None
        forget_s = now_s + _LINGER_S if ends_s is None else ends_s
        self._kept[grant.key] = Kept(grant.ticket, grant.op, ends_s, forget_s, refresh)

    async def watch(self) -> None:
        """Look until cancelled; now and then only, while there is nothing to say again."""
        while True:
            await self.look()
            for _ in range(_SELDOM):
                await self._sleep(LOOK_EVERY_S)
                if self._kept:
                    break

    async def look(self) -> int:
        """Ask Redis who it is; a stranger is told everything that may still matter. Returns how much it had lost."""
        try:
            servers = await self._indicators.servers()
            strangers = {
                number
                for number, (known, now) in enumerate(zip(self._servers or servers, servers, strict=True))
                if known and now and known != now
            }
            lost = await self._tell_all(strangers) if strangers else 0
        except StoreUnavailable:
            # Nothing is forgotten and the stranger stays one: the next look does it all again.
            return 0
        self._servers = [now or known for known, now in zip(self._servers or servers, servers, strict=True)]
        if all(servers):
            self._well_s = self._monotonic()
        if self._well_s >= self._tidied_s + _TIDY_EVERY_S:
            # It walks over all that is kept, which may be much.
            self._forget()
        return lost

    async def _tell_all(self, partitions: Collection[int]) -> int:
        self._forget()
        told = [one for one in self._kept.items() if self._indicators.partition(one[0]) in partitions]
        lost = 0
        for first in range(0, len(told), _AT_ONCE):
            answers = await asyncio.gather(*(self._tell(key, kept) for key, kept in told[first : first + _AT_ONCE]))
            lost += sum(answers)
        return lost

    async def _tell(self, key: ChatKey, kept: Kept) -> bool:
        left_ms = None if kept.ends_s is None else round((kept.ends_s - self._monotonic()) * 1000)
        return await self._indicators.replay(key, kept.op, left_ms, ticket=kept.ticket, refresh=kept.refresh)

    def _forget(self) -> None:
        self._tidied_s, over_s = self._well_s, self._well_s - _MARGIN_S
        for key in [key for key, kept in self._kept.items() if kept.forget_s < over_s]:
            del self._kept[key]
