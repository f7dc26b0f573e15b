"""An asyncio loop whose time is virtual: when nothing is ready it is the next timer's time at once."""

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

T = TypeVar("T")


class VirtualLoop(asyncio.BaseEventLoop):
    """Runs callbacks in a fixed order, so that a seed replays to the step."""

    def __init__(self) -> None:
        super().__init__()
        self.now_s = 0.0
        self._selector = self  # what `BaseEventLoop` waits on
        self._every_task: set[asyncio.Task[Any]] = set()  # of the dead too: what they wait for never comes

    def time(self) -> float:
        return self.now_s

    def create_task(self, coro: Any, **options: Any) -> asyncio.Task[Any]:
        task = super().create_task(coro, **options)
        self._every_task.add(task)
        task.add_done_callback(self._every_task.discard)
        return task

    def select(self, timeout: float | None) -> list[Any]:
        if timeout is None:
            raise RuntimeError("everything waits for something that never happens")
        if timeout > 0:
            timer: asyncio.TimerHandle = self._scheduled[0]  # type: ignore[attr-defined]
            self.now_s = max(self.now_s, timer.when())
        return []

    def _process_events(self, events: list[Any]) -> None:
        pass

    def _write_to_self(self) -> None:
        pass


def run(main: Coroutine[Any, Any, T]) -> T:
    """Run `main` to its end in virtual time, then end whatever still waits."""
    loop = VirtualLoop()
    asyncio.set_event_loop(loop)
    try:
        done = loop.run_until_complete(main)
        # Some of the dead wait for something else when they are cancelled, which never comes either.
        while left := asyncio.all_tasks(loop):
            for task in left:
                task.cancel()
            loop.run_until_complete(asyncio.sleep(0))
        return done
    finally:
        asyncio.set_event_loop(None)
        loop.close()
