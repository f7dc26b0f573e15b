"""A caller of the gateway who can also look at the sandbox's phone."""

import asyncio
import contextlib
import json
import secrets
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import dataclass
from types import TracebackType
from typing import Self, TypeVar

import aiohttp
import pytest
from acceptance.answers import Answer
from installation import POLL_S, Installation
from operated import Tenant
from yarl import URL

NOISE_S = 1.5  # what two busy cores may add to any lateness
CLOCK_S = 0.005  # two reads of a clock are never one instant
UPSTREAM_TIMEOUT_S = 4.5
REFRESH_S = 4.0

NUMBERS_BEGIN = "55119"  # every number of these tests, so that a log can be searched for all of them

T = TypeVar("T")


@dataclass(frozen=True)
class Call:
    """One thing that the sandbox was told and applied."""

    n: int
    at: float
    instance: str
    chat: str
    state: str


def jid(number: str) -> str:
    return f"{number}@s.whatsapp.net"


def new_number() -> str:
    """A phone number that no other test uses, and that no log line may hold."""
    return f"{NUMBERS_BEGIN}{secrets.randbelow(10**8):08}"


async def eventually(probe: Callable[[], Awaitable[T | None]], *, within: float, what: str) -> T:
    """Ask until there is an answer; fail with a sentence when the time is up."""
    deadline = time.monotonic() + within
    while (found := await probe()) is None:
        if time.monotonic() > deadline:
            pytest.fail(f"not within {within:.1f} s: {what}")
        await asyncio.sleep(POLL_S)
    return found


class Client:
    """A caller of the gateway who can also look at the sandbox's phone."""

    def __init__(self, installation: Installation, *, source: str | None = None) -> None:
        self.installation = installation
        self._source = (source, 0) if source else None
        self._calls: dict[int, Call] = {}

    async def __aenter__(self) -> Self:
        connector = aiohttp.TCPConnector(force_close=True, limit=0, local_addr=self._source)
        self._http = aiohttp.ClientSession(
            connector=connector,
            cookie_jar=aiohttp.DummyCookieJar(),
            timeout=aiohttp.ClientTimeout(total=30),
        )
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._http.close()

    async def request(
        self,
        method: str,
        path: str,
        *,
        headers: Mapping[str, str] | None = None,
        data: bytes | AsyncIterator[bytes] | None = None,
    ) -> Answer:
        """Send exactly this path and these bytes; redirects are not followed."""
        target = URL(self.installation.url + path, encoded=True)
        began = time.monotonic()
        async with self._http.request(method, target, headers=headers, data=data, allow_redirects=False) as response:
            raw = await response.read()
            return Answer(response.status, response.headers.copy(), raw, time.monotonic() - began)

    async def post(
        self, instance: str, body: object, *, token: str | None, headers: Mapping[str, str] | None = None
    ) -> Answer:
        """Call the one endpoint; `body` is sent as JSON, or as it is when it is bytes."""
        return await self.request(
            "POST",
            f"/api/chat/presence/{instance}",
            headers=({"token": token} if token is not None else {}) | dict(headers or {}),
            data=body if isinstance(body, bytes) else json.dumps(body).encode(),
        )

    async def show(self, tenant: Tenant, number: str, state: str, duration: int | None = None) -> Answer:
        """Send a well-formed command as the tenant."""
        body: dict[str, object] = {"number": number, "state": state}
        if duration is not None:
            body["duration"] = duration
        return await self.post(tenant.instance, body, token=tenant.instance_token)

    async def report_message(self, tenant: Tenant, number: str) -> Answer:
        """Say, as the tenant's upstream does, that a message to this number was sent."""
        event = {"event": "message", "from_me": True, "chat": jid(number), "timestamp": time.time()}
        path = f"/api/events/presence/{tenant.instance}?token={tenant.instance_token}"
        return await self.request("POST", path, data=json.dumps(event).encode())

    async def stays_paused(self, chat: str, *, for_s: float = REFRESH_S + 1.0) -> bool:
        """Whether a chat that was paused is told nothing but pauses for longer than from one refresh to the next."""
        before = len(await self.calls_for(chat))
        await asyncio.sleep(for_s)
        return {call.state for call in (await self.calls_for(chat))[before - 1 :]} == {"paused"}

    async def calls(self) -> list[Call]:
        """Everything that the sandbox has applied, in its order."""
        since = max(self._calls, default=0)
        async with self._http.get(f"{self.installation.sandbox_url}/calls", params={"since": since}) as response:
            assert response.status == 200, await response.text()
            for told in (await response.json())["calls"]:
                call = Call(
                    int(told["n"]), float(told["at"]), str(told["instance"]), str(told["chat"]), str(told["state"])
                )
                self._calls[call.n] = call
        return [self._calls[n] for n in sorted(self._calls)]

    async def calls_for(self, chat: str, *, instance: str | None = None) -> list[Call]:
        """What was applied to a chat (a canonical JID), on every instance or on one of the sandbox's."""
        return [
            call for call in await self.calls() if call.chat == chat and (instance is None or call.instance == instance)
        ]

    async def wait_for_calls(self, chat: str, count: int, *, within: float, instance: str | None = None) -> list[Call]:
        """Wait until so many calls were applied to the chat, and return all of them."""

        async def enough() -> list[Call] | None:
            calls = await self.calls_for(chat, instance=instance)
            return calls if len(calls) >= count else None

        return await eventually(enough, within=within, what=f"{count} calls for the chat")

    async def wait_for_pause(self, chat: str, *, within: float) -> Call:
        """Wait until the chat's newest call is a pause, and return it."""

        async def paused() -> Call | None:
            calls = await self.calls_for(chat)
            return calls[-1] if calls and calls[-1].state == "paused" else None

        return await eventually(paused, within=within, what="a pause for the chat")

    async def sandbox_name(self, tenant: Tenant) -> str:
        """The name by which the sandbox knows a tenant's instance, learned by sending something through it."""
        known = self.installation._sandbox_names
        if tenant.instance_token not in known:
            number = new_number()
            answer = await self.show(tenant, number, "pause")
            assert answer.status == 200, answer.raw
            known[tenant.instance_token] = (await self.wait_for_calls(jid(number), 1, within=5))[0].instance
        return known[tenant.instance_token]

    async def fault(self, tenant: Tenant, kind: str, **details: object) -> None:
        """Let the sandbox fail for one tenant's instance."""
        order = {"instance": await self.sandbox_name(tenant), "fault": kind, **details}
        async with self._http.post(f"{self.installation.sandbox_url}/faults", json=order) as response:
            assert response.status < 300, await response.text()

    async def metrics(self) -> str:
        """What the operator's port tells Prometheus."""
        return await self.operators("/metrics")

    async def operators(self, path: str) -> str:
        """What the operator reads at a path of their port."""
        ready = self.installation.ready
        headers = {"Authorization": f"Bearer {ready['admin_key']}"}
        async with self._http.get(f"{str(ready['admin_url']).rstrip('/')}{path}", headers=headers) as response:
            assert response.status == 200
            return await response.text()

    async def wait_until_served(self, *, within: float = 15.0) -> None:
        """Wait until the gateway answers again."""

        async def served() -> bool | None:
            with contextlib.suppress(aiohttp.ClientError, TimeoutError, FileNotFoundError):
                return (await self.request("GET", "/health")).status == 200 or None
            return None

        await eventually(served, within=within, what="the gateway answers /health")
