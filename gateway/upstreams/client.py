"""Speaks HTTP to upstreams: one pooled client, bounded in time and size, every failure read into an `Outcome`."""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager

import aiohttp

from gateway.model import Chat, Outcome, State, Target
from gateway.upstreams.base import Adapter, Call, Connection, Reply

_MOST_BYTES = 64 * 1024
"""No upstream's answer is longer; what is longer is not an answer."""

_CONNECT_S = 2.0
"""For a free connection and its handshake together: nothing was sent before."""

_KEEPALIVE_S = 3.5
"""Shorter than Node's 5 s, so that we never send on a connection that the upstream is closing right now."""


class UpstreamClient:
    """Tells upstreams what to show. One object serves every instance."""

    def __init__(self, adapters: Mapping[str, Adapter], session: aiohttp.ClientSession) -> None:
        """Use `session` for every call; its owner closes it."""
        self._adapters = adapters
        self._session = session

    async def tell(self, target: Target, chat: Chat, state: State, *, timeout_s: float) -> Outcome:
        """Tell the upstream once (see `ports.Upstreams.tell`)."""
        adapter = self._adapters.get(target.kind)
        if adapter is None:
            return Outcome.REJECTED
        if state is State.RECORDING and not adapter.capabilities.recording:
            return Outcome.UNSUPPORTED
        reply = await self._send(target, adapter.presence(target, chat, state), timeout_s)
        return reply if isinstance(reply, Outcome) else adapter.outcome(reply)

    async def connection(self, target: Target, *, timeout_s: float = 5.0) -> Connection:
        """Ask the upstream whether the instance's session is connected."""
        adapter = self._adapters.get(target.kind)
        call = adapter.probe(target) if adapter else None
        if adapter is None or call is None:
            return Connection.UNKNOWN
        reply = await self._send(target, call, timeout_s)
        return Connection.UNKNOWN if isinstance(reply, Outcome) else adapter.connection(reply)

    def refresh_s(self, target: Target) -> float:
        """How often a held indicator is re-sent to this kind of upstream, in seconds."""
        return self._adapters[target.kind].capabilities.refresh_s if target.kind in self._adapters else 4.0

    async def _send(self, target: Target, call: Call, timeout_s: float) -> Reply | Outcome:
        """Send one request. Errors before it left are `UNAVAILABLE`; errors after that leave its effect `UNKNOWN`."""
        try:
            async with self._session.request(
                call.method,
                target.url.rstrip("/") + call.path,
                json=call.json,
                headers=call.headers,
                allow_redirects=False,
                timeout=aiohttp.ClientTimeout(total=timeout_s, connect=min(_CONNECT_S, timeout_s)),
            ) as response:
                return await _read(response)
        except (aiohttp.ClientConnectorError, aiohttp.ConnectionTimeoutError):
            return Outcome.UNAVAILABLE
        except aiohttp.InvalidURL:
            return Outcome.REJECTED
        except aiohttp.ClientResponseError:
            return Outcome.GARBLED
        except (TimeoutError, aiohttp.ClientError, OSError):
            return Outcome.UNKNOWN


async def _read(response: aiohttp.ClientResponse) -> Reply | Outcome:
    """Read the body up to the bound; a longer one is dropped together with its connection."""
    body = bytearray()
    async for chunk in response.content.iter_any():
        body += chunk
        if len(body) > _MOST_BYTES:
            response.close()
            return Outcome.GARBLED
    return Reply(response.status, bytes(body))


@asynccontextmanager
async def open_client(
    adapters: Mapping[str, Adapter], *, connections: int = 512, connections_per_origin: int = 128
) -> AsyncIterator[UpstreamClient]:
    """Open the pool of connections, and close it at the end."""
    connector = aiohttp.TCPConnector(
        limit=connections, limit_per_host=connections_per_origin, keepalive_timeout=_KEEPALIVE_S
    )
    async with aiohttp.ClientSession(
        connector=connector,
        cookie_jar=aiohttp.DummyCookieJar(),
        headers={"User-Agent": "presence-gateway", "Accept-Encoding": "identity"},
        trust_env=False,
    ) as session:
        yield UpstreamClient(adapters, session)
