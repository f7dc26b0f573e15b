"""Steps behind a command's answer, or within a wake-up: where Redis does not take one, it is taken again."""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Coroutine
from contextvars import Context, copy_context
from typing import NamedTuple, TypeVar

from gateway.presence.errors import StoreUnavailable

_AGAIN_S = 0.1
"""Between two tries of a step."""

_WAKE_PATIENCE_S = 10.0
"""For how long a wake-up insists; whatever it leaves undone then comes back when its lease ends."""

_COMMAND_PATIENCE_S = 120.0
"""For how long a command's record is put right after its caller was answered."""

MOST = 10_000
"""Steps that are kept; of more, the oldest is given up."""

_AT_ONCE = 32

T = TypeVar("T")


class _Step(NamedTuple):
    take: Callable[[], Coroutine[object, object, object]]
    until_s: float
    context: Context
    """Whose trace it belongs to."""


class Retries:
    """The steps of one process that wait for Redis; one task takes all of them, so that an outage costs no more."""

    def __init__(self, *, monotonic: Callable[[], float], sleep: Callable[[float], Awaitable[None]]) -> None:
        """Wait on the clock that is given."""
        self._monotonic = monotonic
        self._sleep = sleep
        self._waiting: deque[_Step] = deque()
        self._retrying: asyncio.Task[None] | None = None
        self._begun: set[asyncio.Task[None]] = set()

    def begin(self, step: Callable[[], Coroutine[object, object, object]]) -> asyncio.Task[None]:
        """Take a step in the background, and again until Redis takes it; returns the first try."""
        task = asyncio.create_task(self._take(step))
        self._begun.add(task)
        task.add_done_callback(self._begun.discard)
        return task

    def until_done(self, step: Callable[[], Coroutine[object, object, object]]) -> None:
        """Take a step in the background until Redis takes it; `step` raises `StoreUnavailable` where it does not."""
        if len(self._waiting) >= MOST:
            self._waiting.popleft()
        self._waiting.append(_Step(step, self._monotonic() + _COMMAND_PATIENCE_S, copy_context()))
        if self._retrying is None:
            self._retrying = asyncio.create_task(self._retry_all())

    async def insist(self, step: Callable[[], Awaitable[T]]) -> T:
        """Take a wake-up's step until Redis takes it: given up, it would hold its chat for a whole lease.

        Raises:
            StoreUnavailable: Redis was away for too long.
        """
        give_up_s = self._monotonic() + _WAKE_PATIENCE_S
        while True:
            try:
                return await step()
            except StoreUnavailable:
                if self._monotonic() > give_up_s:
                    raise
            await self._sleep(_AGAIN_S)

    async def drain(self) -> None:
        """Wait until nothing is left."""
        while under_way := self._begun | ({self._retrying} if self._retrying else set()):
            await asyncio.wait(under_way)

    async def _take(self, step: Callable[[], Coroutine[object, object, object]]) -> None:
        try:
            await step()
        except StoreUnavailable:
            self.until_done(step)

    async def _retry_all(self) -> None:
        while self._waiting:
            await self._sleep(_AGAIN_S)
            some = [self._waiting.popleft() for _ in range(min(_AT_ONCE, len(self._waiting)))]
            taking = [asyncio.create_task(step.take(), context=step.context) for step in some]
            answers = await asyncio.gather(*taking, return_exceptions=True)
            again = [step for step, answer in zip(some, answers, strict=True) if isinstance(answer, StoreUnavailable)]
            self._waiting.extendleft(step for step in reversed(again) if step.until_s > self._monotonic())
        self._retrying = None
