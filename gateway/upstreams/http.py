"""One HTTP request to an upstream, bounded in time and size; what went wrong is an `Outcome`, never an exception."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import lru_cache

import aiohttp
import msgspec
from aiohttp.abc import AbstractResolver
from yarl import URL

from gateway import trace
from gateway.model import Outcome, Target
from gateway.upstreams.base import Call, Reply
from gateway.upstreams.policy import AddressRefused, PublicResolver, UpstreamPolicy

_MOST_BYTES = 64 * 1024
"""No upstream's answer is longer; what is longer is not an answer."""

_CONNECT_S = 2.0
"""For a free connection and its handshake together: nothing was sent before."""

_KEEPALIVE_S = 3.5
"""Shorter than Node's 5 s, so that we never send on a connection that the upstream is closing right now."""


_JSON = {"Content-Type": "application/json"}
_NO_BODY: dict[str, str] = {}
_encode = msgspec.json.Encoder().encode


@lru_cache(maxsize=4096)
def _url(base: str, path: str) -> URL:
    """Put a target's URL and a call's path together; they are few, and parsing one costs more than sending it."""
    return URL(base.rstrip("/") + path)


@lru_cache(maxsize=64)
def _timeout(timeout_s: float) -> aiohttp.ClientTimeout:
    return aiohttp.ClientTimeout(total=timeout_s, connect=min(_CONNECT_S, timeout_s))


async def send(sessions: "Sessions", target: Target, call: Call, timeout_s: float) -> Reply | Outcome:
    """Send one request and read its answer.

    Returns:
        The reply, whatever its status; `NOT_ALLOWED` where the operator's rules keep us from there; `UNAVAILABLE`
        where the request surely never left; `GARBLED` where the answer was no HTTP or too long; `UNKNOWN` where
        nobody knows whether the upstream acted.
    """
    with trace.step(f"{call.method} {target.kind}", **{"http.request.method": call.method}) as span:
        result = await _send(sessions, target, call, timeout_s)
        if isinstance(result, Reply):
            span.note("http.response.status_code", result.status)
        else:
            span.note("error.type", result.value)
        return result


async def _send(sessions: "Sessions", target: Target, call: Call, timeout_s: float) -> Reply | Outcome:
    session = sessions.of(target)
    if session is None:
        return Outcome.NOT_ALLOWED
    try:
        async with session.request(
            call.method,
            _url(target.url, call.path),
            data=None if call.json is None else _encode(call.json),
            headers={**(_NO_BODY if call.json is None else _JSON), **call.headers, **trace.outgoing()},
            allow_redirects=False,
            timeout=_timeout(timeout_s),
        ) as response:
            return await _read(response)
    except (aiohttp.ClientConnectorError, aiohttp.ConnectionTimeoutError) as error:
        refused = isinstance(getattr(error, "os_error", None), AddressRefused)
        return Outcome.NOT_ALLOWED if refused else Outcome.UNAVAILABLE
    except (aiohttp.InvalidURL, ValueError):
        # The operator's URL, or a credential that is no header: refused before anything was sent.
        return Outcome.REJECTED
    except aiohttp.ClientResponseError:
        return Outcome.GARBLED
    except (aiohttp.ClientError, TimeoutError, OSError):
        return Outcome.UNKNOWN


async def _read(response: aiohttp.ClientResponse) -> Reply | Outcome:
    """Read the body up to the bound; a longer one is dropped together with its connection."""
    body = bytearray()
    async for chunk in response.content.iter_any():
        body += chunk
        if len(body) > _MOST_BYTES:
            response.close()
            return Outcome.GARBLED
        if response.content.at_eof():
            break
        # A flood that arrives faster than we read it would never give the loop back.
        await asyncio.sleep(0)
    return Reply(response.status, bytes(body), response.headers.get("Retry-After", ""))


@dataclass(frozen=True, slots=True)
class Sessions:
    """Two pools of connections: one goes anywhere, the other, for tenants' own upstreams, to public addresses only."""

    anywhere: aiohttp.ClientSession
    public: aiohttp.ClientSession
    policy: UpstreamPolicy

    def of(self, target: Target) -> aiohttp.ClientSession | None:
        """Return the pool by which a target may be reached, or None where it may not."""
        match self.policy.route(target):
            case "open":
                return self.anywhere
            case "guarded":
                return self.public
            case _:
                return None


@asynccontextmanager
async def open_sessions(
    *, connections: int, connections_per_origin: int, policy: UpstreamPolicy | None = None
) -> AsyncIterator[Sessions]:
    """Open the pools of connections; one origin that hangs can never hold more than its share of them."""
    limits = connections, connections_per_origin
    # A resolver is asked for names only: literals are looked at by the policy, before each call.
    async with _session(*limits) as anywhere, _session(*limits, resolver=PublicResolver()) as public:
        yield Sessions(anywhere, public, policy or UpstreamPolicy())


def _session(most: int, most_per_origin: int, resolver: AbstractResolver | None = None) -> aiohttp.ClientSession:
    connector = aiohttp.TCPConnector(
        limit=most, limit_per_host=most_per_origin, keepalive_timeout=_KEEPALIVE_S, resolver=resolver
    )
    return aiohttp.ClientSession(
        connector=connector,
        cookie_jar=aiohttp.DummyCookieJar(),
        headers={"User-Agent": "presence-gateway", "Accept-Encoding": "identity"},
        auto_decompress=False,
        trust_env=False,
        read_bufsize=_MOST_BYTES,
    )
