"""arq's worker with every knob set for a reason; `run` keeps one alive through restarts of Redis."""

import asyncio
import contextlib
import json
import signal
from collections.abc import AsyncIterator
from functools import partial
from typing import Any

import structlog
from aiohttp import web
from arq.connections import ArqRedis
from arq.worker import Worker
from redis.exceptions import RedisError

from gateway.fast.batch_claims import BatchClaims
from gateway.presence.places import Places
from gateway.process import garbage, notify
from gateway.process.caps import Caps
from gateway.process.server import MOST_OPERATORS, listening
from gateway.settings import Settings
from gateway.store import keys
from gateway.store.redis import connection_pool
from gateway.telemetry import logs
from gateway.telemetry.gauges import Gauges
from gateway.telemetry.metrics import REDIS_ERRORS
from gateway.telemetry.probes import create_ops
from gateway.wiring import Services, open_services
from workers.cleanup import clean_up_for_ever
from workers.jobs import perform
from workers.one_at_a_time import WAKE, OneAtATime
from workers.sweep import sweep_for_ever
from workers.watch import AGAIN_S, Watch, WorkerStopped

_log = structlog.get_logger()


def create_worker(settings: Settings, services: Services, watch: Watch) -> Worker:
    """Build a worker on a pool of its own, which ends when its watch says so; `[fast] batch_claims` chooses its way."""
    pool = connection_pool(
        settings.redis.url,
        connect_timeout_s=settings.redis.connect_timeout_s,
        # arq's own pool has no timeout: a half-open connection would hang it for ever.
        timeout_s=settings.redis.timeout_s,
        max_connections=settings.redis.max_connections,
    )
    options: dict[str, Any] = {
        "functions": [WAKE],
        "redis_pool": ArqRedis(pool),
        "queue_name": keys.QUEUE,
        # A pause is at most this late for having been queued.
        "poll_delay": settings.worker.poll_s,
        "max_jobs": settings.worker.max_jobs,
        "health_check_interval": 5,
        "job_serializer": lambda job: json.dumps(job).encode(),
        "job_deserializer": json.loads,
        "handle_signals": False,
    }
    places = Places(settings.worker.max_jobs)
    if settings.fast.batch_claims:
        return BatchClaims(services.wakeups.claim_due, partial(perform, services.wakeups), places, watch, **options)
    return OneAtATime(
        services.wakeups, services.directory.account_of, places, watch, lease_s=settings.lease_s, **options
    )


async def run(settings: Settings) -> None:
    """Work until SIGTERM or SIGINT; what was begun is finished first."""
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    with logs.buffering():
        async with open_services(settings) as services:
            await _run(settings, services, stop)


async def _run(settings: Settings, services: Services, stop: asyncio.Event) -> None:
    watch = Watch(stop)
    async with _ops(settings, services, watch):
        sweeper = asyncio.create_task(sweep_for_ever(services.indicators))
        tidier = asyncio.create_task(clean_up_for_ever(services.removal, services.tenancy, services.quiet))
        _log.info("worker_started", max_jobs=settings.worker.max_jobs)
        while not stop.is_set():
            await work(create_worker(settings, services, watch), settings.worker.drain_timeout_s)
        sweeper.cancel()
        tidier.cancel()
        _log.info("worker_stopped")


async def work(worker: Worker, drain_s: float) -> None:
    """Run one worker until it fails or is told to stop, then let its jobs finish.

    An error that leaves arq's loop, such as a Redis that is away when it begins, ends it for good: a failed worker is
    thrown away and the caller builds a new one.
    """
    try:
        await worker.main()
    except WorkerStopped:
        pass
    except (RedisError, OSError) as error:
        REDIS_ERRORS.inc()
        _log.warning("worker_lost_redis", error=type(error).__name__)
        await asyncio.sleep(AGAIN_S)
    except Exception:  # noqa: BLE001 - whatever it was, pauses are owed: logged whole, and a new worker is built
        _log.exception("worker_failed")
        await asyncio.sleep(AGAIN_S)
    await _finish(worker, drain_s)


async def _finish(worker: Worker, drain_s: float) -> None:
    """Wait for the jobs under way; one that is cancelled is claimed again when its lease ends."""
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
