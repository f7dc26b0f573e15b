"""Listening on a port, with what fails before there is a request answered in the envelope too.

aiohttp's runner keeps the app's life, its server knows the connections, and each connection is a `web.RequestHandler`
of ours: nothing here is private to aiohttp. Which of its transports' writes wait for company is `fast/write_batching`.
"""

import asyncio
import socket
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import Any, cast

from aiohttp import web

from gateway.fast.write_batching import AtOnce, Outbox, Writes
from gateway.presence import ids
from gateway.process import envelope

BACKLOG = 1024
"""Connections that wait to be accepted; a burst beyond it is refused by the kernel."""

_LOOK_EVERY_S = 0.02

_SHUTDOWN_S = 2.0
"""How long a listener that names no time of its own waits for requests under way."""

_MESSAGE_OF_STATUS = {400: "Malformed HTTP request", 500: "Internal server error"}


@dataclass(slots=True)
class Caps:
    """How many connections one listener keeps open at once, of all clients and of any one address; 0 is no cap."""

    total: int = 0
    per_address: int = 0
    _open: Counter[str] = field(default_factory=Counter)
    _opened: int = 0

    def take(self, address: str) -> bool:
        """Count a connection from here, unless it is one too many."""
        if 0 < self.total <= self._opened or 0 < self.per_address <= self._open[address]:
            return False
        self._opened += 1
        self._open[address] += 1
        return True

    def give_back(self, address: str) -> None:
        """Count down what was taken."""
        self._opened -= 1
        self._open[address] -= 1
        if not self._open[address]:
            del self._open[address]


@dataclass(frozen=True, slots=True)
class _Door:
    """What all connections of one listener share."""

    caps: Caps
    is_leaving: Callable[[], bool]
    writes: Writes


class _Connection(web.RequestHandler):
    """Answers in the envelope what fails before there is a request, such as a malformed head.

    aiohttp's own protocol, subclassed at its public methods; what it writes to is its transport, or stands in for it.
    """

    def __init__(self, server: web.Server, door: _Door, **options: Any) -> None:
        super().__init__(server, **options)
        self._door = door
        self._address: str | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Close what is over a cap at once: an answer would have to wait for a request that may never come."""
        client = cast("asyncio.Transport", transport)
        peer = client.get_extra_info("peername")
        address = str(peer[0]) if peer else ""
        if not self._door.caps.take(address):
            client.abort()
            return
        self._address = address
        super().connection_made(self._door.writes.of(client))

    def connection_lost(self, exc: BaseException | None) -> None:
        """Make room for the next one."""
        if self._address is not None:
            self._door.caps.give_back(self._address)
            self._address = None
        super().connection_lost(exc)

    def eof_received(self) -> None:
        """Let leave what was answered: the transport closes now, and the client may still read."""
        self._door.writes.leave()
        super().eof_received()

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,
    ) -> web.StreamResponse:
        """Say what happened in one sentence; aiohttp's own text would quote the bytes it could not read."""
        super().handle_error(request, status, exc, message)
        response = _failure(status, _MESSAGE_OF_STATUS.get(status, "Malformed HTTP request"))
        response.force_close()
        return response

    async def finish_response(
        self, request: web.BaseRequest, resp: web.StreamResponse, start_time: float | None
    ) -> tuple[web.StreamResponse, bool]:
        """Put into the envelope what aiohttp refused before any middleware ran, such as an unknown `Expect`.

        A client that is answered while we leave is told to open its next connection elsewhere.
        """
        if isinstance(resp, web.HTTPException):
            resp = _failure(resp.status, resp.reason)
        if self._door.is_leaving():
            resp.force_close()
        return await super().finish_response(request, resp, start_time)


def _failure(status: int, message: str) -> web.Response:
    response = envelope.failure(status, message)
    response.headers["X-Request-Id"] = ids.fresh()
    return response


@asynccontextmanager
async def listening(
    app: web.Application,
    host: str,
    port: int,
    *,
    fd: int | None = None,
    farewell_s: float = 0.0,
    caps: Caps | None = None,
    is_leaving: Callable[[], bool] = lambda: False,
    batches_writes: bool = False,
    **limits: Any,
) -> AsyncIterator[int]:
    """Serve `app` inside the block; yields the port, then lets requests under way finish.

    Args:
        app: what is served.
        host: where to listen.
        port: 0 takes a free one.
        fd: a listening socket that somebody else opened, in place of both. It stays open there: what we have not
            accepted waits for whoever accepts next.
        farewell_s: how long clients that keep their connection may take, after the block, to be told that it ends.
        caps: how many connections are kept open; by default any number.
        is_leaving: whether clients are told to open their next connections elsewhere.
        batches_writes: whether the answers of one turn leave together (`fast/write_batching`).
        limits: of aiohttp's runner and its connections.

    Raises:
        OSError: the port is in use.
    """
    loop = asyncio.get_running_loop()
    runner = web.AppRunner(app, shutdown_timeout=limits.pop("shutdown_timeout", _SHUTDOWN_S))
    await runner.setup()
    assert runner.server is not None
    try:
        door = _Door(caps or Caps(), is_leaving, Outbox(loop) if batches_writes else AtOnce())
        accept = partial(_Connection, runner.server, door, loop=loop, access_log=None, **limits)
        listener = await _listen(accept, host, port, fd)
        try:
            yield listener.sockets[0].getsockname()[1]
        finally:
            listener.close()
        await _farewell(runner, farewell_s)
    finally:
        await runner.cleanup()


async def _listen(accept: Callable[[], asyncio.Protocol], host: str, port: int, fd: int | None) -> asyncio.Server:
    loop = asyncio.get_running_loop()
    if fd is None:
        return await loop.create_server(accept, host, port, reuse_address=True, backlog=BACKLOG)
    return await loop.create_server(accept, sock=socket.socket(fileno=fd), backlog=BACKLOG)


async def _farewell(runner: web.AppRunner, within_s: float) -> None:
    """Wait until every client has had an answer that says `Connection: close`.

    A connection that is closed while idle may have a request on its way, which would be lost.
    """
    for _ in range(round(within_s / _LOOK_EVERY_S)):
        if not runner.server or not runner.server.connections:
            return
        await asyncio.sleep(_LOOK_EVERY_S)
