"""How Redis is: what it owes in our name, whether it can write to disk, and how much memory it has left."""

import time
from collections.abc import Callable
from dataclasses import dataclass

from redis.asyncio import Redis

from gateway.store import keys
from gateway.store.redis import Script, command


@dataclass(frozen=True, slots=True)
class Backlog:
    """What is owed now, over all processes.

    Attributes:
        owed: chats that wait for a pause.
        retrying: those of them whose pause has failed before.
        due_jobs: wake-ups whose time has come and which nobody has claimed.
        oldest_overdue_s: how long ago the oldest undelivered pause or refresh was due.
    """

    owed: int
    retrying: int
    due_jobs: int
    oldest_overdue_s: float


@dataclass(frozen=True, slots=True)
class Health:
    """One look at Redis.

    Attributes:
        round_trip_s: how long it took to answer.
        backlog: what it owes.
        aof_ok: whether there is an append-only file and its last write succeeded.
        rdb_ok: whether the last snapshot succeeded; true where none was asked for.
        memory_bytes: what it uses.
        memory_limit_bytes: what it may use, 0 for no limit.
    """

    round_trip_s: float
    backlog: Backlog
    aof_ok: bool
    rdb_ok: bool
    memory_bytes: int
    memory_limit_bytes: int


class RedisHealth:
    """Looks, in two round trips, and changes nothing. `clock_us` replaces Redis' clock in tests of virtual time."""

    def __init__(self, redis: Redis, *, clock_us: Callable[[], int] | None = None) -> None:
        self._redis = redis
        self._measure = Script(redis, "measure")
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
        owed, retrying, due, overdue_ms = await self._measure((keys.OWED, keys.LATE, keys.QUEUE), (clock,))
        return Backlog(int(owed), int(retrying), int(due), int(overdue_ms) / 1000)
