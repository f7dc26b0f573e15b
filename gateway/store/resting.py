"""Accounts that are made unavailable a while after their last indicator, so that their owner's phone rings again."""

from collections.abc import Callable

from gateway.store import keys
from gateway.store.redis import Executor, Script

_AT_ONCE = 50
_MOST_TRIES = 100
"""With a lease between two tries: the upstream has been away for ten minutes."""


class RedisRestingAccounts:
    """`ports.RestingAccounts` on Redis; the scripts that end indicators put the instances here."""

    def __init__(self, redis: Executor, *, lease_s: float, clock_us: Callable[[], int] | None = None) -> None:
        """Keep an instance from others for `lease_s` while its upstream is called."""
        self._rest = Script(redis, "store/rest")
        self._rested = Script(redis, "store/rested")
        self._lease_ms = round(lease_s * 1000)
        self._clock_us = clock_us

    async def due(self, partition: int) -> list[str]:
        """Return the instances whose time has come (see `ports.RestingAccounts.due`)."""
        now = "" if self._clock_us is None else self._clock_us()
        words = (now, _AT_ONCE, self._lease_ms, _MOST_TRIES)
        return [word.decode() for word in await self._rest((keys.resting(partition),), words)]

    async def rested(self, instance_id: str, *, done: bool) -> None:
        """Record whether the upstream was told (see `ports.RestingAccounts.rested`)."""
        await self._rested((keys.resting(keys.partition(instance_id)),), (instance_id, "1" if done else "0"))
