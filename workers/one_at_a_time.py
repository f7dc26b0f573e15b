"""The plain way to wake: arq's own worker, which starts one job after the other, in place of `fast/batch_claims`.

`[fast] batch_claims = false` chooses it. The rounds claim as ever, and enqueue what they claimed as a job for this very
process, which arq begins when it next looks. Of arq it takes nothing but what is public.
"""

import asyncio
import contextlib
from collections.abc import Coroutine
from typing import Any

import structlog
from arq.connections import ArqRedis
from arq.worker import Function, Worker, func
from redis.exceptions import RedisError

_JOB_S = 30
"""arq drops a job that takes longer. The longest: claimed after 10 s without Redis, called, settled after 10 s more."""

_KEPT_S = 0
"""A result is nobody's."""

_HEALTH_EVERY_S = 60
"""How often arq says that it lives, to nobody; by then what a worker said that was killed is gone."""

_log = structlog.get_logger()

Work = Coroutine[Any, Any, None]


async def wake(ctx: dict[str, Any], number: int) -> None:
    """Do what was claimed; arq finds this function by its name in the job."""
    work: Work | None = ctx["works"].pop(number, None)
    if work is not None:
        await work


WAKE: Function = func(wake, name="wake", keep_result=_KEPT_S, timeout=_JOB_S, max_tries=1)


class OneAtATime(Worker):
    """arq's worker, with a queue that only this process puts jobs into."""

    def __init__(self, redis_pool: ArqRedis, queue_name: str, **options: Any) -> None:
        """Work on `redis_pool`; `options` are arq's."""
        self._works: dict[int, Work] = {}
        self._jobs = redis_pool
        self._count = 0
        ctx = {"works": self._works}
        super().__init__(
            ctx=ctx,
            redis_pool=redis_pool,
            queue_name=queue_name,
            keep_result=_KEPT_S,
            health_check_interval=_HEALTH_EVERY_S,
            **options,
        )
        self._name = queue_name
        self._enqueuing: set[asyncio.Task[None]] = set()

    def begin(self, work: Work) -> None:
        """Enqueue some work."""
        self._count += 1
        self._works[self._count] = work
        task = asyncio.create_task(self._enqueue(self._count))
        self._enqueuing.add(task)
        task.add_done_callback(self._enqueuing.discard)

    async def _enqueue(self, number: int) -> None:
        try:
            await self._jobs.enqueue_job("wake", number, _queue_name=self._name, _expires=_JOB_S)
        except (RedisError, OSError) as error:
            # It is claimed: better now than when its lease has ended.
            _log.warning("not_enqueued", error=type(error).__name__)
            await wake(self.ctx, number)

    async def finish(self) -> None:
        """Do what arq will not begin any more, and leave nothing of it behind."""
        await asyncio.gather(*self._enqueuing, return_exceptions=True)
        await asyncio.gather(*(wake(self.ctx, number) for number in list(self._works)))
        with contextlib.suppress(RedisError, OSError):
            await self.pool.delete(self.health_check_key)
