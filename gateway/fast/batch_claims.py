"""An arq worker that claims wake-ups many at a time, and performs them side by side.

arq's own poll step looks at its queue by a clock, and costs four round trips for each job before its body runs. In its
place stand rounds of our own, which sleep until something wakes up and claim all of it by one script. The lease in the
chat's record, which the script takes, stands for arq's mark that a job was started.

Leans on: arq 0.28, whose `Worker` looks at its queue by `_poll_iteration`, and lets `tasks`, `job_counter` and
    `jobs_complete` be ours to keep.
Gains: see `docs/scaling.md`, the plain ways. `make bench ARGS="--only life"`, with `PRESENCE_FAST__BATCH_CLAIMS=false`
    and without.
Plain way: `[fast] batch_claims = false`; arq's own worker, `workers/one_at_a_time.py`.
"""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any

from arq.worker import Worker


class BatchClaims(Worker):
    """arq's worker with a poll step of our own."""

    def __init__(self, once: Callable[[], Awaitable[None]], **options: Any) -> None:
        """Do `once` again and again, which sleeps by itself; `options` are arq's."""
        super().__init__(poll_delay=0, **options)
        self._once = once

    async def _poll_iteration(self) -> None:
        await self._once()

    def begin(self, work: Coroutine[Any, Any, None]) -> None:
        """Do some work beside others; the worker does not end before it has."""
        self.job_counter += 1
        name = str(self.job_counter)
        task = self.tasks[name] = asyncio.create_task(work)

        def ended(_: asyncio.Task[None]) -> None:
            del self.tasks[name]
            self.jobs_complete += 1

        task.add_done_callback(ended)
