"""The operator's API under `/admin/`, in process: for the operator, and for an account what is that account's."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from typing import Any

import msgspec
import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient
from cryptography.fernet import Fernet
from redis.asyncio import Redis as AsyncRedis
from world import Phone

from gateway.api.admin.app import create_admin
from gateway.api.app import create_app
from gateway.presence.errors import StoreUnavailable
from gateway.presence.model import Chat, State, Target
from gateway.settings import Admin, Http, Limits, Redis, Secrets, Settings
from gateway.store import keys
from gateway.store.redis import command
from gateway.wiring import Services, open_services

Client = TestClient[web.Request, web.Application]
KEY = "an-operators-key"
KEYS = [Fernet.generate_key().decode() for _ in range(2)]


def settings(redis_url: str, **more: str) -> Settings:
    return Settings(
        redis=Redis(url=redis_url),
        secrets=Secrets(**({"pepper": "p", "encryption_keys": KEYS[0], "admin_key": KEY} | more)),
    )


def mounted(services: Services, **options: int) -> web.Application:
    app = web.Application()
    app.add_subapp("/admin/", create_admin(services, **options))
    return app


@dataclass
class Office:
    """The operator's port, and the public one beside it."""

    services: Services
    admin: Client
    public: Client

    async def ask(self, method: str, path: str, body: Any = None, *, key: str = KEY) -> tuple[int, Any]:
        answer = await self.admin.request(
            method, "/admin/" + path, json=body, headers={"Authorization": f"Bearer {key}"} if key else {}
        )
        told = await answer.json()
        assert next(iter(told)) == "success"
        return answer.status, told

    async def done(self, method: str, path: str, body: Any = None, *, key: str = KEY) -> Any:
        status, told = await self.ask(method, path, body, key=key)
        assert status in {200, 201}, told
        return told

    async def is_valid(self, token: str) -> bool:
        return (await self.public.get("/api/instance/list", headers={"token": token})).status == 200


@pytest.fixture
async def office(
    redis: AsyncRedis, redis_url: str, aiohttp_client: Callable[..., Awaitable[Client]]
) -> AsyncIterator[Office]:
    async with open_services(settings(redis_url)) as services:
        yield Office(services, await aiohttp_client(mounted(services)), await aiohttp_client(create_app(services)))


def message(told: Any) -> str:
    assert told == {"success": False, "error": {"message": told["error"]["message"]}}
    return str(told["error"]["message"])


async def test_an_account_is_made_limited_suspended_resumed_and_deleted(office: Office) -> None:
    made = await office.done("POST", "accounts", {"name": "acme", "per_minute": 7, "instances_quota": 1})
    account, token = made["account"], made["token"]
    assert {name: account[name] for name in ("name", "status", "per_minute", "creation_per_minute", "tokens")} == {
        "name": "acme",
        "status": "active",
        "per_minute": 7,
        "creation_per_minute": None,
        "tokens": 1,
    }
    path = f"accounts/{account['id']}"
    changed = await office.done("PATCH", path, {"per_minute": None, "creation_per_minute": 3})
    assert (changed["account"]["per_minute"], changed["account"]["creation_per_minute"]) == (None, 3)
    assert changed["account"]["instances_quota"] == 1
    assert (await office.done("POST", path + "/suspend"))["account"]["status"] == "suspended"
    assert not await office.is_valid(token)
    assert (await office.done("POST", path + "/resume"))["account"]["status"] == "active"
    assert await office.is_valid(token)
    status, told = await office.ask("DELETE", path, {"confirm": "amce"})
    assert (status, message(told)) == (400, "Confirm the deletion with the name")
    await office.done("DELETE", path, {"confirm": "acme"})
    assert not await office.is_valid(token)
    assert (await office.done("GET", "accounts"))["accounts"] == []
    assert (await office.ask("PATCH", path, {}))[0] == 404
    actions = [entry["action"] for entry in (await office.done("GET", "audit"))["entries"]]
    assert actions == ["account.delete", "account.resume", "account.suspend", "account.limits", "account.create"]


