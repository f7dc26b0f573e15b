"""Every route, every kind of token, every place to send it, every instance that is not theirs: nobody gets through.

What belongs to somebody else and what does not exist are one answer, to the byte and the header.
"""

import json
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from dataclasses import dataclass
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient
from redis.asyncio import Redis as AsyncRedis
from world import Phone
from yarl import URL

from gateway.api.admin.app import create_admin
from gateway.api.app import create_app
from gateway.settings import Limits, Redis, Secrets, Settings, Upstream
from gateway.store import keys
from gateway.tenants import tokens
from gateway.wiring import Services, open_services

Client = TestClient[web.Request, web.Application]
Told = tuple[int, Any, dict[str, str]]

KEY = "an-operators-own-key"
COMMAND = {"number": "5511999999999", "state": "typing", "duration": 1}
CHANGING = {"x-request-id", "date", "x-ratelimit-remaining", "x-ratelimit-reset"}

OPEN_TO_INSTANCES = [("POST", "/api/chat/presence/{}"), ("GET", "/api/chat/presence/{}")]
FOR_ACCOUNTS = [("DELETE", "/api/instance/delete/{}"), ("POST", "/api/instance/token/{}")]
WITHOUT_INSTANCE = [("POST", "/api/instance/new"), ("GET", "/api/instance/list")]
PLACES = ["header", "bearer", "query"]
NOT_THE_CALLERS = ["theirs", "nowhere", "SALES", "sales%20", "sales%2F", "%2e%2e", "sales%00", "{their_id}", "{own_id}"]


@dataclass(frozen=True)
class World:
    """Two accounts whose instances share a name, and every kind of token that must not open anything."""

    services: Services
    everywhere: AsyncRedis
    public: Client
    admin: Client
    account: str
    instance: str
    dead: dict[str, str]
    own_id: str
    their_id: str
    own_account: str
    their_account: str
    their_token_id: str

    async def ask(self, method: str, path: str, token: str, place: str) -> Told:
        filled = path.replace("{own_id}", self.own_id).replace("{their_id}", self.their_id)
        headers = {"header": {"token": token}, "bearer": {"Authorization": f"Bearer {token}"}}.get(place, {})
        query = f"?token={token}" if place == "query" else ""
        return await ask(self.public, method, URL(filled + query, encoded=True), headers)

    async def everything(self) -> Any:
        """All that is stored, but for counts and when a token was last used."""
        kept = {}
        for key in sorted(await self.everywhere.keys("pg:*")):
            if await self.everywhere.type(key) == b"hash":
                fields = await self.everywhere.hgetall(key)  # type: ignore[misc]
                kept[key] = {name: value for name, value in fields.items() if name != b"used"}
        return kept, await self.everywhere.xlen(keys.AUDIT), (await self.services.health.backlog()).owed


async def ask(client: Client, method: str, url: URL | str, headers: dict[str, str]) -> Told:
    body = json.dumps(COMMAND | {"name": "new", "confirm": "theirs"}) if method != "GET" else None
    answer = await client.request(method, url, data=body, headers=headers)
    return answer.status, await answer.json(), {k: v for k, v in answer.headers.items() if k.lower() not in CHANGING}


def told(answer: Told) -> tuple[int, str]:
    status, body, _ = answer
    assert body == {"success": False, "error": {"message": body["error"]["message"]}}
    return status, body["error"]["message"]


