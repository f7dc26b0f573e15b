"""Wrong keys of the operator's port, counted for each client address over the last minute."""

from collections.abc import Callable

from redis.asyncio import Redis

from gateway.presence.errors import TooManyFailures
from gateway.store import keys
from gateway.store.redis import Script


class FailedKeyLimiter:
    """An address that guessed too often gets the same answer to every further guess, until its minute is over."""

    def __init__(self, redis: Redis, *, per_minute: int, clock_us: Callable[[], int] | None = None) -> None:
        self._guess = Script(redis, "tenants/count_failure")
        self._per_minute = per_minute
        self._clock_us = clock_us

    async def count(self, address: str) -> None:
        """Count a wrong key.

        Raises:
            TooManyFailures: it was one too many.
            StoreUnavailable: Redis did not answer.
        """
        now = "" if self._clock_us is None else self._clock_us()
        if int(await self._guess((keys.failures("admin:" + address),), (now, self._per_minute))):
            raise TooManyFailures(retry_after_s=60)
