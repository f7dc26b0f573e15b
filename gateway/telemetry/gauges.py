"""Gauges of what no single process knows by itself, asked for when somebody scrapes and at no other time."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from math import nan

from gateway.presence.errors import StoreUnavailable
from gateway.telemetry.metrics import (
    CIRCUITS_OPEN,
    OLDEST_OVERDUE,
    PAUSES_OWED,
    PAUSES_RETRYING,
    QUEUE_DUE,
    REDIS_MEMORY,
    REDIS_MEMORY_LIMIT,
    REDIS_PERSISTENCE_OK,
    REDIS_ROUND_TRIP,
    REDIS_UP,
)

_PATIENCE_S = 1.0
"""A scrape tells of a Redis that hangs rather than hang with it."""


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


class Gauges:
    """One object for the process. Gateways tell of the backlog too, so that it is seen when every worker is gone."""

    def __init__(self, look: Callable[[], Awaitable[Health]], count_open_circuits: Callable[[], int]) -> None:
        """Take how to look at Redis, and how to count this process's open circuits."""
        self._look = look
        self._count_open_circuits = count_open_circuits

    async def refresh(self) -> None:
        """Ask, and set; what Redis does not tell is NaN, which is neither zero nor the last value."""
        CIRCUITS_OPEN.set(self._count_open_circuits())
        try:
            async with asyncio.timeout(_PATIENCE_S):
                _set(await self._look())
        except (StoreUnavailable, TimeoutError):
            _unset()


def _set(health: Health) -> None:
    REDIS_UP.set(1)
    REDIS_ROUND_TRIP.set(health.round_trip_s)
    REDIS_PERSISTENCE_OK.labels("aof").set(health.aof_ok)
    REDIS_PERSISTENCE_OK.labels("rdb").set(health.rdb_ok)
    REDIS_MEMORY.set(health.memory_bytes)
    REDIS_MEMORY_LIMIT.set(health.memory_limit_bytes)
    PAUSES_OWED.set(health.backlog.owed)
    PAUSES_RETRYING.set(health.backlog.retrying)
    OLDEST_OVERDUE.set(health.backlog.oldest_overdue_s)
    QUEUE_DUE.set(health.backlog.due_jobs)


def _unset() -> None:
    REDIS_UP.set(0)
    for gauge in (REDIS_ROUND_TRIP, REDIS_MEMORY, REDIS_MEMORY_LIMIT):
        gauge.set(nan)
    for gauge in (PAUSES_OWED, PAUSES_RETRYING, OLDEST_OVERDUE, QUEUE_DUE):
        gauge.set(nan)
    for kind in ("aof", "rdb"):
        REDIS_PERSISTENCE_OK.labels(kind).set(nan)
