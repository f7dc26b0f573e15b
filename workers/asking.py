"""What a worker asks of Redis beside its rounds; what nobody expected to fail ends them."""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

T = TypeVar("T")


class Asking:
    """Tasks that run beside the one that began them."""

    def __init__(self, failed: Callable[[], None]) -> None:
        """Call `failed` when a task has, so that whoever began it looks at `check`."""
        self._failed = failed
        self._tasks: set[asyncio.Task[Any]] = set()
        self._failure: BaseException | None = None

    def begin(self, asking: Coroutine[Any, Any, T]) -> asyncio.Task[T]:
        """Begin a task."""
        task = asyncio.get_running_loop().create_task(asking)
        self._tasks.add(task)
        task.add_done_callback(self._ended)
        return task

    def check(self) -> None:
        """Raise what a task failed with, if one did."""
        if self._failure is not None:
            raise self._failure

    async def close(self) -> None:
        """Wait for every task."""
        if self._tasks:
            await asyncio.wait(self._tasks)

    def _ended(self, task: asyncio.Task[Any]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (failure := task.exception()) is not None:
            self._failure = failure
            self._failed()
