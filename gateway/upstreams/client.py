"""Tells upstreams what to show: capabilities, circuit breakers and waiting, the same for every adapter."""

import asyncio
import time
from collections.abc import AsyncIterator, Hashable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass

from aiohttp.abc import AbstractResolver
from cachetools import TLRUCache

from gateway.presence.model import Chat, Outcome, State, Target
from gateway.presence.steps import RefreshPolicy
from gateway.telemetry.metrics import CREDENTIAL_REFUSED, UPSTREAM_DURATION, UPSTREAM_REQUESTS
from gateway.upstreams.base import Adapter, Call, Capabilities, Connection, Reply
from gateway.upstreams.breaker import Breakers
from gateway.upstreams.http import OpenTransport, open_session
from gateway.upstreams.policy import UpstreamPolicy
from gateway.upstreams.pools import Pools, open_pools
from gateway.upstreams.troubles import Troubles

_EARLY_S = 0.8
"""An upstream that blocks says what is wrong well within this; what is silent for longer is showing."""

_PATIENCE_S = 1.0
"""After this we ask an upstream with a slow first answer whether its session is connected at all."""

_AVAILABLE_S = 600.0
"""How long an account that was set available is taken to stay so."""

_MOST_AVAILABLE = 10_000

_LIFE_S = 5.5
"""A pause due within this needs no further telling: phones drop an indicator after 5 to 25 s, and calls take time."""

_QUIET_AFTER_S = 25.0
"""Where we made an account available for an indicator, we make it unavailable so long after its last one."""

_ANY_PACE = RefreshPolicy(refresh_s=_LIFE_S, life_s=_LIFE_S)

_TOO_MANY = 429
_LONGEST_HOLD_OFF_S = 60.0


@dataclass(frozen=True, slots=True)
class Examination:
    """What asking for a session's state showed.

    Attributes:
        outcome: how the answer reads, or what befell the request; None where this kind cannot be asked.
        status: the HTTP status, or None without an answer.
        connection: the session's state.
    """

    outcome: Outcome | None
    status: int | None
    connection: Connection


