"""Keeps an eye on the worker's looks at its queue, whichever way it looks: for the probes, the metrics, and its end."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

import structlog
from arq.worker import Worker
from redis.exceptions import OutOfMemoryError, RedisError

from gateway.presence.errors import StoreUnavailable
from gateway.telemetry.metrics import REDIS_ERRORS, WORKER_JOBS, WORKER_LAST_POLL

AGAIN_S = 0.1
"""Between two looks while Redis is away."""

_SILENT_S = 5.0

_log = structlog.get_logger()


class WorkerStopped(Exception):
    """The worker was told to stop, and has no look half done."""


class Watch:
    """One for the process; its workers come and go."""

    def __init__(self, stop: asyncio.Event) -> None:
        """End the worker of the moment when `stop` is set."""
        self.stop = stop
        self._last_look_s = 0.0
        self._misses = 0

    @property
    def is_polling(self) -> bool:
        """Whether the queue was looked at lately."""
        return time.monotonic() - self._last_look_s < _SILENT_S

    @asynccontextmanager
    async def looking(self, worker: Worker) -> AsyncIterator[None]:
        """Surround one look of `worker`.

        Raises:
            WorkerStopped: there shall be no further one.
        """
        if self.stop.is_set():
            raise WorkerStopped
        try:
            # arq's own note of its health, which a Redis that is full may refuse: pauses go on.
            with suppress(OutOfMemoryError):
                yield
        except (StoreUnavailable, RedisError, OSError) as error:
            await self._missed(error)
        else:
            self._misses = 0
            self._last_look_s = time.monotonic()
            WORKER_LAST_POLL.set_to_current_time()
        WORKER_JOBS.set(len(worker.tasks))

    async def _missed(self, error: Exception) -> None:
        """Redis was away: what is under way goes on, and the next look comes soon."""
        if isinstance(error, RedisError | OSError):
            REDIS_ERRORS.inc()
        if not self._misses:
            _log.warning("worker_lost_redis", error=type(error.__cause__ or error).__name__)
        self._misses += 1
        await asyncio.sleep(AGAIN_S)
