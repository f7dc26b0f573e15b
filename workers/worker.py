"""arq's worker with every knob set for a reason; `work` keeps one alive through restarts of Redis."""

import asyncio
import contextlib
import json
import os
import signal
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from functools import partial
from typing import Any

import structlog
from aiohttp import web
from arq.connections import ArqRedis
from redis.exceptions import RedisError

from gateway.fast.batch_claims import BatchClaims
from gateway.presence import ids
from gateway.presence.errors import StoreUnavailable
from gateway.presence.places import Places
from gateway.process import garbage, notify
from gateway.process.caps import Caps
from gateway.process.server import MOST_OPERATORS, listening
from gateway.settings import Settings
from gateway.store.connections import open_subscriber
from gateway.store.redis import connection_pool
from gateway.store.worker_registry import WorkerRegistry
from gateway.telemetry import logs
from gateway.telemetry.gauges import Gauges
from gateway.telemetry.metrics import REDIS_ERRORS, WORKER_JOBS
from gateway.telemetry.probes import create_ops
from gateway.wiring import Services, open_services
from workers.cleanup import tidy
from workers.jobs import perform, rest
from workers.notices import listen_for_ever
from workers.one_at_a_time import WAKE, OneAtATime
from workers.rounds import Rounds
from workers.watch import Watch

_AGAIN_S = 0.1
"""Between a worker that failed and the next; between two tries to end one."""

_JSON: dict[str, Any] = {"job_serializer": lambda job: json.dumps(job).encode(), "job_deserializer": json.loads}
"""What arq's jobs are written as: not pickles, which run what they read."""

_log = structlog.get_logger()


async def run(settings: Settings) -> None:
    """Work until SIGTERM or SIGINT; what was begun is finished first."""
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    with logs.buffering():
        async with open_services(settings) as services:
            watch = Watch(stop)
            async with _ops(settings, services, watch):
                _log.info("worker_started", max_jobs=settings.worker.max_jobs)
                await work(settings, services, watch)
                _log.info("worker_stopped")


async def work(settings: Settings, services: Services, watch: Watch) -> None:
    """Keep a worker at work until told to stop, then let its jobs finish.

    An error that leaves arq's loop, such as a Redis that is away when it begins, ends it for good: a failed worker is
    replaced by a new one. Every claim that was under way is in its record, and comes back when its lease ends.
    """
    registry = WorkerRegistry(services.executor, f"{socket.gethostname()}-{os.getpid()}-{ids.fresh()}")
    while not watch.stop.is_set():
        await _work(settings, services, watch, registry)


async def _work(settings: Settings, services: Services, watch: Watch, registry: WorkerRegistry) -> None:
    """Run one worker until it fails, or is told to stop."""
    pool = connection_pool(
        settings.redis.url,
        connect_timeout_s=settings.redis.connect_timeout_s,
        # arq's own pool has no timeout: a half-open connection would hang it for ever.
        timeout_s=settings.redis.timeout_s,
        max_connections=settings.redis.max_connections,
    )
    worker = _create_worker(settings, ArqRedis(pool, **_JSON), lambda: rounds.once())  # noqa: PLW0108 - they need each other
    rounds = _create_rounds(settings, services, watch, registry, worker)
    open_listener = partial(open_subscriber, settings.redis.url, connect_timeout_s=settings.redis.connect_timeout_s)
    WORKER_JOBS.set_function(lambda: len(worker.tasks))
    running = [worker.main(), listen_for_ever(open_listener, rounds.told)]
    if isinstance(worker, OneAtATime):
        running.append(_go(rounds))
    tasks = [asyncio.create_task(one) for one in (*running, watch.stop.wait())]
    await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    await _end(tasks)
    if watch.stop.is_set():
        # Others take over now: the calls under way may last.
        with contextlib.suppress(StoreUnavailable):
            await registry.leave()
    await rounds.close()
    await _finish(worker, settings.worker.drain_timeout_s)
    if not watch.stop.is_set():
        await asyncio.sleep(_AGAIN_S)


