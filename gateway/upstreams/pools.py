"""The connections to upstreams: one pool goes anywhere, the other, for tenants' own, to public addresses only."""

from collections.abc import AsyncIterator, Hashable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import lru_cache

import aiohttp
from aiohttp.abc import AbstractResolver
from yarl import URL

from gateway.presence.model import Outcome, Target
from gateway.upstreams.base import Call, Reply
from gateway.upstreams.connection_shares import ConnectionShares
from gateway.upstreams.http import CONNECT_S, HEADERS, MOST_BYTES, OpenTransport, Transport, open_session, send
from gateway.upstreams.policy import PublicResolver, UpstreamPolicy
from gateway.upstreams.resolver import asking_account

_KEEPALIVE_S = 3.5
"""Shorter than Node's 5 s, so that we never send on a connection that the upstream is closing right now."""


@dataclass(frozen=True, slots=True)
class Pool:
    """Connections, and who has how many of them."""

    transport: Transport
    shares: ConnectionShares


@lru_cache(maxsize=4096)
def _origin(url: str) -> Hashable:
    """Return what aiohttp's connector counts connections by; what is no URL is refused when it is sent to."""
    try:
        parsed = URL(url)
        return parsed.scheme, (parsed.host or "").lower(), parsed.port
    except ValueError:
        return None


@dataclass(frozen=True, slots=True)
class Pools:
    """Both pools, and the rules that choose between them."""

    anywhere: Pool
    public: Pool
    policy: UpstreamPolicy

    async def send(self, target: Target, call: Call, timeout_s: float) -> Reply | Outcome:
        """Send one request by the pool that reaches the target, within the account's share of it (see `http.send`).

        Returns:
            What `http.send` returns; `NOT_ALLOWED` where the operator's rules keep us from there, `UNAVAILABLE` where
            the share is taken for as long as we may wait.
        """
        pool = self._of(target)
        if pool is None:
            return Outcome.NOT_ALLOWED
        account_id, origin = target.account_id, _origin(target.url)
        asking_account.set(account_id)
        try:
            await pool.shares.take(account_id, origin, min(CONNECT_S, timeout_s))
        except TimeoutError:
            return Outcome.UNAVAILABLE
        try:
            return await send(pool.transport, target, call, timeout_s)
        finally:
            pool.shares.give_back(account_id, origin)

    def _of(self, target: Target) -> Pool | None:
        match self.policy.route(target):
            case "open":
                return self.anywhere
            case "guarded":
                return self.public
            case _:
                return None


@asynccontextmanager
async def open_pools(
    resolver: AbstractResolver,
    *,
    connections: int,
    connections_per_origin: int,
    policy: UpstreamPolicy | None = None,
    open_transport: OpenTransport = open_session,
) -> AsyncIterator[Pools]:
    """Open the pools of connections; no origin, and no account, can hold more than its share of them."""
    limits = connections, connections_per_origin
    # A resolver is asked for names only: literals are looked at by the policy, before each call.
    anywhere, public = _connector(resolver, *limits), _connector(PublicResolver(resolver), *limits)
    async with (
        anywhere,
        public,
        open_transport(anywhere, HEADERS, MOST_BYTES) as to_anywhere,
        open_transport(public, HEADERS, MOST_BYTES) as to_public,
    ):
        yield Pools(
            Pool(to_anywhere, ConnectionShares(*limits)),
            Pool(to_public, ConnectionShares(*limits)),
            policy or UpstreamPolicy(),
        )


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