async def test_an_account_is_named_by_its_name_or_its_id(office: Office) -> None:
    made = await office.done("POST", "accounts", {"name": "acme"})
    other = await office.done("POST", "accounts", {"name": "other"})
    account_id = made["account"]["id"]
    for key in (KEY, made["token"]):
        for path in ("accounts/{}/tokens", "accounts/{}/instances", "usage?account={}", "indicators?account={}"):
            named, by_id = [await office.done("GET", path.format(given), key=key) for given in ("acme", account_id)]
            assert named.keys() == by_id.keys()
        (token,) = (await office.done("GET", "accounts/acme/tokens", key=key))["tokens"]
        assert token["kind"] == "account"
    assert (await office.done("PATCH", "accounts/acme", {"per_minute": 7}))["account"]["id"] == account_id
    assert (await office.done("POST", "accounts/acme/suspend"))["account"]["status"] == "suspended"
    assert (await office.done("POST", "accounts/acme/resume"))["account"]["status"] == "active"
    issued = await office.done("POST", "accounts/acme/tokens", {"name": "crm"}, key=made["token"])
    assert await office.is_valid(issued["secret"])
    created = await office.done("POST", "accounts/acme/instances", {"name": "sales"})
    assert created["instance"]["name"] == "sales"
    for nobody in (other["account"]["name"], other["account"]["id"], "none", "a000000000000", "%20", "a%2Fb"):
        refused = await office.ask("GET", f"accounts/{nobody}/tokens", key=made["token"])
        assert (refused[0], message(refused[1])) == (404, "Account not found")
    for nobody in ("none", "a000000000000", "%20", "a%2Fb", "x" * 101):
        assert (await office.ask("GET", f"accounts/{nobody}/tokens"))[0] == 404
    await office.done("DELETE", "accounts/acme", {"confirm": "acme"})
    assert (await office.ask("GET", "accounts/acme/tokens"))[0] == 404


async def test_tokens_are_issued_listed_rotated_with_grace_and_revoked(office: Office) -> None:
    made = await office.done("POST", "accounts", {"name": "acme"})
    path = f"accounts/{made['account']['id']}/tokens"
    issued = await office.done("POST", path, {"name": "crm"})
    secret, token = issued["secret"], issued["token"]
    assert (token["name"], token["kind"], token["prefix"], token["last_used"]) == ("crm", "account", secret[:8], None)
    assert await office.is_valid(secret)
    listed = {one["id"]: one for one in (await office.done("GET", path))["tokens"]}
    assert listed[token["id"]]["last_used"] is not None
    rotated = await office.done("POST", f"tokens/{token['id']}/rotate", {"grace": 60})
    assert [await office.is_valid(one) for one in (secret, rotated["secret"])] == [True, True]
    listed = {one["id"]: one for one in (await office.done("GET", path))["tokens"]}
    assert listed[token["id"]]["expires"] is not None
    assert (await office.ask("POST", f"tokens/{token['id']}/rotate"))[0] == 404
    await office.done("DELETE", f"tokens/{token['id']}")
    await office.done("DELETE", f"tokens/{rotated['token']['id']}")
    assert [await office.is_valid(one) for one in (secret, rotated["secret"])] == [False, False]
    assert (await office.ask("DELETE", f"tokens/{token['id']}"))[0] == 404


async def test_instances_of_any_account_and_an_operators_upstream_is_trusted(office: Office, phone: Phone) -> None:
    made = await office.done("POST", "accounts", {"name": "acme"})
    path = f"accounts/{made['account']['id']}/instances"
    body = {"name": "sales", "upstream": {"kind": "sandbox", "url": phone.url, "credential": "secret"}}
    created = await office.done("POST", path, body)
    assert created["instance"]["token"] == created["secret"]
    answer = await office.public.post(
        "/api/chat/presence/sales",
        json={"number": "5511999999999", "state": "typing"},
        headers={"token": created["secret"]},
    )
    assert answer.status == 200
    (listed,) = (await office.done("GET", path))["instances"]
    assert listed["connection"] == {"state": "connected"}
    assert listed["upstream"] == {"kind": "sandbox", "url": phone.url, "session": "sales"}
    (seen_by_tenant,) = (await office.done("GET", path, key=made["token"]))["instances"]
    assert seen_by_tenant["upstream"]["url"] is None
    rotated = await office.done("POST", f"instances/{listed['id']}/token", {})
    assert [await office.is_valid(one) for one in (created["secret"], rotated["secret"])] == [False, True]
    assert (await office.ask("DELETE", f"instances/{listed['id']}", {}))[0] == 400
    await office.done("DELETE", f"instances/{listed['id']}", {"confirm": "sales"})
    assert (await office.ask("DELETE", f"instances/{listed['id']}", {"confirm": "sales"}))[0] == 404


