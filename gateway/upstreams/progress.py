"""Ends an exchange in which nothing moves any more, or for whose end nobody waits."""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager

from gateway.presence.errors import CallerLeft, GatewayError, UpstreamSilent

_LOOK_EVERY_S = 0.25
"""How soon a caller who went away is noticed."""


class Progress:
    """When something last moved, and who was to move next.

    Attributes:
        failure: why the exchange was cut off.
    """

    def __init__(self, silence_s: float, is_left: Callable[[], bool], deadline: asyncio.Timeout) -> None:
        """Begin now, and move `deadline` here once there is nothing to wait for."""
        self.failure: GatewayError | None = None
        self._loop = asyncio.get_running_loop()
        self._silence_s = silence_s
        self._is_left = is_left
        self._deadline = deadline
        self._is_watched = True
        self._moved_at_s = self._loop.time()
        self._silence: Callable[[], GatewayError] = UpstreamSilent
        self._timer = self._later()

    def moved(self, *, next_is: Callable[[], GatewayError] = UpstreamSilent) -> None:
        """Something moved; `next_is` the error where nothing follows."""
        self._moved_at_s = self._loop.time()
        self._silence = next_is

    @contextmanager
    def unwatched(self) -> Iterator[None]:
        """Go on inside the block whatever happens: it has a bound of its own."""
        self._is_watched = False
        try:
            yield
        finally:
            self._is_watched = True
            self.moved()

    def end(self) -> None:
        """Look no more."""
        self._timer.cancel()

    def _later(self) -> asyncio.TimerHandle:
        return self._loop.call_later(min(_LOOK_EVERY_S, self._silence_s / 4), self._look)

    def _look(self) -> None:
        self.failure = self._found() if self._is_watched else None
        if self.failure is None:
            self._timer = self._later()
        else:
            self._deadline.reschedule(self._loop.time())

    def _found(self) -> GatewayError | None:
        if self._is_left():
            return CallerLeft()
        return self._silence() if self._loop.time() - self._moved_at_s >= self._silence_s else None


@asynccontextmanager
async def watched(silence_s: float, is_left: Callable[[], bool]) -> AsyncIterator[Progress]:
    """Cut the block off once nothing has moved for `silence_s`, or once `is_left`.

    Raises:
        CallerLeft: nobody waits any more.
        GatewayError: who was to move next did not.
    """
    progress: Progress | None = None
    try:
        async with asyncio.timeout(None) as deadline:
            progress = Progress(silence_s, is_left, deadline)
            try:
                yield progress
            finally:
                progress.end()
    except TimeoutError:
        if progress is None or progress.failure is None:
            raise
        raise progress.failure from None
