"""`serve --processes N`: one gateway for each core behind one socket, replaced one by one without a refused request.

The manager opens the sockets and serves nothing itself. All gateways accept from one listening socket, so a process
that is slow, stopped or killed refuses nobody: whatever it has not accepted, the others accept. Each has an operator's
port of its own, the set one and those after it, so that its metrics are its own. SIGHUP replaces every process by a
new one that is serving before the old one drains; SIGTERM drains all of them.
"""

import asyncio
import os
import signal
import socket
import sys
import tempfile
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import structlog

from gateway.process import notify
from gateway.process.child import Child, StartFailed, wait_until
from gateway.process.server import BACKLOG
from gateway.settings import Settings

_SLACK_S = 3.0

_log = structlog.get_logger()


class Manager:
    """Keeps `count` gateways serving."""

    def __init__(self, settings: Settings, count: int) -> None:
        self._settings = settings
        self._count = count
        self._http = -1
        self._admin: list[int] = []
        self._gateways: dict[int, Child] = {}
        self._renew = asyncio.Event()
        self._stop = asyncio.Event()

    async def run(self) -> None:
        """Start every gateway and keep them until SIGTERM or SIGINT.

        Raises:
            OSError: a port is in use.
            StartFailed: a gateway ended, or took too long, before it served for the first time.
        """
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._stop.set)
        loop.add_signal_handler(signal.SIGHUP, self._renew.set)
        with _sockets(self._settings, self._count) as (self._http, self._admin):
            work = asyncio.create_task(self._work())
            stopping = asyncio.create_task(self._stop.wait())
            try:
                await asyncio.wait({work, stopping}, return_when=asyncio.FIRST_COMPLETED)
                if work.done():
                    work.result()
            finally:
                stopping.cancel()
                work.cancel()
                await asyncio.wait({work})
                await asyncio.gather(*(gateway.stop() for gateway in self._gateways.values()))

    async def _work(self) -> None:
        await asyncio.gather(*(self._start(slot) for slot in range(self._count)))
        notify.ready()
        _log.info("gateways_started", pids=self._pids())
        while True:
            await self._renew.wait()
            self._renew.clear()
            await self._renew_all()

    async def _renew_all(self) -> None:
        for slot, old in list(self._gateways.items()):
            try:
                await self._start(slot)
            except StartFailed:
                _log.exception("renewal_failed", slot=slot, kept_pid=old.pid)
                return
            await old.stop()
        _log.info("gateways_renewed", pids=self._pids())

    async def _start(self, slot: int) -> None:
        """Start a gateway, and have it in the slot once it serves, or not at all."""
        fds = (self._http, self._admin[slot])
        http = self._settings.http
        with _readiness() as (address, is_told):
            gateway = Child(
                f"gateway-{slot}",
                [sys.executable, "-P", "-m", "gateway", "serve", f"--listen-fd={fds[0]}", f"--admin-fd={fds[1]}"],
                os.environ | {"NOTIFY_SOCKET": address},
                stop_within_s=http.drain_delay_s + http.drain_timeout_s + _SLACK_S,
                pass_fds=fds,
            )
            try:
                await gateway.start()
                await wait_until(is_told, [gateway], f"the process {gateway.name} does not serve")
            except BaseException:
                await gateway.stop()
                raise
        gateway.is_settled = True
        self._gateways[slot] = gateway

    def _pids(self) -> list[int]:
        return [gateway.pid for _, gateway in sorted(self._gateways.items())]


@contextmanager
def _readiness() -> Iterator[tuple[str, Callable[[], Awaitable[bool]]]]:
    """Listen, inside the block, for one process to say that it serves; yields where, and what tells whether it did."""
    with (
        tempfile.TemporaryDirectory(prefix="presence-") as folder,
        socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as told,
    ):
        address = str(Path(folder) / "ready")
        told.bind(address)
        told.setblocking(False)

        async def is_told() -> bool:
            with suppress(BlockingIOError):
                return told.recv(64) == b"READY=1"
            return False

        yield address, is_told


@contextmanager
def _sockets(settings: Settings, count: int) -> Iterator[tuple[int, list[int]]]:
    """Open every socket before any process starts, and hold them until the last one has ended."""
    opened: list[socket.socket] = []
    try:
        opened.append(_listen(settings.http.host, settings.http.port))
        for slot in range(count):
            port = settings.admin.port + slot if settings.admin.port else 0
            opened.append(_listen(settings.admin.host, port))
        http, *admin = opened
        _log.info("listening", http=http.getsockname()[1], admin=[listener.getsockname()[1] for listener in admin])
        yield http.fileno(), [listener.fileno() for listener in admin]
    finally:
        for listener in opened:
            listener.close()


def _listen(host: str, port: int) -> socket.socket:
    found = socket.getaddrinfo(host or None, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    family, _, _, _, address = found[0]
    return socket.create_server(address, family=family, backlog=BACKLOG)