def _create_worker(
    settings: Settings, redis_pool: ArqRedis, once: Callable[[], Awaitable[None]]
) -> BatchClaims | OneAtATime:
    """Build arq's worker; `[fast] batch_claims` chooses its way, and whether it does the rounds, `once` a time."""
    options: dict[str, Any] = {
        "functions": [WAKE],
        "redis_pool": redis_pool,
        "max_jobs": settings.worker.max_jobs,
        **_JSON,
        "handle_signals": False,
    }
    if settings.fast.batch_claims:
        return BatchClaims(once, **options)
    return OneAtATime(queue_name=f"arq:{ids.fresh()}", poll_delay=settings.worker.poll_s, **options)


def _create_rounds(
    settings: Settings, services: Services, watch: Watch, registry: WorkerRegistry, worker: BatchClaims | OneAtATime
) -> Rounds:
    return Rounds(
        services.indicators,
        services.directory,
        Places(settings.worker.max_jobs),
        watch,
        mine=lambda: registry.mine,
        begin=worker.begin,
        perform=partial(perform, services.wakeups),
        rest=partial(rest, services.quiet),
        beat=partial(_beat, registry),
        tidy=partial(_tidy, services),
    )


async def _end(tasks: list[asyncio.Task[Any]]) -> None:
    """Cancel until they end: redis-py takes no notice of a cancellation that finds it connecting."""
    running = set(tasks)
    while running:
        for task in running:
            task.cancel()
        _, running = await asyncio.wait(running, timeout=_AGAIN_S)
    for task in tasks:
        if not task.cancelled() and (failure := task.exception()) is not None:
            _failed(failure)


async def _go(rounds: Rounds) -> None:
    while True:
        await rounds.once()


async def _beat(registry: WorkerRegistry) -> bool:
    """Say that we work; returns whether something of tenants wants tidying."""
    try:
        return await registry.say()
    except StoreUnavailable:
        return False


async def _tidy(services: Services) -> None:
    with contextlib.suppress(StoreUnavailable):
        await tidy(services.removal, services.tenancy)


def _failed(failure: BaseException) -> None:
    """Say why a worker ended; pauses are owed, so that a new one is built whatever it was."""
    if isinstance(failure, (RedisError, OSError)):
        REDIS_ERRORS.inc()
        _log.warning("worker_lost_redis", error=type(failure).__name__)
    else:
        _log.error("worker_failed", exc_info=failure)


async def _finish(worker: BatchClaims | OneAtATime, drain_s: float) -> None:
    """Wait for the jobs under way; one that is cancelled is claimed again when its lease ends."""
    if isinstance(worker, OneAtATime):
        await worker.finish()
    if worker.tasks:
        _, late = await asyncio.wait(set(worker.tasks.values()), timeout=drain_s)
        for task in late:
            task.cancel()
        await asyncio.gather(*worker.tasks.values(), return_exceptions=True)
    await worker.pool.aclose(close_connection_pool=True)


@contextlib.asynccontextmanager
async def _ops(settings: Settings, services: Services, watch: Watch) -> AsyncIterator[None]:
    async def is_ready() -> bool:
        return not watch.stop.is_set() and watch.is_polling and await services.store_answers()

    gauges = Gauges(services.health.look, services.upstreams.count_open_circuits)

    def app() -> web.Application:
        return create_ops("worker", is_ready, gauges.refresh)

    def listen(port: int) -> contextlib.AbstractAsyncContextManager[int]:
        return listening(
            app(),
            settings.worker.host,
            port,
            caps=Caps(MOST_OPERATORS),
            head_timeout_s=settings.http.head_timeout_s,
            keepalive_timeout=settings.http.keepalive_timeout_s,
        )

    async with contextlib.AsyncExitStack() as stack:
        try:
            port = await stack.enter_async_context(listen(settings.worker.port))
        except OSError:
            # A second worker on one machine: pauses matter more than its metrics' address.
            port = await stack.enter_async_context(listen(0))
            _log.warning("worker_port_in_use", wanted=settings.worker.port, got=port)
        _log.info("worker_ops", port=port)
        await stack.enter_async_context(services.processes.listed("worker", settings.worker.host, port))
        garbage.settle()
        notify.ready()
        yield