async def test_an_account_sees_and_changes_what_is_its_own_and_nothing_else(office: Office) -> None:
    mine = await office.done("POST", "accounts", {"name": "mine"})
    other = await office.done("POST", "accounts", {"name": "other"})
    theirs = await office.done("POST", f"accounts/{other['account']['id']}/tokens", {"name": "t"})
    instance = await office.done("POST", f"accounts/{other['account']['id']}/instances", {"name": "i"})
    key = mine["token"]
    session = await office.done("GET", "session", key=key)
    assert (session["kind"], session["account"]) == ("account", {"id": mine["account"]["id"], "name": "mine"})
    assert [one["name"] for one in (await office.done("GET", "accounts", key=key))["accounts"]] == ["mine"]
    issued = await office.done("POST", f"accounts/{mine['account']['id']}/tokens", {"name": "own"}, key=key)
    assert issued["token"]["name"] == "own"
    for method, path in [
        ("GET", f"accounts/{other['account']['id']}/tokens"),
        ("POST", f"accounts/{other['account']['id']}/tokens"),
        ("GET", f"accounts/{other['account']['id']}/instances"),
        ("GET", f"usage?account={other['account']['id']}"),
        ("GET", f"indicators?account={other['account']['id']}"),
    ]:
        nowhere = path.replace(other["account"]["id"], "a000000000000")
        assert await office.ask(method, path, key=key) == await office.ask(method, nowhere, key=key)
        assert (await office.ask(method, path, key=key))[0] == 404
    for path, nowhere in [
        (f"tokens/{theirs['token']['id']}", "tokens/t000000000000"),
        (f"instances/{instance['instance']['id']}", "instances/i000000000000"),
    ]:
        foreign = await office.ask("DELETE", path, {"confirm": "i"}, key=key)
        assert foreign == await office.ask("DELETE", nowhere, {"confirm": "i"}, key=key)
        assert foreign[0] == 404
    for method, path in [
        ("POST", "accounts"),
        ("PATCH", f"accounts/{mine['account']['id']}"),
        ("DELETE", f"accounts/{mine['account']['id']}"),
        ("POST", f"accounts/{mine['account']['id']}/suspend"),
        ("POST", f"accounts/{mine['account']['id']}/resume"),
        ("PATCH", f"instances/{instance['instance']['id']}"),
        ("POST", "keys/rotate"),
    ]:
        status, told = await office.ask(method, path, {}, key=key)
        assert (status, message(told)) == (403, "Only the operator may do this")
    entries = (await office.done("GET", "audit", key=key))["entries"]
    assert {entry["actor"] for entry in entries} == {"operator", mine["account"]["id"]}
    assert len(entries) == 2


async def test_an_accounts_own_upstream_here_is_held_to_the_rules_too(office: Office) -> None:
    mine = await office.done("POST", "accounts", {"name": "mine"})
    body = {"name": "x", "upstream": {"kind": "waha", "url": "http://127.0.0.1:1"}}
    status, told = await office.ask("POST", f"accounts/{mine['account']['id']}/instances", body, key=mine["token"])
    assert (status, message(told)) == (400, "Upstream URL is not allowed")


async def test_no_route_opens_without_the_key_or_a_valid_account_token(office: Office) -> None:
    made = await office.done("POST", "accounts", {"name": "acme"})
    instance = await office.done("POST", f"accounts/{made['account']['id']}/instances", {"name": "i"})
    revoked = await office.done("POST", f"accounts/{made['account']['id']}/tokens", {})
    await office.done("DELETE", f"tokens/{revoked['token']['id']}")
    assert office.admin.app
    routes = [
        (route.method, route.resource.canonical)
        for route in office.admin.app.router.routes()
        if route.resource and not route.resource.canonical.startswith(("/admin/docs", "/admin/openapi"))
    ]
    assert len(routes) == 27
    other = "1" if made["token"].endswith("0") else "0"
    for method, path in routes:
        filled = path.format(account=made["account"]["id"], token="t", instance=instance["instance"]["id"], chat="c")
        for key in ("", "wrong", instance["secret"], revoked["secret"], made["token"][:-1] + other):
            answer = await office.admin.request(method, filled, headers={"token": key} if key else {})
            assert answer.status in {401, 429}, (method, path, key)
        in_url = await office.admin.request(method, f"{filled}?token={KEY}")
        assert in_url.status == 401


async def test_without_a_configured_key_nobody_is_the_operator(
    redis: AsyncRedis, redis_url: str, aiohttp_client: Callable[..., Awaitable[Client]]
) -> None:
    async with open_services(settings(redis_url, admin_key="")) as services:
        account = await services.directory.create_account("acme")
        client = await aiohttp_client(mounted(services))
        for key in ("", "x", account.token):
            answer = await client.get("/admin/session", headers={"token": key} if key else {})
            assert answer.status == 403


