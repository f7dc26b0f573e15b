"""A gateway in front of RyzeAPI's fake, and a caller who has both of a tenant's tokens."""

import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from typing import Any, cast

import aiohttp
import msgspec
from cryptography.fernet import Fernet
from fakes.ryzeapi import FakeRyzeapi
from ryzeapi_client import RyzeapiClient
from world import Tenant

from gateway.api.app import create_app
from gateway.presence.model import Chat, Instance, Target
from gateway.presence.service import CommandResult, Presence
from gateway.process.server import listening
from gateway.settings import Pass, Redis, Secrets, Settings
from gateway.telemetry.metrics import REGISTRY
from gateway.wiring import Services, open_services

CHAT = "5511999999999"
JID = f"{CHAT}@s.whatsapp.net"
TEXT = "/api/message/text/shop"


@dataclass
class Door:
    """A gateway in front of the fake, and a caller with both of the tenant's tokens."""

    url: str
    services: Services
    fake: FakeRyzeapi
    tenant: Tenant
    http: aiohttp.ClientSession
    ended: list[str] = field(default_factory=list)
    end: Callable[[Instance, Chat], Awaitable[None]] | None = None

    async def message_sent(self, instance: Instance, chat: Chat) -> CommandResult:
        assert instance == self.tenant.instance
        if self.end is not None:
            await self.end(instance, chat)
        self.ended.append(chat.jid)
        return CommandResult("nothing")

    async def call(
        self, method: str, path: str, *, token: str | None = None, headers: dict[str, str] | None = None, **more: Any
    ) -> tuple[aiohttp.ClientResponse, bytes]:
        sent = {"token": self.tenant.instance_token if token is None else token} | (headers or {})
        async with self.http.request(method, self.url + path, headers=sent, allow_redirects=False, **more) as response:
            return response, await response.read()

    async def refusal(self, method: str, path: str, **more: Any) -> tuple[int, str]:
        response, body = await self.call(method, path, **more)
        told = json.loads(body)
        assert told == {"success": False, "error": {"message": told["error"]["message"]}}
        return response.status, told["error"]["message"]

    def client(self) -> RyzeapiClient:
        return RyzeapiClient(self.url, "shop", self.tenant.instance_token, self.http)

    def client_of_fake(self) -> RyzeapiClient:
        return RyzeapiClient(self.fake.url, "shop", self.fake.CREDENTIAL, self.http)


class _TellsTheDoor:
    """The services' presence, but for messages that were sent."""

    def __init__(self, door: Door) -> None:
        self.message_sent = door.message_sent
        self._presence = door.services.presence

    def __getattr__(self, name: str) -> Any:
        return getattr(self._presence, name)


@asynccontextmanager
async def opened(
    redis_url: str,
    fake: FakeRyzeapi,
    target: Target,
    *,
    tenant: Tenant | None = None,
    ends: bool = False,
    **limits: Any,
) -> AsyncIterator[Door]:
    """Open a gateway with these limits, for a new tenant at the target or for one that there is.

    A message `ends` its indicator, as it should; else the door is told, and may do as it likes.
    """
    settings = Settings(redis=Redis(url=redis_url), secrets=_KEYS, pass_=msgspec.structs.replace(Pass(), **limits))
    async with open_services(settings) as services, aiohttp.ClientSession() as http:
        door = Door("", services, fake, tenant or await _tenant(services, target), http)
        told = services if ends else replace(services, presence=cast("Presence", _TellsTheDoor(door)))
        async with listening(create_app(told), "127.0.0.1", 0) as port:
            door.url = f"http://127.0.0.1:{port}"
            yield door


async def _tenant(services: Services, target: Target) -> Tenant:
    account = await services.directory.create_account("acme", per_minute=10_000)
    created = await services.directory.create_instance(account.id, "shop", upstream=target)
    return Tenant(account.token, created.token, await services.directory.find_instance(account.id, "shop"))


_KEYS = Secrets(encryption_keys=Fernet.generate_key().decode())

UPGRADE = {
    "Connection": "Upgrade",
    "Upgrade": "websocket",
    "Sec-WebSocket-Version": "13",
    "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==",
}


def passed(status: int) -> float:
    """How many requests were answered so."""
    return REGISTRY.get_sample_value("presence_passed_requests_total", {"status": str(status)}) or 0
