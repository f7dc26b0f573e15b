"""How Redis is: what it owes in our name, whether it can write to disk, and how much memory it has left.

Of a cluster, each primary is asked: it writes to disk where all do, and has as much memory left as the fullest.
"""

import asyncio
import time
from collections.abc import Callable, Mapping

from gateway.store import keys
from gateway.store.connections import by_server
from gateway.store.partitions import QUEUES
from gateway.store.redis import Executor, Script, command
from gateway.store.replies import info
from gateway.telemetry.gauges import Backlog, Health


class RedisHealth:
    """Looks, and changes nothing. `clock_us` replaces Redis' clock in tests of virtual time."""

    def __init__(self, redis: Executor, *, clock_us: Callable[[], int] | None = None) -> None:
        """Look by `redis`, whose replies are as Redis sends them."""
        self._redis = redis
        self._measure = Script(redis, "store/measure")
        self._clock_us = clock_us

    async def look(self) -> Health:
        """Return how it is.

        Raises:
            StoreUnavailable: Redis did not answer.
        """
        began = time.perf_counter()
        backlog = await self.backlog()
        round_trip_s = time.perf_counter() - began
        servers = await by_server(self._redis, [keys.CHANGES, *QUEUES])
        every = await asyncio.gather(*(command(server, "INFO", "persistence", "memory") for server, _ in servers))
        told = [info(one) for one in every]
        fullest = max(told, key=_fullness)
        return Health(
            round_trip_s,
            backlog,
            aof_ok=all(one["aof_enabled"] == "1" and one["aof_last_write_status"] == "ok" for one in told),
            rdb_ok=all(one["rdb_last_bgsave_status"] == "ok" for one in told),
            memory_bytes=int(fullest["used_memory"]),
            memory_limit_bytes=int(fullest["maxmemory"]),
        )

    async def backlog(self) -> Backlog:
        """Return what is owed.

        Raises:
            StoreUnavailable: Redis did not answer.
        """
        clock = "" if self._clock_us is None else self._clock_us()
        every = await asyncio.gather(*(self._measure((key,), (clock,)) for key in QUEUES))
        owed, retrying, due = (sum(int(one[place]) for one in every) for place in range(3))
        return Backlog(owed, retrying, due, max(int(one[3]) for one in every) / 1000)


def _fullness(told: Mapping[str, str]) -> tuple[float, int]:
    """How much of its memory a server has used, and where it has no limit, how much at all."""
    used, limit = int(told["used_memory"]), int(told["maxmemory"])
    return (used / limit if limit else 0.0), used
