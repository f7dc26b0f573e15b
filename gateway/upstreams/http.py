"""One HTTP request to an upstream, bounded in time and size; what went wrong is an `Outcome`, never an exception.

The connections are aiohttp's: its connector resolves, connects, encrypts, pools and limits them, and its parser reads
the answers. Its session on top is left out: it builds each request from scratch, while all of ours to one origin begin
with the same bytes and carry a few hundred more. Measured in `docs/scaling.md`.
"""

import asyncio
import re
from collections.abc import AsyncIterator, Awaitable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import lru_cache
from typing import cast

import aiohttp
import msgspec
from aiohttp.abc import AbstractResolver
from aiohttp.connector import Connection
from aiohttp.http_exceptions import HttpProcessingError
from yarl import URL

from gateway.fast.body import whole as whole_body
from gateway.fast.write_batching import Outbox
from gateway.presence.model import Outcome, Target
from gateway.telemetry import trace
from gateway.upstreams.base import Call, Reply
from gateway.upstreams.policy import AddressRefused, PublicResolver, UpstreamPolicy
from gateway.upstreams.resolver import asking_account

_MOST_BYTES = 64 * 1024
"""No upstream's answer is longer; what is longer is not an answer."""

_CONNECT_S = 2.0
"""For a free connection and its handshake together: nothing was sent before."""

_KEEPALIVE_S = 3.5
"""Shorter than Node's 5 s, so that we never send on a connection that the upstream is closing right now."""

_MOST_ORIGINS = 4096

_SWITCHING = 101

_encode = msgspec.json.Encoder().encode


async def send(pools: "Pools", target: Target, call: Call, timeout_s: float) -> Reply | Outcome:
    """Send one request and read its answer.

    Returns:
        The reply, whatever its status; `NOT_ALLOWED` where the operator's rules keep us from there; `UNAVAILABLE`
        where the request surely never left; `GARBLED` where the answer was no HTTP or too long; `UNKNOWN` where
        nobody knows whether the upstream acted.
    """
    pool = pools.of(target)
    if pool is None:
        return Outcome.NOT_ALLOWED
    asking_account.set(target.account_id)
    if not trace.is_kept():
        return await _send(pool, target, call, timeout_s)
    with trace.step(f"{call.method} {target.kind}", **{"http.request.method": call.method}) as span:
        result = await _send(pool, target, call, timeout_s)
        if isinstance(result, Reply):
            span.note("http.response.status_code", result.status)
        else:
            span.note("error.type", result.value)
        return result


async def _send(pool: "Pool", target: Target, call: Call, timeout_s: float) -> Reply | Outcome:
    try:
        origin = pool.origin(target.url)
        message = origin.message(target.url, call)
    except (aiohttp.InvalidURL, ValueError):
        # The operator's URL, or a credential that is no header: refused before anything was sent.
        return Outcome.REJECTED
    connection: Connection | None = None
    ends_at = pool.loop.time() + timeout_s
    try:
        connection = await pool.connect(origin, timeout_s)
        return await _exchange(connection, message, pool, ends_at)
    except aiohttp.ClientConnectorError as error:
        refused = isinstance(getattr(error, "os_error", None), AddressRefused)
        return Outcome.NOT_ALLOWED if refused else Outcome.UNAVAILABLE
    except HttpProcessingError:
        return Outcome.GARBLED
    except (aiohttp.ClientError, OSError, UnicodeError):  # TimeoutError is an OSError
        # A UnicodeError is a resolver's, for what cannot be a name (`http://a..b`).
        return Outcome.UNAVAILABLE if connection is None else Outcome.UNKNOWN


async def _exchange(connection: Connection, message: bytes, pool: "Pool", ends_at: float) -> Reply | Outcome:
    """Write a request and read its answer; the connection goes back to its pool only where both ended well."""
    protocol, transport = connection.protocol, connection.transport
    if protocol is None or transport is None:
        raise aiohttp.ClientConnectionResetError
    # One timer, where a timeout around the whole would cost a tenth of it. Who waits hears that the connection is lost.
    expiry = pool.loop.call_at(ends_at, transport.abort)
    try:
        if protocol._parser is None:  # noqa: SLF001 - its first request; one parser reads all answers of a connection
            protocol.set_response_params(read_until_eof=True, auto_decompress=False, read_bufsize=_MOST_BYTES)
        pool.outbox.write(transport, message)
        head, content = await protocol.read()
        while head.code // 100 == 1 and head.code != _SWITCHING:
            head, content = await protocol.read()
        body = await _read(content)
        if body is None:
            return Outcome.GARBLED
        if pool.loop.time() >= ends_at:
            return Outcome.UNKNOWN  # it may have been cut off, where its end is the connection's
        reply = Reply(head.code, body, head.headers.get("Retry-After", ""))
        connection.release()
        return reply
    finally:
        expiry.cancel()
        # Closes what was not released, together with whatever may still arrive on it.
        connection.close()


