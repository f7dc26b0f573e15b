"""The front door in process: what only the inside can provoke. `tests/acceptance` holds it to the contract."""

import asyncio
import dataclasses
import time
from collections.abc import Awaitable, Callable
from typing import Any

import msgspec
import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient
from world import Phone, Tenant, until

from gateway.api.app import create_app
from gateway.presence.errors import StoreUnavailable
from gateway.presence.model import State
from gateway.wiring import Services

pytestmark = pytest.mark.one_server(
    "what the front door does with its own places and failures, before or without Redis"
)

Client = TestClient[web.Request, web.Application]
PATH = "/api/chat/presence/demo"
TYPING = {"number": "5511999999999", "state": "typing"}


@pytest.fixture
async def client(services: Services, aiohttp_client: Callable[..., Awaitable[Client]]) -> Client:
    return await aiohttp_client(create_app(services))


async def refuse(*args: Any, **options: Any) -> Any:
    raise StoreUnavailable


PUBLIC_ROUTES = ("/health", "/openapi.json", "/docs")


async def test_every_route_that_is_not_public_refuses_a_caller_without_a_token(client: Client) -> None:
    assert client.app
    routes = {
        (route.method, route.resource.canonical)
        for route in client.app.router.routes()
        if route.resource and not route.resource.canonical.startswith(PUBLIC_ROUTES)
    }
    assert ("POST", "/api/chat/presence/{instance}") in routes
    for method, path in routes:
        answer = await client.request(method, path.replace("{path}", "any/words").replace("{instance}", "demo"))
        assert answer.status == 401, (method, path)


async def test_a_pause_of_a_known_caller_gets_through_while_redis_is_away(
    client: Client, services: Services, tenant: Tenant, phone: Phone, monkeypatch: pytest.MonkeyPatch
) -> None:
    headers = {"token": tenant.account_token}
    first = await client.post(PATH, json=TYPING, headers=headers)
    for door, script in ((services.admission, "_admit"), (services.indicators, "_promise")):
        monkeypatch.setattr(door, script, refuse)
    refused = await client.post(PATH, json=TYPING | {"duration": 5}, headers=headers)
    assert (refused.status, refused.headers["Retry-After"]) == (503, "1")
    paused = await client.post(PATH, json=TYPING | {"state": "pause"}, headers=headers)
    assert paused.status == 200
    assert phone.states() == [State.TYPING, State.PAUSED]
    left = [int(answer.headers["X-RateLimit-Remaining"]) for answer in (first, refused, paused)]
    assert left == [99, 98, 97]


async def test_an_unknown_caller_gets_nothing_while_redis_is_away(
    client: Client, services: Services, tenant: Tenant, phone: Phone, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(services.admission, "_admit", refuse)
    answer = await client.post(PATH, json=TYPING | {"state": "pause"}, headers={"token": tenant.account_token})
    assert answer.status == 503
    assert await answer.json() == {"success": False, "error": {"message": "Service temporarily unavailable"}}
    assert phone.told == []


async def test_a_fault_of_ours_is_a_500_in_the_envelope_and_tells_nothing(
    client: Client, services: Services, tenant: Tenant, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def explode(*args: Any, **options: Any) -> Any:
        raise ZeroDivisionError("a secret")

    monkeypatch.setattr(services.presence, "show", explode)
    answer = await client.post(PATH, json=TYPING, headers={"token": tenant.account_token})
    assert answer.status == 500
    assert await answer.json() == {"success": False, "error": {"message": "Internal server error"}}
    assert "X-RateLimit-Remaining" in answer.headers


async def test_a_moved_instance_is_seen_with_the_next_request(
    client: Client, services: Services, tenant: Tenant, phone: Phone
) -> None:
    from gateway.presence.model import Target

    headers = {"token": tenant.account_token}
    await services.moves.move_instance(tenant.instance.id, Target("sandbox", "http://127.0.0.1:1", "demo"))
    assert (await client.post(PATH, json=TYPING, headers=headers)).status == 503
    await services.moves.move_instance(tenant.instance.id, Target("sandbox", phone.url, "demo"))
    assert (await client.post(PATH, json=TYPING, headers=headers)).status == 200


async def test_more_commands_than_this_process_can_finish_are_refused_at_once(
    services: Services, tenant: Tenant, phone: Phone, aiohttp_client: Callable[..., Awaitable[Client]]
) -> None:
    http = msgspec.structs.replace(services.settings.http, max_in_flight=1)
    small = dataclasses.replace(services, settings=msgspec.structs.replace(services.settings, http=http))
    client = await aiohttp_client(create_app(small))
    headers = {"token": tenant.account_token}
    phone.hangs = True
    first = asyncio.create_task(client.post(PATH, json=TYPING | {"duration": 1}, headers=headers))
    await until(lambda: phone.asked > 0, within_s=5)
    began = time.monotonic()
    refused = await client.post(PATH, json=TYPING | {"number": "5511888888888"}, headers=headers)
    assert (refused.status, refused.headers["Retry-After"]) == (503, "1")
    assert time.monotonic() - began < 1
    assert (await first).status == 504
