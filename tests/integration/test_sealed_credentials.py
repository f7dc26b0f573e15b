"""A credential that no configured key opens, or none could be kept under: one instance's trouble, and nobody else's."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient
from cryptography.fernet import Fernet
from integration.waking import claim_due
from redis.asyncio import Redis as AsyncRedis
from structlog.testing import capture_logs
from world import Phone

from gateway.api.admin.app import create_admin
from gateway.api.app import create_app
from gateway.presence.model import Chat, Instance, State, Target
from gateway.settings import Presence, Redis, Secrets, Settings
from gateway.wiring import Services, open_services
from workers.jobs import perform

Client = TestClient[web.Request, web.Application]
KEY = "an-operators-key"
OLD, NEW = (Fernet.generate_key().decode() for _ in range(2))
CHAT = Chat("5511999999999@s.whatsapp.net")
REFUSED = {"success": False, "error": {"message": "Upstream rejected the request"}}


def settings(redis_url: str, encryption_keys: str) -> Settings:
    return Settings(
        redis=Redis(url=redis_url),
        secrets=Secrets(pepper="p", encryption_keys=encryption_keys, admin_key=KEY),
        presence=Presence(give_up_s=0.5),
    )


@dataclass
class Scene:
    """An account with an instance whose key was removed too early, and one without a credential."""

    services: Services
    public: Client
    admin: Client
    token: str
    account_id: str
    sealed: Instance

    async def ask(self, method: str, path: str, body: Any = None) -> tuple[int, Any]:
        client, token = (self.admin, KEY) if path.startswith("/admin") else (self.public, self.token)
        answer = await client.request(method, path, json=body, headers={"token": token})
        return answer.status, await answer.json()


async def opened(services: Services, aiohttp_client: Callable[..., Awaitable[Client]]) -> tuple[Client, Client]:
    admin = web.Application()
    admin.add_subapp("/admin/", create_admin(services))
    return await aiohttp_client(create_app(services)), await aiohttp_client(admin)


@pytest.fixture
async def scene(
    redis: AsyncRedis, redis_url: str, phone: Phone, aiohttp_client: Callable[..., Awaitable[Client]]
) -> AsyncIterator[Scene]:
    async with open_services(settings(redis_url, OLD)) as before:
        account = await before.directory.create_account("acme")
        target = Target("sandbox", phone.url, "sealed", "a-credential")
        await before.directory.create_instance(account.id, "sealed", upstream=target)
        await before.directory.create_instance(account.id, "well", upstream=Target("sandbox", phone.url, "well"))
        await before.presence.show(await before.directory.find_instance(account.id, "sealed"), CHAT, State.TYPING, 60)
    phone.told.clear()
    async with open_services(settings(redis_url, NEW)) as services:
        public, admin = await opened(services, aiohttp_client)
        sealed = await services.directory.find_instance(account.id, "sealed")
        yield Scene(services, public, admin, account.token, account.id, sealed)


async def test_it_is_listed_and_its_connection_is_unknown(scene: Scene) -> None:
    for path in ("/api/instance/list", f"/admin/accounts/{scene.account_id}/instances"):
        status, body = await scene.ask("GET", path)
        assert status == 200
        states = {one["name"]: one["connection"]["state"] for one in body["instances"]}
        assert states == {"sealed": "unknown", "well": "connected"}
    assert (await scene.ask("GET", "/api/instance/list?instanceName=sealed"))[0] == 200
    assert (await scene.ask("GET", "/api/chat/presence/sealed"))[0] == 200


async def test_what_shows_is_still_told_to_the_operator(scene: Scene) -> None:
    status, body = await scene.ask("GET", "/admin/indicators")
    assert (status, [one["instance"] for one in body["indicators"]]) == (200, ["sealed"])


async def test_a_command_to_it_is_refused_as_the_operators_fault_and_logged_by_its_id(
    scene: Scene, phone: Phone
) -> None:
    body = {"number": "5511888888888", "state": "typing", "duration": 5}
    with capture_logs() as lines:
        assert await scene.ask("POST", "/api/chat/presence/sealed", body) == (502, REFUSED)
    (line,) = [line for line in lines if line["event"] == "request"]
    assert (line["error"], line["instance"]) == ("UpstreamCredentialSealed", scene.sealed.id)
    assert (await scene.ask("POST", "/api/chat/presence/well", body))[0] == 200
    assert phone.states() == [State.TYPING]


async def test_a_pause_it_owes_is_given_up_in_the_end_and_loudly(scene: Scene, phone: Phone) -> None:
    services = scene.services
    await services.removal.delete_instance(scene.sealed)
    with capture_logs() as lines:
        async with asyncio.timeout(10):
            while (await services.health.backlog()).owed:
                for claim in await claim_due(services.indicators):
                    await perform(services.wakeups, claim, await services.directory.latest_change())
                await asyncio.sleep(0.01)
    last = lines[-1]
    assert (last["did"], last["outcome"], last["log_level"], last["instance"]) == (
        "abandoned",
        "sealed",
        "error",
        scene.sealed.id,
    )
    assert phone.told == []


async def test_rotating_keys_goes_past_it_and_names_it(scene: Scene) -> None:
    assert await scene.ask("POST", "/admin/keys/rotate") == (
        200,
        {"success": True, "resealed": 0, "unreadable": [scene.sealed.id]},
    )


async def test_without_a_key_a_credential_is_refused_and_nothing_is_made(
    redis: AsyncRedis, redis_url: str, phone: Phone, aiohttp_client: Callable[..., Awaitable[Client]]
) -> None:
    no_key = {
        "success": False,
        "error": {"message": "Upstream credentials cannot be kept: no encryption key is configured"},
    }
    async with open_services(settings(redis_url, "")) as services:
        account = await services.directory.create_account("acme")
        _, admin = await opened(services, aiohttp_client)
        upstream = {"kind": "sandbox", "url": phone.url, "credential": "secret"}
        for method, path, body in [
            ("POST", f"/admin/accounts/{account.id}/instances", {"name": "x", "upstream": upstream}),
            ("POST", "/admin/accounts", {"name": "x", "upstream": upstream}),
            ("PATCH", f"/admin/accounts/{account.id}", {"upstream": upstream}),
        ]:
            answer = await admin.request(method, path, json=body, headers={"token": KEY})
            assert (answer.status, await answer.json()) == (403, no_key)
        assert await services.directory.instances(account.id) == []
        assert len(await services.directory.accounts()) == 1
