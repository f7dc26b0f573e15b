"""`presence-gateway serve`: the front door as a process, with a drain before its end."""

import asyncio
import signal
from contextlib import suppress

import structlog

from gateway.api.admin.app import create_admin
from gateway.api.app import create_app
from gateway.api.console.routes import add_console
from gateway.presence.errors import StoreUnavailable
from gateway.process import garbage, notify
from gateway.process.caps import Caps
from gateway.process.server import MOST_OPERATORS, listening
from gateway.settings import Settings
from gateway.store.upgrade import is_old
from gateway.telemetry import logs
from gateway.telemetry.gauges import Gauges
from gateway.telemetry.probes import create_ops
from gateway.wiring import Services, open_services

_FAREWELL_S = 1.0
"""A client that keeps its connection and sends nothing for this long is cut off at the end of a drain."""

_AGAIN_S = 1.0

_log = structlog.get_logger()


async def serve(settings: Settings, http_fd: int | None = None, admin_fd: int | None = None) -> None:
    """Run the front door until SIGTERM or SIGINT, then drain it.

    Args:
        settings: with which.
        http_fd: the descriptor of a listening socket that a process manager opened for us, None to open our own.
        admin_fd: likewise, for the operator's port.

    Raises:
        OSError: a port is in use.
    """
    drain = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, drain.set)
    with logs.buffering():
        async with open_services(settings) as services:
            await _serve(settings, services, http_fd, admin_fd, drain)


async def _serve(
    settings: Settings, services: Services, http_fd: int | None, admin_fd: int | None, drain: asyncio.Event
) -> None:
    gauges = Gauges(services.health.look, services.upstreams.count_open_circuits)
    ops = create_ops("gateway", lambda: _is_ready(services, drain), gauges.refresh)
    ops.add_subapp("/admin/", create_admin(services))
    add_console(ops)
    app = create_app(services)
    if not settings.secrets.encryption_keys:
        _log.warning("no_encryption_keys", consequence="upstream credentials of instances and accounts cannot be kept")
    async with (
        listening(
            ops,
            settings.admin.host,
            settings.admin.port,
            fd=admin_fd,
            caps=Caps(MOST_OPERATORS),
            head_timeout_s=settings.http.head_timeout_s,
            keepalive_timeout=settings.http.keepalive_timeout_s,
        ) as admin_port,
        services.processes.listed("gateway", settings.admin.host, admin_port),
        listening(
            app,
            settings.http.host,
            settings.http.port,
            fd=http_fd,
            farewell_s=_FAREWELL_S,
            is_leaving=drain.is_set,
            caps=Caps(settings.http.max_connections, settings.http.max_connections_per_address),
            head_timeout_s=settings.http.head_timeout_s,
            keepalive_timeout=settings.http.keepalive_timeout_s,
            max_line_size=settings.http.max_head_bytes,
            max_field_size=settings.http.max_head_bytes,
            shutdown_timeout=settings.http.drain_timeout_s,
        ),
    ):
        garbage.settle()
        notify.ready()
        settling = asyncio.create_task(_settle(services))
        watch = asyncio.create_task(services.promises.watch())
        await drain.wait()
        # Not ready yet still serving: the balancer needs a moment to look elsewhere.
        await asyncio.sleep(settings.http.drain_delay_s)
        watch.cancel()
        settling.cancel()
    # The last request is answered. What Redis has not taken yet is worth a moment too.
    with suppress(TimeoutError):
        async with asyncio.timeout(settings.http.drain_timeout_s):
            await services.presence.drain()


async def _settle(services: Services) -> None:
    """Write down where instances live now that the settings were read anew, as soon as Redis takes it."""
    while True:
        try:
            if await is_old(services.redis, services.settings.redis.url):
                _log.error(
                    "old_data", consequence="nobody is known", mend="stop it all, and run: presence-gateway upgrade"
                )
                return
            changed = await services.moves.settle()
        except StoreUnavailable:
            await asyncio.sleep(_AGAIN_S)
        else:
            if changed:
                _log.info("instances_settled", changed=changed)
            return


async def _is_ready(services: Services, drain: asyncio.Event) -> bool:
    return not drain.is_set() and await services.store_answers()
