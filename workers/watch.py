"""Keeps an eye on whether the worker reaches Redis, for the probes and the metrics, and on its end."""

import asyncio
import time

import structlog

from gateway.telemetry.metrics import WORKER_LAST_POLL

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
        self._is_missing = False

    @property
    def is_polling(self) -> bool:
        """Whether a partition was looked at lately."""
        return time.monotonic() - self._last_look_s < _SILENT_S

    def saw(self) -> None:
        """A look was answered."""
        self._is_missing = False
        self._last_look_s = time.monotonic()
        WORKER_LAST_POLL.set_to_current_time()

    def missed(self, error: Exception) -> None:
        """Redis was away: what is under way goes on, and the next look comes soon."""
        if not self._is_missing:
            _log.warning("worker_lost_redis", error=type(error.__cause__ or error).__name__)
        self._is_missing = True
