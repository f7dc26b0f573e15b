"""arq's worker with every knob set for a reason; `run` keeps one alive through restarts of Redis."""

import asyncio
import contextlib
import json
import signal
import time
from collections.abc import AsyncIterator

import structlog
from aiohttp import web
from arq.connections import ArqRedis
from arq.worker import Worker, func
from redis.exceptions import OutOfMemoryError, RedisError

from gateway.presence.errors import StoreUnavailable
from gateway.presence.ports import Claim
from gateway.presence.wakeups import WakeUps
from gateway.process import garbage, notify
from gateway.process.server import listening
from gateway.settings import Settings
from gateway.store import keys
from gateway.store.redis import connection_pool
from gateway.telemetry import logs
from gateway.telemetry.gauges import Gauges
from gateway.telemetry.metrics import REDIS_ERRORS, WORKER_JOBS, WORKER_LAST_POLL
from gateway.telemetry.probes import create_ops
from gateway.wiring import House, open_house
from workers.jobs import perform, wake
from workers.sweep import sweep_for_ever
from workers.tidy import tidy_for_ever

_AGAIN_S = 0.1
_AT_ONCE = 100
"""Wake-ups claimed by one script: a few milliseconds of Redis' time, for which everybody else waits."""

_SILENT_S = 5.0

_log = structlog.get_logger()


class WorkerStopped(Exception):
    """The worker was told to stop, and has no poll half done."""


class PresenceWorker(Worker):
    """arq's worker with a poll step of our own: due wake-ups are claimed many at a time, and performed side by side.

    arq's own step costs four round trips for each job before its body runs. Ours is one script for as many as there is
    room for; the lease in the chat's record, which the script takes, stands for arq's mark that a job was started.
    """

    wakeups: WakeUps
    stop: asyncio.Event
    last_poll_s = 0.0
    _misses = 0

    async def _poll_iteration(self) -> None:
        if self.stop.is_set():
            raise WorkerStopped
        try:
            await self._take_what_is_due()
            await self.heart_beat()
        except (StoreUnavailable, RedisError, OSError) as error:
            await self._missed(error)
        else:
            self._misses = 0
            self.last_poll_s = time.monotonic()
            WORKER_LAST_POLL.set_to_current_time()
        WORKER_JOBS.set(len(self.tasks))

    async def _take_what_is_due(self) -> None:
        """Claim until nothing more is due or no place is free; a claim's lease runs, so that each is begun at once."""
        while most := min(self.max_jobs - len(self.tasks), _AT_ONCE):
            claims = await self.wakeups.take(most)
            for claim in claims:
                self._begin(claim)
            if len(claims) < most or self.stop.is_set():
                return

    def _begin(self, claim: Claim) -> None:
        self.job_counter += 1
        name = str(self.job_counter)
        task = self.tasks[name] = self.loop.create_task(perform(self.wakeups, claim))

        def ended(_: object) -> None:
            del self.tasks[name]
            self.jobs_complete += 1

        task.add_done_callback(ended)

    async def record_health(self) -> None:
        """Write what arq's own `--check` reads; a Redis that is full may refuse that, and pauses go on."""
        with contextlib.suppress(OutOfMemoryError):
            await super().record_health()

    async def _missed(self, error: Exception) -> None:
        """Redis was away: what is under way goes on, and the next look comes soon."""
        if isinstance(error, RedisError | OSError):
            REDIS_ERRORS.inc()
        if not self._misses:
            _log.warning("worker_lost_redis", error=type(error.__cause__ or error).__name__)
        self._misses += 1
        await asyncio.sleep(_AGAIN_S)


def create_worker(settings: Settings, house: House, stop: asyncio.Event) -> PresenceWorker:
    """Build a worker on a pool of its own, which ends when `stop` is set."""
    pool = connection_pool(
        settings.redis.url,
        connect_timeout_s=settings.redis.connect_timeout_s,
        # arq's own pool has no timeout: a half-open connection would hang it for ever.
        timeout_s=settings.redis.timeout_s,
        max_connections=settings.redis.max_connections,
    )
    worker = PresenceWorker(
        functions=[func(wake, name="wake")],
        redis_pool=ArqRedis(pool),
        queue_name=keys.QUEUE,
        # A pause is at most this late for having been queued.
        poll_delay=settings.worker.poll_s,
        max_jobs=settings.worker.max_jobs,
        health_check_interval=5,
        job_serializer=lambda job: json.dumps(job).encode(),
        job_deserializer=json.loads,
        handle_signals=False,
    )
    worker.wakeups, worker.stop = house.wakeups, stop
    return worker


async def run(settings: Settings) -> None:
    """Work until SIGTERM or SIGINT; what was begun is finished first."""
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    with logs.gathering():
        async with open_house(settings) as house:
            await _run(settings, house, stop)


async def _run(settings: Settings, house: House, stop: asyncio.Event) -> None:
    watch = _Watch()
    async with _ops(settings, house, watch, stop):
        sweeper = asyncio.create_task(sweep_for_ever(house.indicators))
        tidier = asyncio.create_task(tidy_for_ever(house.removal, house.tenancy, house.quiet))
        _log.info("worker_started", max_jobs=settings.worker.max_jobs)
        while not stop.is_set():
            watch.worker = create_worker(settings, house, stop)
            await work(watch.worker, settings.worker.drain_timeout_s)
        sweeper.cancel()
        tidier.cancel()
        _log.info("worker_stopped")


class _Watch:
    """The worker of the moment, for the probes."""

    worker: PresenceWorker | None = None

    @property
    def is_polling(self) -> bool:
        return self.worker is not None and time.monotonic() - self.worker.last_poll_s < _SILENT_S


async def work(worker: PresenceWorker, drain_s: float) -> None:
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
        await asyncio.sleep(_AGAIN_S)
    except Exception:  # noqa: BLE001 - whatever it was, pauses are owed: logged whole, and a new worker is built
        _log.exception("worker_failed")
        await asyncio.sleep(_AGAIN_S)
    await _finish(worker, drain_s)


async def _finish(worker: PresenceWorker, drain_s: float) -> None:
    """Wait for the jobs under way; one that is cancelled is claimed again when its lease ends."""
    if worker.tasks:
        _, late = await asyncio.wait(set(worker.tasks.values()), timeout=drain_s)
        for task in late:
            task.cancel()
        await asyncio.gather(*worker.tasks.values(), return_exceptions=True)
    await worker.pool.aclose(close_connection_pool=True)


@contextlib.asynccontextmanager
async def _ops(settings: Settings, house: House, watch: _Watch, stop: asyncio.Event) -> AsyncIterator[None]:
    async def is_ready() -> bool:
        return not stop.is_set() and watch.is_polling and await house.store_answers()

    gauges = Gauges(house.health.look, house.upstreams.count_open_circuits)

    def app() -> web.Application:
        return create_ops("worker", is_ready, gauges.refresh)

    async with contextlib.AsyncExitStack() as stack:
        try:
            port = await stack.enter_async_context(listening(app(), settings.worker.host, settings.worker.port))
        except OSError:
            # A second worker on one machine: pauses matter more than its metrics' address.
            port = await stack.enter_async_context(listening(app(), settings.worker.host, 0))
            _log.warning("worker_port_in_use", wanted=settings.worker.port, got=port)
        _log.info("worker_ops", port=port)
        await stack.enter_async_context(house.roster.listed("worker", settings.worker.host, port))
        garbage.settle()
        notify.ready()
        yield
