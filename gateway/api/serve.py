"""`presence-gateway serve`: the front door as a process, with a drain before its end."""

import asyncio
import signal
from contextlib import suppress

from aiohttp import web

from gateway.api.admin.app import create_admin
from gateway.api.app import create_app
from gateway.console.routes import add_console
from gateway.ops import create_ops
from gateway.server import listening
from gateway.settings import Settings
from gateway.wiring import House, open_house


class Drain:
    """Whether this process still takes work; `/readyz` tells the balancer."""

    def __init__(self) -> None:
        """Start out taking work."""
        self.begun = asyncio.Event()

    def on_signals(self) -> None:
        """Begin at SIGTERM or SIGINT."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self.begun.set)


async def serve(settings: Settings) -> None:
    """Run the front door until SIGTERM or SIGINT, then drain it.

    Raises:
        OSError: a port is in use.
    """
    drain = Drain()
    drain.on_signals()
    async with open_house(settings) as house:
        async with (
            listening(_create_operators_app(house, drain), settings.admin.host, settings.admin.port),
            listening(
                create_app(house),
                settings.http.host,
                settings.http.port,
                keepalive_timeout=settings.http.keepalive_timeout_s,
                max_line_size=settings.http.max_head_bytes,
                max_field_size=settings.http.max_head_bytes,
                shutdown_timeout=settings.http.drain_timeout_s,
            ),
        ):
            watch = asyncio.create_task(house.promises.watch())
            await drain.begun.wait()
            # Not ready yet still serving: the balancer needs a moment to look elsewhere.
            await asyncio.sleep(settings.http.drain_delay_s)
            watch.cancel()
        # The last request is answered. What Redis has not taken yet is worth a moment too.
        with suppress(TimeoutError):
            async with asyncio.timeout(settings.http.drain_timeout_s):
                await house.presence.drain()


def _create_operators_app(house: House, drain: Drain) -> web.Application:
    """Build everything on the operator's port: probes, metrics, the operator's API and its console."""
    app = create_ops(lambda: _is_ready(house, drain))
    app.add_subapp("/admin/", create_admin(house))
    add_console(app)
    return app


async def _is_ready(house: House, drain: Drain) -> bool:
    return not drain.begun.is_set() and await house.store_answers()