@pytest.fixture
async def world(
    everywhere: AsyncRedis, redis_url: str, phone: Phone, aiohttp_client: Callable[..., Awaitable[Client]]
) -> AsyncIterator[World]:
    limits = Limits(per_minute=100_000, creation_per_minute=100_000, failures_per_minute=100_000)
    settings = Settings(
        redis=Redis(url=redis_url),
        secrets=Secrets(pepper="p", admin_key=KEY),
        limits=limits,
        upstream=Upstream(kind="sandbox", url=phone.url),
    )
    async with open_services(settings) as services:
        directory = services.directory
        own, their, suspended, deleted = [
            await directory.create_account(name) for name in ("own", "their", "suspended", "deleted")
        ]
        sales = await directory.create_instance(own.id, "sales")
        await directory.create_instance(own.id, "support")
        await directory.create_instance(their.id, "sales")
        theirs = await directory.create_instance(their.id, "theirs")
        revoked, rotated = await directory.issue_token(own.id), await directory.create_instance(own.id, "rotated")
        await directory.revoke_token(revoked.id)
        await services.tenancy.rotate_instance_token(await directory.find_instance(own.id, "rotated"))
        await services.tenancy.set_status(suspended.id, "suspended")
        await services.removal.delete_account(await directory.account(deleted.id))
        dead = {
            "unknown": tokens.make("account"),
            "unknown, of an instance": tokens.make("instance"),
            "unknown, chosen": "a-token-that-nobody-has",
            "malformed": own.token[:-1] + ("0" if own.token[-1] != "0" else "1"),
            "shortened": sales.token[:40],
            "in capitals": sales.token.upper(),
            "revoked": revoked.token,
            "rotated away": rotated.token,
            "of a suspended account": suspended.token,
            "of a deleted account": deleted.token,
            "the operator's key": KEY,
            "a token's hash": services.hasher(own.token),
            "an id": own.id,
        }
        admin = web.Application()
        admin.add_subapp("/admin/", create_admin(services, guesses_per_minute=100_000))
        yield World(
            services,
            everywhere,
            await aiohttp_client(create_app(services)),
            await aiohttp_client(admin),
            own.token,
            sales.token,
            dead,
            sales.id,
            theirs.id,
            own.id,
            their.id,
            (await directory.issue_token(their.id)).id,
        )


@pytest.mark.parametrize("place", PLACES)
async def test_no_dead_token_opens_any_route(world: World, phone: Phone, place: str) -> None:
    before = await world.everything()
    for method, path in OPEN_TO_INSTANCES + FOR_ACCOUNTS + WITHOUT_INSTANCE:
        for name in ("sales", "theirs", "nowhere"):
            for kind, token in world.dead.items():
                answer = await world.ask(method, path.format(name), token, place)
                assert told(answer) == (401, "Invalid token"), (method, path, name, kind)
                assert "X-RateLimit-Limit" not in answer[2]
    assert await world.everything() == before
    assert phone.told == []


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize(("method", "path"), OPEN_TO_INSTANCES + FOR_ACCOUNTS)
async def test_what_is_not_the_accounts_is_as_if_it_did_not_exist(
    world: World, phone: Phone, method: str, path: str, place: str
) -> None:
    before = await world.everything()
    answers = [await world.ask(method, path.format(name), world.account, place) for name in NOT_THE_CALLERS]
    assert {told(answer) for answer in answers} == {(404, "Instance not found")}
    assert [answer for answer in answers if answer != answers[0]] == [], answers[0]
    assert await world.everything() == before
    assert phone.told == []


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize(("method", "path"), OPEN_TO_INSTANCES)
async def test_an_instances_token_tells_nothing_of_any_other(
    world: World, phone: Phone, method: str, path: str, place: str
) -> None:
    before = await world.everything()
    names = ["support", *NOT_THE_CALLERS]
    answers = [await world.ask(method, path.format(name), world.instance, place) for name in names]
    assert {told(answer) for answer in answers} == {(403, "Instance token does not match the requested instance")}
    assert [answer for answer in answers if answer != answers[0]] == [], answers[0]
    assert await world.everything() == before
    assert phone.told == []