async def test_an_address_that_guesses_is_refused_and_locks_nobody_out(
    redis: AsyncRedis, redis_url: str, aiohttp_client: Callable[..., Awaitable[Client]]
) -> None:
    async with open_services(settings(redis_url)) as services:
        account = await services.directory.create_account("acme")
        client = await aiohttp_client(mounted(services, guesses_per_minute=3))

        async def session(key: str) -> int:
            return (await client.get("/admin/session", headers={"token": key})).status

        assert [await session(f"k{n}") for n in range(4)] == [401, 401, 401, 429]
        assert [await session(key) for key in (KEY, account.token, "k5", KEY)] == [200, 200, 429, 200]


async def test_no_header_chooses_the_address_under_which_wrong_keys_are_counted(
    redis: AsyncRedis, redis_url: str, aiohttp_client: Callable[..., Awaitable[Client]]
) -> None:
    """The public port stands behind a proxy here, the operator's does not."""
    behind_a_proxy = msgspec.structs.replace(settings(redis_url), http=Http(trusted_proxies=1))
    async with open_services(behind_a_proxy) as services:
        client = await aiohttp_client(mounted(services, guesses_per_minute=3))
        answers = [
            (await client.get("/admin/session", headers={"token": f"k{n}", "X-Forwarded-For": f"6.6.6.{n}"})).status
            for n in range(5)
        ]
    assert answers == [401, 401, 401, 429, 429]


async def test_behind_a_proxy_of_its_own_each_address_behind_it_is_counted(
    redis: AsyncRedis, redis_url: str, aiohttp_client: Callable[..., Awaitable[Client]]
) -> None:
    behind_a_proxy = msgspec.structs.replace(settings(redis_url), admin=Admin(trusted_proxies=1))
    async with open_services(behind_a_proxy) as services:
        client = await aiohttp_client(mounted(services, guesses_per_minute=1))
        answers = [
            (await client.get("/admin/session", headers={"token": "wrong", "X-Forwarded-For": address})).status
            for address in ("6.6.6.1", "6.6.6.2", "6.6.6.1")
        ]
    assert answers == [401, 401, 429]


@pytest.mark.parametrize("header", [b"token: ", b"Authorization: Bearer "])
@pytest.mark.parametrize("key", [b"\xff\xfe", b"schl\xfcssel", "cl\u00e9".encode(), b"\xed\xa0\x80", b"a\tb"])
async def test_a_key_of_any_bytes_is_a_wrong_key(office: Office, header: bytes, key: bytes) -> None:
    reader, writer = await asyncio.open_connection(office.admin.host, office.admin.port)
    writer.write(b"GET /admin/session HTTP/1.1\r\nHost: x\r\nConnection: close\r\n" + header + key + b"\r\n\r\n")
    answer = await reader.read()
    writer.close()
    assert answer.startswith(b"HTTP/1.1 401 ")
    assert (b"Missing operator key" in answer) == (header + key == b"Authorization: Bearer a\tb")


async def test_without_redis_only_the_operator_gets_in(office: Office, monkeypatch: pytest.MonkeyPatch) -> None:
    async def away(*args: Any) -> Any:
        raise StoreUnavailable

    monkeypatch.setattr("gateway.tenants.failed_keys.FailedKeyLimiter.count", away)
    assert (await office.ask("GET", "session", key="wrong"))[0] == 503
    assert (await office.ask("GET", "session"))[0] == 200


async def test_what_shows_and_is_owed_is_told_with_names(office: Office, phone: Phone) -> None:
    made = await office.done("POST", "accounts", {"name": "acme"})
    other = await office.done("POST", "accounts", {"name": "other"})
    body = {"name": "sales", "upstream": {"kind": "sandbox", "url": phone.url}}
    created = await office.done("POST", f"accounts/{made['account']['id']}/instances", body)
    instance = await office.services.directory.instance_by_id(created["instance"]["id"])
    await office.services.presence.show(instance, Chat("5511999999999@s.whatsapp.net"), State.TYPING, 30)
    for key, query, count in [
        (KEY, "", 1),
        (KEY, f"?account={made['account']['id']}", 1),
        (KEY, f"?account={other['account']['id']}", 0),
        (made["token"], "", 1),
        (other["token"], "", 0),
    ]:
        told = await office.done("GET", "indicators" + query, key=key)
        assert (len(told["indicators"]), told["owed"], told["oldest_overdue_s"]) == (count, count, 0)
    (shown,) = (await office.done("GET", "indicators"))["indicators"]
    assert (shown["instance"], shown["account"], shown["state"]) == ("sales", made["account"]["id"], "typing")
    assert (shown["overdue_s"], shown["ends"] > shown["since"]) == (0, True)


