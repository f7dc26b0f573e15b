"""How Redis is: what it owes in our name, whether it can write to disk, and how much memory it has left."""

import asyncio
import time
from collections.abc import Callable

from redis.asyncio import Redis

from gateway.store import keys
from gateway.store.redis import Executor, Script, command
from gateway.telemetry.gauges import Backlog, Health

_QUEUES = [keys.queue(number) for number in range(keys.PARTITIONS)]


class RedisHealth:
    """Looks, and changes nothing. `clock_us` replaces Redis' clock in tests of virtual time."""

    def __init__(
        self, redis: Redis, executor: Executor | None = None, *, clock_us: Callable[[], int] | None = None
    ) -> None:
        """Measure what is owed by `executor`, and look at the server that holds the tenants by `redis`."""
        self._redis = redis
        self._measure = Script(executor or redis, "store/measure")
        self._clock_us = clock_us

    async def look(self) -> Health:
        """Return how it is.

        Raises:
            StoreUnavailable: Redis did not answer.
        """
        began = time.perf_counter()
        backlog = await self.backlog()
        round_trip_s = time.perf_counter() - began
        told = await command(self._redis, "INFO", "persistence", "memory")
        return Health(
            round_trip_s,
            backlog,
            aof_ok=bool(told["aof_enabled"]) and told["aof_last_write_status"] == "ok",
            rdb_ok=told["rdb_last_bgsave_status"] == "ok",
            memory_bytes=told["used_memory"],
            memory_limit_bytes=told["maxmemory"],
        )

    async def backlog(self) -> Backlog:
        """Return what is owed.

        Raises:
            StoreUnavailable: Redis did not answer.
        """
        clock = "" if self._clock_us is None else self._clock_us()
        every = await asyncio.gather(*(self._measure((key,), (clock,)) for key in _QUEUES))
        owed, retrying, due = (sum(int(one[place]) for one in every) for place in range(3))
        return Backlog(owed, retrying, due, max(int(one[3]) for one in every) / 1000)
