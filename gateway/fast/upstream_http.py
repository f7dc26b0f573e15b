"""Requests to upstreams past aiohttp's session: put together here, and read by its parser, on its connections.

The session builds each request from scratch, with its URL, cookies, redirects and timers. All of ours to one origin
begin with the same bytes and carry a few hundred more.

Leans on: aiohttp 3.14, whose `TCPConnector.connect` takes a request that no session made, and whose `ResponseHandler`
    has a `_parser` once it was told how to read, one for all answers of a connection.
Gains: a quarter of the gateway's CPU for a command, 345 us to 261 (means of four runs of each in turn, on a busy
    machine; `make bench ARGS="--only throughput --stacks ours --rounds 1 --seconds 3"`, and the same with
    `PRESENCE_FAST__UPSTREAM_HTTP=false`).
Plain way: `[fast] upstream_http = false`; aiohttp's session, `gateway/upstreams/http.py`.
"""

import asyncio
import re
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import lru_cache
from typing import cast

import aiohttp
from aiohttp.connector import Connection
from yarl import URL

from gateway.fast.write_batching import WriteBatch

_MOST_ORIGINS = 4096
_SWITCHING = 101
_LEAVES_ITS_LINE = re.compile(r"[\r\n\0]")


@dataclass(frozen=True, slots=True)
class Origin:
    """Where requests go: what the connector asks for, and the lines that each of them carries."""

    request: aiohttp.ClientRequest
    lines: str

    @classmethod
    def of(cls, base: str, headers: Mapping[str, str]) -> "Origin":
        """Read a URL.

        Raises:
            InvalidURL: it names no host.
            ValueError: it is no URL.
        """
        # A session is the one argument that nobody reads: it is for callers of the session's own API.
        request = aiohttp.ClientRequest("GET", URL(base), headers=headers, session=cast("aiohttp.ClientSession", None))
        return cls(request, "".join(f"{name}: {value}\r\n" for name, value in request.headers.items()))

    def message(self, method: str, path: str, headers: Mapping[str, str], body: bytes | None) -> bytes:
        """Word a request.

        Raises:
            ValueError: a header's value would not stay within its line.
        """
        lines = self.lines
        for name, value in headers.items():
            if _LEAVES_ITS_LINE.search(value):
                raise ValueError(name)
            lines += f"{name}: {value}\r\n"
        if method != "GET":
            lines += f"Content-Length: {len(body or b'')}\r\n"
        return f"{method} {path} HTTP/1.1\r\n{lines}\r\n".encode() + (body or b"")


class FastTransport:
    """`upstreams.http.Transport` on a connector's connections alone."""

    def __init__(self, connector: aiohttp.TCPConnector, headers: Mapping[str, str], most_bytes: int) -> None:
        """Send `headers` with every request, and read no more than about `most_bytes` of an answer."""
        self._connector = connector
        self._headers = headers
        self._most_bytes = most_bytes
        self._loop = asyncio.get_running_loop()
        self._writes = WriteBatch(self._loop)
        self._origins: dict[str, Origin] = {}

    async def exchange(
        self,
        method: str,
        base: str,
        path: str,
        headers: Mapping[str, str],
        body: bytes | None,
        limits: aiohttp.ClientTimeout,
    ) -> tuple[int, Mapping[str, str], bytes]:
        """Send one request and read its answer (see `upstreams.http.Transport.exchange`)."""
        origin = self._origin(base)
        message = origin.message(method, _path(base, path), headers, body)
        ends_at = self._loop.time() + (limits.total or 0.0)
        try:
            connection = await self._connector.connect(origin.request, [], limits)
        except TimeoutError as error:
            raise aiohttp.ConnectionTimeoutError from error
        return await self._exchange(connection, message, ends_at)

    def _origin(self, base: str) -> Origin:
        known = self._origins.get(base)
        if known is None:
            while len(self._origins) >= _MOST_ORIGINS:
                self._origins.pop(next(iter(self._origins)))
            known = self._origins[base] = Origin.of(base, self._headers)
        return known

    async def _exchange(
        self, connection: Connection, message: bytes, ends_at: float
    ) -> tuple[int, Mapping[str, str], bytes]:
        """Write a request and read its answer; the connection goes back to its pool only where both ended well."""
        protocol, transport = connection.protocol, connection.transport
        if protocol is None or transport is None:
            raise aiohttp.ClientConnectionResetError
        # One timer, where a timeout around the whole would cost a tenth of it. Who waits hears that all is lost.
        expiry = self._loop.call_at(ends_at, transport.abort)
        try:
            if protocol._parser is None:  # noqa: SLF001 - its first request; one parser reads all of a connection
                protocol.set_response_params(read_until_eof=True, auto_decompress=False, read_bufsize=self._most_bytes)
            self._writes.write(transport, message)
            head, content = await protocol.read()
            while head.code // 100 == 1 and head.code != _SWITCHING:
                head, content = await protocol.read()
            body = await self._read(content)
            if self._loop.time() >= ends_at:
                raise TimeoutError  # it may have been cut off, where its end is the connection's
            if len(body) <= self._most_bytes:
                connection.release()
            return head.code, head.headers, body
        finally:
            expiry.cancel()
            # Closes what was not released, together with whatever may still arrive on it.
            connection.close()

    async def _read(self, content: aiohttp.StreamReader) -> bytes:
        if content.is_eof():
            return content.read_nowait()
        collected = bytearray()
        async for chunk in content.iter_any():
            collected += chunk
            if len(collected) > self._most_bytes:
                break
            # A flood that arrives faster than we read it would never give the loop back.
            await asyncio.sleep(0)
        return bytes(collected)


@lru_cache(maxsize=4096)
def _path(base: str, path: str) -> str:
    """Put the paths of a URL and of a call together: they are few, and reading one is slow."""
    return URL(base.rstrip("/") + path).raw_path_qs


@asynccontextmanager
async def open_transport(
    connector: aiohttp.TCPConnector, headers: Mapping[str, str], most_bytes: int
) -> AsyncIterator[FastTransport]:
    """Speak on a connector's connections; whoever made it closes it."""
    yield FastTransport(connector, headers, most_bytes)