@pytest.mark.parametrize("place", PLACES)
async def test_an_instances_token_opens_no_route_of_an_account(world: World, place: str) -> None:
    before = await world.everything()
    answers = [
        await world.ask(method, path.format(name), world.instance, place)
        for method, path in [*FOR_ACCOUNTS, ("POST", "/api/instance/new")]
        for name in ("sales", "support", *NOT_THE_CALLERS)
    ]
    assert {told(answer) for answer in answers} == {(401, "Invalid account token")}
    assert await world.everything() == before


@pytest.mark.parametrize("place", PLACES)
async def test_a_list_holds_what_is_the_callers_whatever_it_is_asked_for(world: World, place: str) -> None:
    async def listed(token: str, query: str) -> set[str]:
        path = URL(f"/api/instance/list{query}")
        if place == "query":
            path = path.update_query(token=token)
        headers = {"header": {"token": token}, "bearer": {"Authorization": f"Bearer {token}"}}.get(place, {})
        status, body, _ = await ask(world.public, "GET", path, headers)
        return {one["id"] for one in body["instances"]} if status == 200 else {body["error"]["message"]}

    everything = await listed(world.account, "")
    assert (len(everything), world.their_id in everything) == (3, False)
    assert await listed(world.account, "?instanceName=sales") == {world.own_id}
    assert await listed(world.account, "?instanceName=sales,theirs") == {world.own_id}
    assert await listed(world.account, "?instanceName=theirs") == {"Instance not found"}
    assert await listed(world.account, "?instanceName=nowhere") == {"Instance not found"}
    for query in ("", "?instanceName=support", "?instanceName=theirs", "?instanceName=nowhere"):
        assert await listed(world.instance, query) == {world.own_id}


def operators_routes(client: Client) -> Iterator[tuple[str, str]]:
    assert client.app is not None
    for route in client.app.router.routes():
        if route.resource and not route.resource.canonical.startswith(("/admin/docs", "/admin/openapi")):
            yield route.method, route.resource.canonical


@pytest.mark.parametrize("kind", ["header", "bearer"])
async def test_on_the_operators_port_what_is_anothers_is_as_if_it_did_not_exist(world: World, kind: str) -> None:
    headers = {"token": world.account} if kind == "header" else {"Authorization": f"Bearer {world.account}"}
    theirs = {"account": world.their_account, "token": world.their_token_id, "instance": world.their_id, "chat": "c"}
    nobodys = {"account": "a000000000000", "token": "t000000000000", "instance": "i000000000000", "chat": "c"}
    named = {"account": "their", "token": world.their_token_id, "instance": "theirs", "chat": "c"}
    malformed = dict.fromkeys(("account", "token", "instance", "chat"), "%2e%2e")
    before, seen = await world.everything(), 0
    for method, path in operators_routes(world.admin):
        for asked in [path] if "{" in path else [f"{path}?account={{account}}"] if method == "GET" else []:
            answers = [
                await ask(world.admin, method, URL(asked.format(**names), encoded=True), headers)
                for names in (theirs, nobodys, named, malformed)
            ]
            if path in {
                "/admin/session",
                "/admin/accounts",
                "/admin/audit",
                "/admin/upstreams",
            }:  # asked for no account
                assert world.their_account not in json.dumps(answers[0][1])
            else:
                assert told(answers[0])[0] in {403, 404}
            assert [answer for answer in answers if answer != answers[0]] == [], (method, asked, answers[0])
            seen += 1
    assert seen >= 17
    assert await world.everything() == before


async def test_on_the_operators_port_no_other_token_opens_anything(world: World) -> None:
    ids = {"account": world.own_account, "token": world.their_token_id, "instance": world.own_id, "chat": "c"}
    before = await world.everything()
    dead = {kind: token for kind, token in world.dead.items() if token != KEY} | {"an instance's": world.instance}
    for method, path in operators_routes(world.admin):
        for kind, token in dead.items():
            answer = await ask(world.admin, method, path.format(**ids), {"token": token})
            assert told(answer) == (401, "Invalid operator key or account token"), (method, path, kind)
    assert await world.everything() == before