class UpstreamClient:
    """`ports.Upstreams` over HTTP. One object serves every instance of the process."""

    def __init__(self, adapters: Mapping[str, Adapter], pools: Pools, breakers: Breakers | None = None) -> None:
        """Use `pools` for every call; their owner closes them."""
        self._adapters = adapters
        self._pools = pools
        self._breakers = breakers or Breakers()
        self.troubles = Troubles(self._breakers.is_open)
        self._paces = {kind: _pace(adapter.capabilities) for kind, adapter in adapters.items()}
        self._available_until: TLRUCache[Hashable, float] = TLRUCache(
            _MOST_AVAILABLE, lambda _key, until_s, _now_s: until_s, timer=time.monotonic
        )
        for kind in adapters:
            CREDENTIAL_REFUSED.labels(kind)  # at zero, so that the first refusal is an increase
        self._background: set[asyncio.Task[Reply | Outcome]] = set()

    async def send(self, target: Target, chat: Chat, state: State, *, timeout_s: float) -> Outcome:
        """Tell the upstream once (see `ports.Upstreams.tell`)."""
        adapter = self._adapters.get(target.kind)
        if adapter is None:
            return Outcome.REJECTED
        if not _supports(adapter.capabilities, chat, state):
            return Outcome.UNSUPPORTED
        began = time.perf_counter()
        outcome = Outcome.SEALED
        if not target.sealed:
            outcome = await self._send_through_breakers(adapter, target, chat, state, timeout_s)
        UPSTREAM_DURATION.labels(target.kind).observe(time.perf_counter() - began)
        UPSTREAM_REQUESTS.labels(target.kind, state, outcome).inc()
        self.troubles.note(target, outcome)
        if outcome in {Outcome.UNAUTHORIZED, Outcome.SEALED}:
            CREDENTIAL_REFUSED.labels(target.kind).inc()
        return outcome

    async def rest(self, target: Target, *, timeout_s: float) -> Outcome:
        """Tell the upstream once that the account is unavailable (see `ports.Upstreams.rest`)."""
        adapter = self._adapters.get(target.kind)
        call = adapter.unavailable(target) if adapter else None
        if adapter is None or call is None:
            return Outcome.UNSUPPORTED
        reply = await self._pools.send(target, call, timeout_s)
        outcome = reply if isinstance(reply, Outcome) else adapter.outcome(reply)
        UPSTREAM_REQUESTS.labels(target.kind, "unavailable", outcome).inc()
        return outcome

    async def connection(self, target: Target, *, timeout_s: float = 5.0) -> Connection:
        """Ask the upstream whether the instance's session is connected."""
        return (await self.examine(target, timeout_s=timeout_s)).connection

    async def examine(self, target: Target, *, timeout_s: float = 5.0) -> Examination:
        """Ask the upstream about the instance's session, and tell what its answer says of the way there too."""
        adapter = self._adapters.get(target.kind)
        call = adapter.probe(target) if adapter else None
        if adapter is None or call is None:
            return Examination(None, None, Connection.UNKNOWN)
        reply = Outcome.SEALED if target.sealed else await self._pools.send(target, call, timeout_s)
        if isinstance(reply, Outcome):
            return Examination(reply, None, Connection.UNKNOWN)
        return Examination(adapter.outcome(reply), reply.status, adapter.connection(reply))

    def count_open_circuits(self) -> int:
        """Count the upstreams that are left alone now."""
        return self._breakers.open_count()

    def refresh_policy(self, target: Target) -> RefreshPolicy:
        """How a held indicator is re-sent to this kind of upstream (see `ports.Upstreams.refresh`)."""
        refresh = self._paces.get(target.kind, _ANY_PACE)
        return refresh if target.quiet_after_s is None else refresh._replace(quiet_s=target.quiet_after_s)

    async def _send_through_breakers(
        self, adapter: Adapter, target: Target, chat: Chat, state: State, timeout_s: float
    ) -> Outcome:
        passage = self._breakers.enter(target, is_pause=state is State.PAUSED)
        if passage is None:
            return Outcome.UNAVAILABLE
        with passage:
            reply = await self._reply(adapter, target, chat, state, timeout_s)
            if isinstance(reply, Outcome):
                passage.ended(reply)
                return reply
            passage.answered(_hold_off_s(reply.retry_after) if reply.status == _TOO_MANY else 0.0)
            return adapter.outcome(reply)

    async def _reply(
        self, adapter: Adapter, target: Target, chat: Chat, state: State, timeout_s: float
    ) -> Reply | Outcome:
        able = adapter.capabilities
        if able.available_first and state is not State.PAUSED:
            refused = await self._make_available(adapter, target, timeout_s)
            if refused is not None:
                return refused
        call = adapter.presence(target, chat, state)
        if able.blocks and state is not State.PAUSED:
            return await self._start(target, call, able.slice_s + timeout_s, timeout_s)
        if able.answer_s > timeout_s:
            return await self._send_or_probe(target, call, timeout_s)
        return await self._pools.send(target, call, timeout_s)

    async def _make_available(self, adapter: Adapter, target: Target, timeout_s: float) -> Reply | Outcome | None:
        """Mark the account available where that has not been done lately; None where it is."""
        key = (target.url, target.credential, target.session)
        call = adapter.available(target)
        if call is None or key in self._available_until:
            return None
        reply = await self._pools.send(target, call, timeout_s)
        if isinstance(reply, Reply) and adapter.outcome(reply) is Outcome.OK:
            # Long before it is made unavailable: that is counted from the end of what is shown now.
            lasts_s = min(_AVAILABLE_S, self.refresh_policy(target).quiet_s or _AVAILABLE_S)
            self._available_until[key] = time.monotonic() + lasts_s
            return None
        return reply

    async def _start(self, target: Target, call: Call, lasts_s: float, timeout_s: float) -> Reply | Outcome:
        """Start a call that blocks while it shows, and let it run on; an error comes at once or not at all."""
        sending = asyncio.create_task(self._pools.send(target, call, lasts_s))
        self._background.add(sending)
        sending.add_done_callback(self._background.discard)
        done, _ = await asyncio.wait({sending}, timeout=min(_EARLY_S, timeout_s))
        return sending.result() if done else Outcome.OK

    async def _send_or_probe(self, target: Target, call: Call, timeout_s: float) -> Reply | Outcome:
        """Send to an upstream that may take longer than we wait, and find out why where it does."""
        sending = asyncio.create_task(self._pools.send(target, call, timeout_s))
        try:
            done, _ = await asyncio.wait({sending}, timeout=_PATIENCE_S)
            if not done and await self.connection(target, timeout_s=_PATIENCE_S) in _DOWN:
                return Outcome.NOT_READY
            return await sending
        finally:
            sending.cancel()


_DOWN = {Connection.DISCONNECTED, Connection.LOGGEDOUT, Connection.CONNECTING}


def _supports(able: Capabilities, chat: Chat, state: State) -> bool:
    return able.reaches(chat) and (able.recording or state is not State.RECORDING)


def _pace(able: Capabilities) -> RefreshPolicy:
    # An upstream that blocks ends each call with a pause of its own: what it shows lives as long as the call.
    life_s = able.refresh_s if able.blocks else _LIFE_S
    quiet_s = _QUIET_AFTER_S if able.available_first else 0.0
    return RefreshPolicy(able.refresh_s, life_s, one_at_a_time=able.blocks, quiet_s=quiet_s)


def _hold_off_s(retry_after: str) -> float:
    seconds = float(retry_after) if retry_after.isdecimal() else 1.0
    return min(seconds, _LONGEST_HOLD_OFF_S)


@asynccontextmanager
async def open_client(
    adapters: Mapping[str, Adapter],
    resolver: AbstractResolver,
    *,
    connections: int = 1024,
    connections_per_origin: int = 512,
    policy: UpstreamPolicy | None = None,
    open_transport: OpenTransport = open_session,
) -> AsyncIterator[UpstreamClient]:
    """Open the pools of connections, and close them at the end."""
    async with open_pools(
        resolver,
        connections=connections,
        connections_per_origin=connections_per_origin,
        policy=policy,
        open_transport=open_transport,
    ) as pools:
        yield UpstreamClient(adapters, pools)
