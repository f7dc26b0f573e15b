"""A tenant's instances and tokens over the public API (contract section 5), in process."""

import asyncio
import json
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient
from integration.waking import look
from redis.asyncio import Redis as AsyncRedis
from world import Phone, Tenant

from gateway.api.app import create_app
from gateway.presence.model import Chat, State, Target
from gateway.settings import Limits, Redis, Secrets, Settings
from gateway.store import keys
from gateway.tenants.checker import RedisChecker
from gateway.wiring import Services, open_services

Client = TestClient[web.Request, web.Application]
CHAT = Chat("5511999999999@s.whatsapp.net")


@pytest.fixture
async def client(services: Services, aiohttp_client: Callable[..., Awaitable[Client]]) -> Client:
    return await aiohttp_client(create_app(services))


async def ask(client: Client, method: str, path: str, token: str, body: Any = None) -> tuple[int, dict[str, Any]]:
    answer = await client.request(method, path, headers={"token": token}, json=body)
    return answer.status, await answer.json()


def error(message: str) -> dict[str, Any]:
    return {"success": False, "error": {"message": message}}


async def test_a_new_instance_answers_its_token_at_both_places_and_it_works(
    client: Client, tenant: Tenant, services: Services
) -> None:
    status, body = await ask(client, "POST", "/api/instance/new", tenant.account_token, {"name": "sales"})
    assert status == 201
    assert next(iter(body)) == "success"
    token = body["instance"]["token"]
    assert body["data"] == {"token": token}
    assert token.startswith("pgi_")
    assert set(body["instance"]) == {"id", "name", "token", "status", "upstream"}
    status, body = await ask(client, "GET", "/api/chat/presence/sales", token)
    assert (status, body["indicators"]) == (200, [])


async def test_creation_has_its_own_limit_of_twenty_a_minute(client: Client, tenant: Tenant) -> None:
    answers = [
        await client.post("/api/instance/new", headers={"token": tenant.account_token}, data=b"{") for _ in range(21)
    ]
    assert [answer.status for answer in answers] == [400] * 20 + [429]
    assert answers[0].headers["X-RateLimit-Limit"] == "20"
    assert "Retry-After" in answers[-1].headers
    status, _ = await ask(client, "GET", "/api/instance/list", tenant.account_token)
    assert status == 200


@pytest.mark.parametrize(
    ("body", "status", "message"),
    [
        ({}, 400, "Instance name is required"),
        ({"name": ""}, 400, "Instance name is required"),
        ({"name": "two words"}, 400, "Invalid instance name"),
        ({"name": "a" * 101}, 400, "Invalid instance name"),
        ({"name": ".."}, 400, "Invalid instance name"),
        ({"name": 5}, 400, "Invalid request body"),
        (
            {"name": "x", "token": "short"},
            400,
            "Invalid instance token. Use 16 to 256 printable characters without spaces",
        ),
        ({"name": "demo"}, 409, "Instance already exists"),
        (
            {"name": "x", "upstream": {"kind": "waha", "url": "http://127.0.0.1:3000"}},
            400,
            "Upstream URL is not allowed",
        ),
        ({"name": "x", "upstream": {"kind": "waha", "url": "https://example.com"}}, 400, "Upstream URL is not allowed"),
    ],
)
async def test_a_creation_that_cannot_be_obeyed_says_why(
    client: Client, tenant: Tenant, body: dict[str, Any], status: int, message: str
) -> None:
    assert await ask(client, "POST", "/api/instance/new", tenant.account_token, body) == (status, error(message))


async def test_a_callers_own_token_works_and_is_unique(client: Client, tenant: Tenant) -> None:
    mine = "a-token-of-16-ch"
    status, body = await ask(client, "POST", "/api/instance/new", tenant.account_token, {"name": "a", "token": mine})
    assert (status, body["instance"]["token"]) == (201, mine)
    status, body = await ask(client, "POST", "/api/instance/new", tenant.account_token, {"name": "b", "token": mine})
    assert (status, body) == (409, error("Token already in use"))
    assert (await ask(client, "GET", "/api/instance/list", mine))[1]["message"] == "1 Instance found"


async def test_an_instances_token_creates_and_deletes_nothing(client: Client, tenant: Tenant) -> None:
    refused = (401, error("Invalid account token"))
    token = tenant.instance_token
    assert await ask(client, "POST", "/api/instance/new", token, {"name": "x"}) == refused
    assert await ask(client, "DELETE", "/api/instance/delete/demo", token) == refused
    assert await ask(client, "POST", "/api/instance/token/demo", token) == refused