async def _read(content: aiohttp.StreamReader) -> bytes | None:
    """Read the body up to the bound; None for a longer one."""
    if content.is_eof():
        return whole_body(content) if content.total_bytes <= _MOST_BYTES else None
    collected = bytearray()
    async for chunk in content.iter_any():
        collected += chunk
        if len(collected) > _MOST_BYTES:
            return None
        # A flood that arrives faster than we read it would never give the loop back.
        await asyncio.sleep(0)
    return bytes(collected)


@dataclass(frozen=True, slots=True)
class Origin:
    """Where targets live: what the connector asks for, and the lines that every request there carries."""

    request: aiohttp.ClientRequest
    lines: str

    @classmethod
    def of(cls, base: str) -> "Origin":
        """Read a target's URL.

        Raises:
            InvalidURL: it names no host.
            ValueError: it is no URL.
        """
        headers = {"User-Agent": "presence-gateway", "Accept-Encoding": "identity"}
        # A session is the one argument that nobody reads: it is for callers of the session's own API.
        request = aiohttp.ClientRequest("GET", URL(base), headers=headers, session=cast("aiohttp.ClientSession", None))
        return cls(request, "".join(f"{name}: {value}\r\n" for name, value in request.headers.items()))

    def message(self, base: str, call: Call) -> bytes:
        """Word a call to the target whose URL is `base`.

        Raises:
            ValueError: a header's value would not stay within its line.
        """
        body = b"" if call.json is None else _encode(call.json)
        lines = self.lines
        for name, value in {**call.headers, **trace.outgoing()}.items():
            if _LEAVES_ITS_LINE.search(value):
                raise ValueError(name)
            lines += f"{name}: {value}\r\n"
        if call.json is not None:
            lines += "Content-Type: application/json\r\n"
        if call.method != "GET":
            lines += f"Content-Length: {len(body)}\r\n"
        return f"{call.method} {_path(base, call.path)} HTTP/1.1\r\n{lines}\r\n".encode() + body


_LEAVES_ITS_LINE = re.compile(r"[\r\n\0]")


@lru_cache(maxsize=4096)
def _path(base: str, path: str) -> str:
    """Put the paths of a target's URL and of a call together: they are few, and reading one is slow."""
    return URL(base.rstrip("/") + path).raw_path_qs


@lru_cache(maxsize=64)
def _limits(timeout_s: float) -> aiohttp.ClientTimeout:
    return aiohttp.ClientTimeout(total=timeout_s, connect=min(_CONNECT_S, timeout_s))


class Pool:
    """Connections that are kept for the next request to the same origin."""

    def __init__(self, connector: aiohttp.TCPConnector) -> None:
        """Serve the event loop that runs now."""
        self.loop = asyncio.get_running_loop()
        self.outbox = Outbox(self.loop)
        self._connector = connector
        self._origins: dict[str, Origin] = {}

    def origin(self, base: str) -> Origin:
        """Return the origin of a target's URL, read once.

        Raises:
            InvalidURL, ValueError: see `Origin.of`.
        """
        known = self._origins.get(base)
        if known is None:
            while len(self._origins) >= _MOST_ORIGINS:
                self._origins.pop(next(iter(self._origins)))
            known = self._origins[base] = Origin.of(base)
        return known

    def connect(self, origin: Origin, timeout_s: float) -> Awaitable[Connection]:
        """Take a free connection, or make one.

        Raises:
            ClientError, TimeoutError: there is none in time; nothing was sent.
        """
        return self._connector.connect(origin.request, [], _limits(timeout_s))


@dataclass(frozen=True, slots=True)
class Pools:
    """Two pools of connections: one goes anywhere, the other, for tenants' own upstreams, to public addresses only."""

    anywhere: Pool
    public: Pool
    policy: UpstreamPolicy

    def of(self, target: Target) -> Pool | None:
        """Return the pool by which a target may be reached, or None where it may not."""
        match self.policy.route(target):
            case "open":
                return self.anywhere
            case "guarded":
                return self.public
            case _:
                return None


@asynccontextmanager
async def open_pools(
    resolver: AbstractResolver, *, connections: int, connections_per_origin: int, policy: UpstreamPolicy | None = None
) -> AsyncIterator[Pools]:
    """Open the pools of connections; one origin that hangs can never hold more than its share of them."""
    limits = connections, connections_per_origin
    # A resolver is asked for names only: literals are looked at by the policy, before each call.
    anywhere, public = _connector(resolver, *limits), _connector(PublicResolver(resolver), *limits)
    async with anywhere, public:
        yield Pools(Pool(anywhere), Pool(public), policy or UpstreamPolicy())


def _connector(resolver: AbstractResolver, most: int, most_per_origin: int) -> aiohttp.TCPConnector:
    # The resolver remembers names. The connector's own memory would give everybody who waits for a name the failure
    # of the account that asked first.
    return aiohttp.TCPConnector(
        limit=most,
        limit_per_host=most_per_origin,
        keepalive_timeout=_KEEPALIVE_S,
        resolver=resolver,
        use_dns_cache=False,
    )
