"""How much of this minute each token has spent, read without spending any of it."""

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from redis.asyncio import Redis

from gateway.store import keys
from gateway.store.redis import Script
from gateway.tenants.views import TokenView

_SPAN_S = 60


@dataclass(frozen=True, slots=True)
class Usage:
    """A token's minute; `reset_s` is the Unix second at which the next slot frees."""

    token_id: str
    used: int
    reset_s: int


class RedisUsage:
    """Looks at the sliding logs that admission keeps."""

    def __init__(self, redis: Redis, *, clock_us: Callable[[], int] | None = None) -> None:
        self._usage = Script(redis, "tenants/usage")
        self._clock_us = clock_us

    async def of(self, tokens: Sequence[TokenView]) -> list[Usage]:
        """Return each token's minute.

        Raises:
            StoreUnavailable: Redis did not answer.
        """
        if not tokens:
            return []
        now = "" if self._clock_us is None else self._clock_us()
        flat = await self._usage([keys.window(token.hash, "global") for token in tokens], (now,))
        return [
            Usage(token.id, int(used), _reset_s(int(oldest)))
            for token, used, oldest in zip(tokens, flat[::2], flat[1::2], strict=True)
        ]


def _reset_s(oldest_ms: int) -> int:
    return math.ceil(oldest_ms / 1000 + _SPAN_S) if oldest_ms else int(time.time())
