"""Listening on a port, with what fails before there is a request answered in the envelope too.

aiohttp's runner keeps the app's life, its server knows the connections, and each connection is a `web.RequestHandler`
of ours: nothing here is private to aiohttp.
"""

import asyncio
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any, cast

from aiohttp import web

from gateway.presence import ids
from gateway.process import envelope
from gateway.process.caps import Caps

BACKLOG = 1024
"""Connections that wait to be accepted; a burst beyond it is refused by the kernel."""

_LOOK_EVERY_S = 0.02

_SHUTDOWN_S = 2.0
"""How long a listener that names no time of its own waits for requests under way."""

_MESSAGE_OF_STATUS = {400: "Malformed HTTP request", 500: "Internal server error"}


HEAD_TIMEOUT_S = 5.0
"""How long a request's head may take to arrive: it comes in one packet, or in two."""

MOST_OPERATORS = 256
"""Connections to a port for operators and their tools."""


@dataclass(frozen=True, slots=True)
class _Door:
    """What all connections of one listener share."""

    caps: Caps
    head_timeout_s: float
    is_leaving: Callable[[], bool]


class _Connection(web.RequestHandler):
    """Answers in the envelope what fails before there is a request, such as a malformed head.

    aiohttp's own protocol, subclassed at its public methods; what it writes to is its transport, or stands in for it.
    """

    def __init__(self, server: web.Server, door: _Door, *, loop: asyncio.AbstractEventLoop, **options: Any) -> None:
        super().__init__(server, loop=loop, **options)
        self._door = door
        self._clock = loop
        self._is_answering = False
        self._address: str | None = None
        self._head_due_s: float | None = None
        self._head_expiry: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Close what is over a cap at once: an answer would have to wait for a request that may never come."""
        client = cast("asyncio.Transport", transport)
        peer = client.get_extra_info("peername")
        address = str(peer[0]) if peer else ""
        if not self._door.caps.take(address):
            client.abort()
            return
        self._address = address
        super().connection_made(transport)
        self._expect_head()

    def data_received(self, data: bytes) -> None:
        """Read what came; a head that begins with it must be whole in time."""
        super().data_received(data)
        if not self._is_answering:
            self._expect_head()

    def begin(self) -> None:
        """A head is whole, and its request is being answered."""
        self._is_answering = True
        self._head_due_s = None

    def _expect_head(self) -> None:
        """Bound it from its first byte on; one byte more now and then gains no time."""
        if self._head_due_s is None:
            self._head_due_s = self._clock.time() + self._door.head_timeout_s
            if self._head_expiry is None:
                self._head_expiry = self._clock.call_at(self._head_due_s, self._look_at_head)

    def _look_at_head(self) -> None:
        """One timer runs for many heads: it was set for the first of them, and goes on for the one that is due next."""
        self._head_expiry = None
        if self._head_due_s is None:
            return
        if self._head_due_s <= self._clock.time():
            self.force_close()
        else:
            self._head_expiry = self._clock.call_at(self._head_due_s, self._look_at_head)

    def connection_lost(self, exc: BaseException | None) -> None:
        """Make room for the next one."""
        if self._address is not None:
            self._door.caps.give_back(self._address)
            self._address = None
        if self._head_expiry is not None:
            self._head_expiry.cancel()
        super().connection_lost(exc)

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
        try:
            return await super().finish_response(request, resp, start_time)
        finally:
            self._is_answering = False


def _failure(status: int, message: str) -> web.Response:
    response = envelope.failure(status, message)
    response.headers["X-Request-Id"] = ids.fresh()
    return response


_Handler = Callable[[web.BaseRequest], Awaitable[web.StreamResponse]]


def _announcing(handler: _Handler) -> _Handler:
    """Let a connection know of each request that begins."""

    def begun(request: web.BaseRequest) -> Awaitable[web.StreamResponse]:
        cast("_Connection", request.protocol).begin()
        return handler(request)

    return begun


@asynccontextmanager
async def listening(
    app: web.Application,
    host: str,
    port: int,
    *,
    fd: int | None = None,
    farewell_s: float = 0.0,
    caps: Caps | None = None,
    head_timeout_s: float = HEAD_TIMEOUT_S,
    is_leaving: Callable[[], bool] = lambda: False,
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
        head_timeout_s: how long a request's head may take to arrive, the first one's counted from the connection.
        is_leaving: whether clients are told to open their next connections elsewhere.
        limits: of aiohttp's runner and its connections.

    Raises:
        OSError: the port is in use.
    """
    loop = asyncio.get_running_loop()
    runner = web.AppRunner(app, shutdown_timeout=limits.pop("shutdown_timeout", _SHUTDOWN_S))
    await runner.setup()
    assert runner.server is not None
    try:
        runner.server.request_handler = _announcing(runner.server.request_handler)
        door = _Door(caps or Caps(), head_timeout_s, is_leaving)
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
