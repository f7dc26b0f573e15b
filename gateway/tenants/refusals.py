"""Refusals that this process remembers, for exactly as long as Redis would say the same.

A spent minute stays spent until its oldest stamp leaves it, unless somebody changes something: revokes the token,
raises its limit, suspends its account. Every change gets a number in the same step. So a refusal is repeated only after
a look at the latest number, and one look serves every refusal of a turn of the event loop.
"""

import asyncio
from dataclasses import dataclass
from typing import Generic, TypeVar

from cachetools import FIFOCache

from gateway.store import keys
from gateway.store.redis import Executor, command

_MOST = 10_000

T = TypeVar("T")
Refused = tuple[str, ...]
"""What was refused: a token's hash with its limit's class, or with an address."""


@dataclass(frozen=True, slots=True)
class _Remembered(Generic[T]):
    refusal: T
    until_s: float
    change: object


class Refusals(Generic[T]):
    """A bounded memory; what was refused longest ago is forgotten first."""

    def __init__(self, redis: Executor) -> None:
        self._redis = redis
        self._kept: FIFOCache[Refused, _Remembered[T]] = FIFOCache(_MOST)
        self._asking: asyncio.Task[object] | None = None

    def remember(self, what: Refused, refusal: T, *, until_s: float, change: object) -> None:
        """Keep a refusal that holds until then, while `change` is the latest one."""
        self._kept[what] = _Remembered(refusal, until_s, change)

    def holds(self, what: Refused) -> bool:
        """Whether a refusal is kept, which may be over by now."""
        return what in self._kept

    async def recall(self, what: Refused, now_s: float) -> T | None:
        """Return a refusal that still holds.

        Raises:
            StoreUnavailable: Redis did not answer.
        """
        kept = self._kept.get(what)
        if kept is None:
            return None
        if now_s < kept.until_s and await self._latest_change() == kept.change:
            return kept.refusal
        self._kept.pop(what, None)
        return None

    async def _latest_change(self) -> object:
        """Return the latest change's number, as of no earlier than this call."""
        if self._asking is None:
            self._asking = asyncio.create_task(self._ask())
            # Who comes in a later turn asks anew: this question may be on its way already.
            asyncio.get_running_loop().call_soon(self._asked)
        return await asyncio.shield(self._asking)

    def _asked(self) -> None:
        self._asking = None

    async def _ask(self) -> object:
        return await command(self._redis, "GET", keys.CHANGES) or b""