async def test_what_ended_is_told_with_its_reason_to_its_own_account(office: Office, phone: Phone) -> None:
    made = await office.done("POST", "accounts", {"name": "acme"})
    other = await office.done("POST", "accounts", {"name": "other"})
    body = {"name": "sales", "upstream": {"kind": "sandbox", "url": phone.url}}
    created = await office.done("POST", f"accounts/{made['account']['id']}/instances", body)
    instance = await office.services.directory.instance_by_id(created["instance"]["id"])
    chat = Chat("5511999999999@s.whatsapp.net")
    for state in (State.TYPING, State.RECORDING, State.PAUSED):
        await office.services.presence.show(instance, chat, state, 30)
    for key, query, count in [
        (KEY, "", 2),
        (KEY, f"?account={other['account']['id']}", 0),
        (made["token"], "", 2),
        (other["token"], "", 0),
    ]:
        assert len((await office.done("GET", "indicators" + query, key=key))["ended"]) == count
    last, first = (await office.done("GET", "indicators"))["ended"]
    assert (last["state"], last["by"], first["state"], first["by"]) == ("recording", "pause", "typing", "replaced")
    assert (last["instance"], last["account"], last["number"]) == ("sales", made["account"]["id"], "+55 ••• 9999")
    assert chat.user not in str(await office.done("GET", "indicators"))
    assert first["since"] <= last["since"] <= last["ended"]
    assert first["ended"] <= last["ended"]


async def test_usage_tells_each_tokens_minute_without_spending_any(office: Office) -> None:
    made = await office.done("POST", "accounts", {"name": "acme", "per_minute": 9})
    for _ in range(3):
        await office.is_valid(made["token"])
    for _ in range(2):
        (used,) = (await office.done("GET", "usage", key=made["token"]))["tokens"]
        assert (used["limit"], used["used"]) == (9, 3)


async def test_an_accounts_changes_here_count_against_its_limit(office: Office) -> None:
    made = await office.done("POST", "accounts", {"name": "acme", "per_minute": 2})
    path = f"accounts/{made['account']['id']}/tokens"
    answers = [(await office.ask("POST", path, {}, key=made["token"]))[0] for _ in range(3)]
    assert answers == [201, 201, 429]


async def test_an_account_makes_no_more_instances_here_than_at_the_public_door(office: Office) -> None:
    made = await office.done("POST", "accounts", {"name": "acme", "creation_per_minute": 2})
    path = f"accounts/{made['account']['id']}/instances"
    answers = [(await office.ask("POST", path, {"name": f"n{n}"}, key=made["token"]))[0] for n in range(3)]
    assert answers == [201, 201, 429]
    public = await office.public.post("/api/instance/new", json={"name": "n4"}, headers={"token": made["token"]})
    assert public.status == 429
    assert (await office.ask("POST", path, {"name": "n4"}))[0] == 201


async def test_a_tenant_reads_no_address_of_the_operators_in_the_audit_log(office: Office) -> None:
    made = await office.done("POST", "accounts", {"name": "acme"})
    upstream = {"kind": "waha", "url": "http://inside.example:3000"}
    await office.done("PATCH", f"accounts/{made['account']['id']}", {"upstream": upstream})
    created = await office.done("POST", f"accounts/{made['account']['id']}/instances", {"name": "sales"})
    moved = Target("waha", "http://inside.example:4000", "s")
    await office.services.moves.move_instance(created["instance"]["id"], moved, by="operator")
    for key, details in [
        (KEY, ["waha http://inside.example:4000", "waha http://inside.example:3000"]),
        (made["token"], ["waha", "waha"]),
    ]:
        told = (await office.done("GET", "audit", key=key))["entries"]
        assert [one["detail"] for one in told if one["action"] in {"account.upstream", "instance.move"}] == details
        assert (key == KEY) is ("inside.example" in str(told))


