"""Every route against every way of not being entitled to it: only the documented refusal, and never a hint."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from redis.asyncio import Redis
from world import Tenant

from gateway.api.app import create_app
from gateway.store import keys
from gateway.tenants import tokens
from gateway.wiring import Services, open_services

Client = TestClient[web.Request, web.Application]

OPEN = ("/health", "/openapi.json", "/docs")
ACCOUNT_ONLY = {"/api/instance/new", "/api/instance/delete/{instance}", "/api/instance/token/{instance}"}

MISSING = (401, "Missing token in header, Authorization header, or query parameter")
INVALID = (401, "Invalid token")
ACCOUNT_NEEDED = (401, "Invalid account token")
MISMATCH = (403, "Instance token does not match the requested instance")
NOT_FOUND = (404, "Instance not found")

BODIES = st.one_of(
    st.none(),
    st.binary(max_size=40),
    st.just(b'{"number": "5511999999999", "state": "typing"}'),
    st.just(b'{"name": "new"}'),
)


def _passes(route: web.AbstractRoute) -> bool:
    """Whether this is one of the methods that pass through, of which one stands for all."""
    return route.resource is not None and route.resource.canonical == "/api/{path}/{instance}"


@dataclass
class World:
    """A client, its routes, and tokens that no longer open anything."""

    client: Client
    dead: dict[str, str]
    foreign: str
    foreign_instance: str

    @property
    def routes(self) -> list[tuple[str, str]]:
        assert self.client.app
        return [
            (route.method, route.resource.canonical)
            for route in self.client.app.router.routes()
            if route.resource
            and not route.resource.canonical.startswith(OPEN)
            and (route.method == "POST" or not _passes(route))
        ]

    async def ask(
        self, method: str, path: str, name: str, token: str | None, body: bytes | None = None
    ) -> tuple[tuple[int, str], bytes, dict[str, str]]:
        answer = await self.client.request(
            method,
            path.replace("{path}", "any/words").replace("{instance}", name),
            data=body,
            headers={"token": token} if token else {},
        )
        told = await answer.json()
        varying = {"date", "x-request-id", "x-ratelimit-remaining", "x-ratelimit-reset"}
        headers = {name: value for name, value in answer.headers.items() if name.lower() not in varying}
        return (answer.status, told["error"]["message"]), await answer.read(), headers


@pytest.fixture
async def world(services: Services, tenant: Tenant, aiohttp_client: Callable[..., Awaitable[Client]]) -> World:
    directory, account_id = services.directory, tenant.instance.account_id
    revoked = await directory.issue_token(account_id)
    await directory.revoke_token(revoked.id)
    rotated = await directory.issue_token(account_id)
    await services.tenancy.rotate_token(await directory.token(rotated.id))
    gone = await directory.create_instance(account_id, "gone")
    await services.removal.delete_instance(await directory.instance_by_id(gone.id))
    suspended = await directory.create_account("suspended")
    of_suspended = await directory.create_instance(suspended.id, "demo")
    await services.tenancy.set_status(suspended.id, "suspended")
    deleted = await directory.create_account("deleted")
    await services.removal.delete_account(await directory.account(deleted.id))
    foreign = await directory.create_account("foreign")
    foreign_instance = await directory.create_instance(foreign.id, "theirs")
    return World(
        await aiohttp_client(create_app(services)),
        {
            "malformed": "pga_1",
            "typo": tenant.account_token[:-1] + ("0" if tenant.account_token[-1] != "0" else "1"),
            "unknown": tokens.make("account"),
            "unknown custom": "a-token-nobody-ever-made",
            "revoked": revoked.token,
            "rotated": rotated.token,
            "of a deleted instance": gone.token,
            "of a suspended account": suspended.token,
            "of a suspended account's instance": of_suspended.token,
            "of a deleted account": deleted.token,
        },
        foreign.token,
        foreign_instance.token,
    )


async def forget_requests(everywhere: Redis) -> None:
    """Begin a new minute: guesses are limited too, and hypothesis makes many."""
    await everywhere.delete(*(await everywhere.keys(keys.window("*", "*")) or ["none"]))


# No more malformed tokens than one address may guess in a minute.
@settings(max_examples=8, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(body=BODIES)
async def test_who_proves_nothing_gets_401_on_every_route_whatever_they_send(
    everywhere: Redis, world: World, body: bytes | None
) -> None:
    await forget_requests(everywhere)
    assert len(world.routes) == 9
    for method, path in world.routes:
        refused, _, headers = await world.ask(method, path, "demo", None, body)
        assert refused == MISSING
        assert not any(name.lower().startswith("x-ratelimit") for name in headers)
        for reason, token in world.dead.items():
            answer = await world.ask(method, path, "demo", token, body)
            assert answer[0] == INVALID, (method, path, reason)
            assert answer[1:] == (await world.ask(method, path, "nobody", token, body))[1:]


@settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(body=BODIES, name=st.sampled_from(["nobody", "a" * 100, "a" * 101, "%00", "..b", "ü", "a%2Fb"]))
async def test_a_foreign_instance_is_refused_like_one_that_never_was(
    everywhere: Redis, world: World, body: bytes | None, name: str
) -> None:
    await forget_requests(everywhere)
    for method, path in world.routes:
        if "{instance}" not in path:
            continue
        by_account = await world.ask(method, path, "demo", world.foreign, body)
        assert by_account == await world.ask(method, path, name, world.foreign, body)
        assert by_account[0] == NOT_FOUND
        by_instance = await world.ask(method, path, "demo", world.foreign_instance, body)
        assert by_instance == await world.ask(method, path, name, world.foreign_instance, body)
        assert by_instance[0] == (ACCOUNT_NEEDED if path in ACCOUNT_ONLY else MISMATCH)


async def test_a_wrong_kind_of_token_is_told_before_the_limit_is(world: World, tenant: Tenant) -> None:
    for _ in range(25):
        refused, _, headers = await world.ask("POST", "/api/instance/new", "", tenant.instance_token, b"{}")
        assert refused == ACCOUNT_NEEDED
        assert headers["X-RateLimit-Limit"] == "20"


async def test_a_revoked_token_is_refused_by_every_process_with_its_next_request(
    services: Services, tenant: Tenant, aiohttp_client: Callable[..., Awaitable[Client]]
) -> None:
    async with open_services(services.settings) as elsewhere:
        doors = [await aiohttp_client(create_app(one)) for one in (services, elsewhere)]
        issued = await services.directory.issue_token(tenant.instance.account_id)

        async def statuses() -> list[int]:
            return [(await door.get("/api/instance/list", headers={"token": issued.token})).status for door in doors]

        assert await statuses() == [200, 200]
        await services.directory.revoke_token(issued.id)
        assert await statuses() == [401, 401]


async def test_no_answer_is_a_redirect_or_lets_a_browser_guess_its_type(world: World) -> None:
    for method, path in world.routes:
        for shape in (path, path + "/"):
            answer: Any = await world.client.request(method, shape.replace("{instance}", "x"), allow_redirects=False)
            assert answer.status in {401, 404}
            assert answer.headers["X-Content-Type-Options"] == "nosniff"