async def test_the_list_filters_and_an_instances_token_sees_only_its_own(client: Client, tenant: Tenant) -> None:
    for name in ("sales", "support"):
        await ask(client, "POST", "/api/instance/new", tenant.account_token, {"name": name})

    async def names(query: str, token: str = tenant.account_token) -> Any:
        status, body = await ask(client, "GET", "/api/instance/list" + query, token)
        if status != 200:
            return status, body
        assert body["message"] == f"{len(body['instances'])} Instance{'' if len(body['instances']) == 1 else 's'} found"
        assert body["meta"] == {"total": len(body["instances"])}
        assert all("token" not in instance and "state" in instance["connection"] for instance in body["instances"])
        return [instance["name"] for instance in body["instances"]]

    assert await names("") == ["demo", "sales", "support"]
    assert await names("?instanceName=sales,support,nobody") == ["sales", "support"]
    assert await names("?instanceName=nobody,else") == []
    assert await names("?instanceName=nobody") == (404, error("Instance not found"))
    assert await names("?instanceName=sales", tenant.instance_token) == ["demo"]


async def test_connection_states_come_from_the_upstream_and_are_asked_again_only_when_old(
    client: Client, tenant: Tenant, phone: Phone
) -> None:
    first = await ask(client, "GET", "/api/instance/list", tenant.account_token)
    asked = phone.asked
    second = await ask(client, "GET", "/api/instance/list", tenant.account_token)
    assert [body["instances"][0]["connection"]["state"] for _, body in (first, second)] == ["connected", "connected"]
    assert (asked, phone.asked) == (1, 1)


async def test_a_deleted_instance_is_gone_at_once_and_its_pause_is_on_its_way(
    client: Client, tenant: Tenant, services: Services, redis: AsyncRedis
) -> None:
    await services.presence.show(tenant.instance, CHAT, State.TYPING, 60)
    assert await look(services.indicators) == []
    answer = await ask(client, "DELETE", "/api/instance/delete/demo", tenant.account_token)
    assert answer == (
        200,
        {"success": True, "message": "Instance deleted", "instance": {"name": "demo", "status": "deleted"}},
    )
    assert [key.chat for key, _ in await look(services.indicators)] == [CHAT]
    assert await ask(client, "GET", "/api/chat/presence/demo", tenant.instance_token) == (401, error("Invalid token"))
    gone = (404, error("Instance not found"))
    assert await ask(client, "GET", "/api/chat/presence/demo", tenant.account_token) == gone
    assert await ask(client, "DELETE", "/api/instance/delete/demo", tenant.account_token) == gone
    status, _ = await ask(client, "POST", "/api/instance/new", tenant.account_token, {"name": "demo"})
    assert status == 201


async def test_what_shows_is_listed_with_since_and_ends(
    client: Client, tenant: Tenant, services: Services, everywhere: AsyncRedis
) -> None:
    other = Chat("5511888888888@s.whatsapp.net")
    await services.presence.show(tenant.instance, CHAT, State.TYPING, 30)
    await services.presence.show(tenant.instance, other, State.RECORDING, 0)
    _, body = await ask(client, "GET", "/api/chat/presence/demo", tenant.instance_token)
    assert body["message"] == "2 Indicators showing"
    shown = {one["chat"]: one for one in body["indicators"]}
    assert shown[CHAT.jid]["ends"] - shown[CHAT.jid]["since"] == pytest.approx(30, abs=0.05)
    assert (shown[other.jid]["state"], shown[other.jid]["ends"]) == ("recording", None)
    for chat in (CHAT, other):
        await services.presence.show(tenant.instance, chat, State.PAUSED, 0)
    _, body = await ask(client, "GET", "/api/chat/presence/demo", tenant.instance_token)
    assert body["indicators"] == []
    assert not await everywhere.exists(keys.chats(tenant.instance.id))


async def test_a_rotated_token_ends_the_old_one_now_or_after_its_grace(client: Client, tenant: Tenant) -> None:
    async def rotate(body: Any) -> str:
        status, answer = await ask(client, "POST", "/api/instance/token/demo", tenant.account_token, body)
        assert status == 200, answer
        assert answer["data"]["token"] == answer["instance"]["token"]
        return str(answer["data"]["token"])

    async def works(token: str) -> bool:
        status, _ = await ask(client, "GET", "/api/chat/presence/demo", token)
        return status == 200

    second = await rotate({"grace": 60})
    assert [await works(token) for token in (tenant.instance_token, second)] == [True, True]
    third = await rotate(None)
    assert [await works(token) for token in (tenant.instance_token, second, third)] == [False, False, True]


