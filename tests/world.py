"""What tests share: a clock they move, a phone that remembers, a tenant, and waiting with a deadline."""

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from aiohttp import web

from gateway.fast import upstream_http
from gateway.presence.model import Instance, State
from gateway.upstreams.http import OpenTransport, open_session

TRANSPORTS: dict[str, OpenTransport] = {"plain": open_session, "fast": upstream_http.open_transport}
"""Both ways by which a request reaches an upstream; they keep the same promises."""


@dataclass
class VirtualClock:
    """Redis' clock and this process's, moved by the test."""

    ms: int = 1_800_000_000_000
    redis_ahead_ms: int = 0

    def redis_us(self) -> int:
        return (self.ms + self.redis_ahead_ms) * 1000

    def monotonic(self) -> float:
        return self.ms / 1000

    def tick(self, ms: int) -> None:
        self.ms += ms


@dataclass
class Phone:
    """An upstream of the sandbox's kind: what it was told, when, and how it answers."""

    url: str = ""
    told: list[tuple[float, State, str]] = field(default_factory=list)
    traces: list[str] = field(default_factory=list)
    status: int = 200
    hangs: bool = False
    asked: int = 0

    async def tell(self, request: web.Request) -> web.Response:
        body = await request.json()
        self.asked += 1
        if self.hangs:
            await asyncio.sleep(60)
        if self.status == 200:
            self.traces.append(request.headers.get("traceparent", ""))
            self.told.append((time.time(), State(body["state"]), body["chat"]))
        return web.json_response({"ok": True}, status=self.status)

    async def say(self, request: web.Request) -> web.Response:
        self.asked += 1
        return web.json_response({"state": "connected"})

    def states(self) -> list[State]:
        return [state for _, state, _ in self.told]


async def until(condition: Callable[[], bool], *, within_s: float) -> None:
    """Wait for something that must happen, and fail when it does not."""
    deadline = time.monotonic() + within_s
    while not condition():
        assert time.monotonic() < deadline, "it did not happen in time"
        await asyncio.sleep(0.01)


@dataclass(frozen=True)
class Tenant:
    """An account with one instance, and both tokens."""

    account_token: str
    instance_token: str
    instance: Instance
