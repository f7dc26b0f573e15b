"""One HTTP request to an upstream, bounded in time and size; what went wrong is an `Outcome`, never an exception.

How a request travels is a `Transport`'s matter: aiohttp's session, here, or `gateway/fast/upstream_http.py`, which does
the same past it.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from functools import lru_cache
from typing import Protocol

import aiohttp
import msgspec
from aiohttp.http_exceptions import HttpProcessingError
from yarl import URL

from gateway.presence.model import Outcome, Target
from gateway.telemetry import trace
from gateway.upstreams.base import Call, Reply
from gateway.upstreams.policy import AddressRefused

MOST_BYTES = 64 * 1024
"""No upstream's answer is longer; what is longer is not an answer."""

HEADERS = {"User-Agent": "presence-gateway", "Accept-Encoding": "identity"}

CONNECT_S = 2.0
"""For a free connection and its handshake together: nothing was sent before."""

_CONNECT_SHARE = 0.9
"""Of a short timeout. Connecting has to end before all does, or nobody would know whether anything was sent."""

_encode = msgspec.json.Encoder().encode


class Transport(Protocol):
    """How one request travels, and its answer."""

    async def exchange(
        self,
        method: str,
        base: str,
        path: str,
        headers: Mapping[str, str],
        body: bytes | None,
        limits: aiohttp.ClientTimeout,
    ) -> tuple[int, Mapping[str, str], bytes]:
        """Send one request to the target whose URL is `base`, and return its answer's status, headers and body.

        Nothing is followed, unpacked or kept. Of a body that is too long only the beginning is read, longer than it
        may be.

        Raises:
            ValueError: the URL is none, or a header would not stay within its line; nothing was sent.
            ClientConnectorError, ConnectionTimeoutError: there was no connection in time; nothing was sent.
            ClientResponseError, HttpProcessingError: the answer was no HTTP.
            ClientError, OSError: nobody knows whether the upstream acted.
        """
        ...


OpenTransport = Callable[[aiohttp.TCPConnector, Mapping[str, str], int], AbstractAsyncContextManager[Transport]]
"""Opens one on a connector; it sends these headers with every request, and reads about so many bytes of a body."""


def send(
    transport: Transport, target: Target, call: Call, timeout_s: float
) -> Coroutine[object, object, Reply | Outcome]:
    """Send one request and read its answer.

    Returns:
        The reply, whatever its status; `NOT_ALLOWED` where the operator's rules keep us from there; `UNAVAILABLE`
        where the request surely never left; `GARBLED` where the answer was no HTTP or too long; `UNKNOWN` where
        nobody knows whether the upstream acted.
    """
    sending = _send(transport, target, call, timeout_s)
    return _traced(sending, target, call) if trace.is_kept() else sending


async def _traced(sending: Coroutine[object, object, Reply | Outcome], target: Target, call: Call) -> Reply | Outcome:
    with trace.step(f"{call.method} {target.kind}", **{"http.request.method": call.method}) as span:
        result = await sending
        if isinstance(result, Reply):
            span.note("http.response.status_code", result.status)
        else:
            span.note("error.type", result.value)
        return result


async def _send(transport: Transport, target: Target, call: Call, timeout_s: float) -> Reply | Outcome:
    headers, body = {**call.headers, **trace.outgoing()}, None
    if call.json is not None:
        headers["Content-Type"], body = "application/json", _encode(call.json)
    try:
        status, said, content = await transport.exchange(
            call.method, target.url, call.path, headers, body, _limits(timeout_s)
        )
    except _FOREIGN as error:
        return outcome_of(error)
    if len(content) > MOST_BYTES:
        return Outcome.GARBLED
    return Reply(status, content, said.get("Retry-After", ""))


@lru_cache(maxsize=64)
def _limits(timeout_s: float) -> aiohttp.ClientTimeout:
    return aiohttp.ClientTimeout(total=timeout_s, connect=min(CONNECT_S, _CONNECT_SHARE * timeout_s))


_OUTCOMES: tuple[tuple[type[Exception], Outcome], ...] = (
    # The operator's URL, or a credential that is no header: refused before anything was sent.
    (ValueError, Outcome.REJECTED),
    (aiohttp.ClientConnectorError, Outcome.UNAVAILABLE),
    (aiohttp.ConnectionTimeoutError, Outcome.UNAVAILABLE),
    (aiohttp.ClientResponseError, Outcome.GARBLED),
    (HttpProcessingError, Outcome.GARBLED),
    (aiohttp.ClientError, Outcome.UNKNOWN),
    (OSError, Outcome.UNKNOWN),  # a TimeoutError is one
)
"""What the exceptions of a transport mean: the first that fits."""

_FOREIGN = tuple(error for error, _ in _OUTCOMES)


def outcome_of(error: BaseException) -> Outcome:
    """Read what a transport raised."""
    if isinstance(getattr(error, "os_error", None), AddressRefused):
        return Outcome.NOT_ALLOWED
    return next(outcome for foreign, outcome in _OUTCOMES if isinstance(error, foreign))


class SessionTransport:
    """`Transport` by aiohttp's own client."""

    def __init__(self, session: aiohttp.ClientSession, most_bytes: int) -> None:
        """Send by `session`."""
        self._session = session
        self._most_bytes = most_bytes

    async def exchange(
        self,
        method: str,
        base: str,
        path: str,
        headers: Mapping[str, str],
        body: bytes | None,
        limits: aiohttp.ClientTimeout,
    ) -> tuple[int, Mapping[str, str], bytes]:
        """Send one request and read its answer (see `Transport.exchange`)."""
        async with self._session.request(
            method, _url(base, path), headers=headers, data=body, timeout=limits, allow_redirects=False
        ) as response:
            content = await self._read(response.content)
            if len(content) > self._most_bytes:
                response.close()
            return response.status, response.headers, content

    async def _read(self, content: aiohttp.StreamReader) -> bytes:
        collected = bytearray()
        async for chunk in content.iter_any():
            collected += chunk
            if len(collected) > self._most_bytes:
                break
            # A flood that arrives faster than we read it would never give the loop back.
            await asyncio.sleep(0)
        return bytes(collected)


@lru_cache(maxsize=4096)
def _url(base: str, path: str) -> URL:
    return URL(base.rstrip("/") + path)


@asynccontextmanager
async def open_session(
    connector: aiohttp.TCPConnector, headers: Mapping[str, str], most_bytes: int
) -> AsyncIterator[SessionTransport]:
    """Open a session on a connector; whoever made that closes it."""
    session = aiohttp.ClientSession(
        connector=connector,
        connector_owner=False,
        headers=headers,
        cookie_jar=aiohttp.DummyCookieJar(),
        auto_decompress=False,
        read_bufsize=most_bytes,
    )
    async with session:
        yield SessionTransport(session, most_bytes)