@pytest.mark.parametrize("grace", [-1, 86_401, 1e30])
async def test_a_grace_out_of_bounds_is_refused(client: Client, tenant: Tenant, grace: float) -> None:
    status, body = await ask(client, "POST", "/api/instance/token/demo", tenant.account_token, {"grace": grace})
    assert (status, body) == (400, error("Invalid grace. Use an integer from 0 to 86400"))


async def test_two_creations_of_one_name_at_once_make_one(client: Client, tenant: Tenant) -> None:
    answers = await asyncio.gather(
        *(ask(client, "POST", "/api/instance/new", tenant.account_token, {"name": "twin"}) for _ in range(6))
    )
    assert sorted(status for status, _ in answers) == [201] + [409] * 5


async def test_the_quota_holds_under_concurrency(redis: AsyncRedis, redis_url: str, aiohttp_client: Any) -> None:
    limits = Limits(instances_per_account=3)
    async with open_services(Settings(redis=Redis(url=redis_url), limits=limits)) as services:
        account = await services.directory.create_account("acme")
        client = await aiohttp_client(create_app(services))
        answers = await asyncio.gather(
            *(ask(client, "POST", "/api/instance/new", account.token, {"name": f"n{n}"}) for n in range(10))
        )
        assert sorted(status for status, _ in answers) == [201] * 3 + [403] * 7
        assert error("Account instance quota exceeded") in [body for _, body in answers]


async def test_a_foreign_instance_and_none_at_all_are_one_answer_to_the_byte(
    client: Client, tenant: Tenant, services: Services
) -> None:
    stranger = await services.directory.create_account("stranger")
    for method, path in [
        ("POST", "/api/chat/presence/{}"),
        ("GET", "/api/chat/presence/{}"),
        ("DELETE", "/api/instance/delete/{}"),
        ("POST", "/api/instance/token/{}"),
        ("GET", "/api/instance/list?instanceName={}"),
    ]:
        told = []
        for name in ("demo", "nope"):
            answer = await client.request(method, path.format(name), headers={"token": stranger.token})
            headers = {key: value for key, value in answer.headers.items() if key.startswith(("Content", "X-C"))}
            told.append((answer.status, await answer.read(), headers))
        assert told[0] == told[1]
        assert told[0][0] == 404


async def test_the_whole_of_redis_holds_no_secret_in_clear(
    everywhere: AsyncRedis, redis: AsyncRedis, redis_url: str, aiohttp_client: Any
) -> None:
    from cryptography.fernet import Fernet

    settings = Settings(
        redis=Redis(url=redis_url),
        secrets=Secrets(pepper="p", encryption_keys=Fernet.generate_key().decode(), admin_key="the-operators-own-key"),
    )
    async with open_services(settings) as services:
        account = await services.directory.create_account(
            "acme", upstream=Target("waha", "http://waha", "", "the-accounts-credential")
        )
        client = await aiohttp_client(create_app(services))
        _, body = await ask(
            client, "POST", "/api/instance/new", account.token, {"name": "a", "token": "a-custom-token-of-mine"}
        )
        _, rotated = await ask(client, "POST", "/api/instance/token/a", account.token, {"grace": 60})
        await services.directory.create_instance(
            account.id, "b", upstream=Target("waha", "http://waha", "", "the-instances-credential")
        )
        await ask(client, "GET", "/api/instance/list?token=pga_guess", account.token)
        dump = b"".join([key + (await everywhere.dump(key) or b"") for key in await everywhere.keys("*")])
        for secret in (
            account.token,
            body["instance"]["token"],
            rotated["data"]["token"],
            "the-accounts-credential",
            "the-instances-credential",
            "the-operators-own-key",
        ):
            assert secret.encode() not in dump
        assert await RedisChecker(services.redis, services.executor).problems() == []


async def test_answers_with_a_token_are_kept_by_nobody(client: Client, tenant: Tenant) -> None:
    answer = await client.post("/api/instance/new", headers={"token": tenant.account_token}, json={"name": "x"})
    assert answer.headers["Cache-Control"] == "no-store"
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    assert json.loads(await answer.read())["success"] is True