async def test_an_accounts_looks_here_count_in_a_minute_of_their_own(
    redis: AsyncRedis, redis_url: str, aiohttp_client: Callable[..., Awaitable[Client]]
) -> None:
    async with open_services(
        msgspec.structs.replace(settings(redis_url), limits=Limits(reading_per_minute=3))
    ) as services:
        account = await services.directory.create_account("acme", per_minute=2)
        client = await aiohttp_client(mounted(services))
        for path in ("session", "accounts", "audit"):
            answer = await client.get(f"/admin/{path}", headers={"token": account.token})
            assert (answer.status, answer.headers["X-RateLimit-Limit"]) == (200, "3")
        assert (await client.get("/admin/usage", headers={"token": account.token})).status == 429
        path = f"/admin/accounts/{account.id}/tokens"
        assert (await client.post(path, headers={"token": account.token})).status == 201
        assert (await client.get("/admin/usage", headers={"token": KEY})).status == 200


async def test_an_account_issues_itself_no_more_tokens_than_it_may(office: Office) -> None:
    made = await office.done("POST", "accounts", {"name": "acme", "tokens_quota": 3})
    assert (made["account"]["tokens_quota"], made["account"]["account_per_minute"]) == (3, None)
    path = f"accounts/{made['account']['id']}/tokens"
    answers = [await office.ask("POST", path, {}, key=made["token"]) for _ in range(3)]
    assert [status for status, _ in answers] == [201, 201, 403]
    assert message(answers[-1][1]) == "Account token quota exceeded"


async def test_keys_are_rotated_while_everything_serves(
    redis: AsyncRedis, redis_url: str, aiohttp_client: Callable[..., Awaitable[Client]]
) -> None:
    async with open_services(settings(redis_url)) as before:
        target = Target("waha", "http://waha", "", "a-credential")
        account = await before.directory.create_account("acme", upstream=target)
        instance = await before.directory.create_instance(account.id, "own", upstream=target)
        await before.directory.create_instance(account.id, "shared")
    async with open_services(settings(redis_url, encryption_keys=f"{KEYS[1]},{KEYS[0]}")) as services:
        client = await aiohttp_client(mounted(services))
        for resealed in (3, 0):  # the account's, the instance's own, and the copy of the account's in the other
            answer = await client.post("/admin/keys/rotate", headers={"token": KEY})
            assert await answer.json() == {"success": True, "resealed": resealed, "unreadable": []}
    async with open_services(settings(redis_url, encryption_keys=KEYS[1])) as after:
        for name in ("own", "shared"):
            found = await after.directory.find_instance(account.id, name)
            assert found.target.credential == "a-credential"
        sealed = await command(redis, "HGET", keys.instance(instance.id), "credential")
        assert b"a-credential" not in sealed


@pytest.mark.one_server("about what this process remembers")
async def test_a_changed_default_upstream_is_seen_with_the_next_request(office: Office, phone: Phone) -> None:
    made = await office.done("POST", "accounts", {"name": "acme"})
    path = f"accounts/{made['account']['id']}"
    created = await office.done("POST", path + "/instances", {"name": "sales"})

    async def status() -> int:
        body = {"number": "5511999999999", "state": "typing"}
        headers = {"token": created["secret"]}
        return (await office.public.post("/api/chat/presence/sales", json=body, headers=headers)).status

    assert await status() == 502
    await office.done("PATCH", path, {"upstream": {"kind": "sandbox", "url": phone.url}})
    assert await status() == 200
    await office.done("PATCH", path, {"upstream": None})
    assert await status() == 502


@pytest.mark.parametrize(
    "body",
    [
        {"per_minute": 0},
        {"per_minute": -1},
        {"instances_quota": -1},
        {"creation_per_minute": 10**9},
        {"per_minute": "5"},
        {"upstream": {"kind": "nothing", "url": "http://x"}},
        {"upstream": {"kind": "waha"}},
        {"upstream": {"kind": "waha", "url": "ftp://x"}},
        {"upstream": {"kind": "waha", "url": "http://user:secret@x"}},
        {"upstream": {"kind": "waha", "url": "http://x?key=secret"}},
        {"upstream": {"kind": "waha", "url": "http://x#secret"}},
        [],
    ],
)
async def test_a_change_that_cannot_be_is_refused_whole(office: Office, body: Any) -> None:
    made = await office.done("POST", "accounts", {"name": "acme"})
    assert (await office.ask("PATCH", f"accounts/{made['account']['id']}", body))[0] == 400


@pytest.mark.parametrize("count", ["0", "1001", "x", "-1", "٣"])
async def test_a_count_out_of_bounds_is_refused(office: Office, count: str) -> None:
    assert (await office.ask("GET", f"audit?count={count}"))[0] == 400
