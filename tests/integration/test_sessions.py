"""Which session of an upstream an instance uses, and that no two accounts ever use one (contract section 5)."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient
from cryptography.fernet import Fernet
from integration.waking import wake_due
from redis.asyncio import Redis as AsyncRedis
from world import Phone

from gateway.api.admin.app import create_admin
from gateway.api.app import create_app
from gateway.presence.errors import Conflict, InvalidAccountName
from gateway.presence.model import Chat, State, Target
from gateway.settings import Redis, Secrets, Settings, Upstream
from gateway.store import keys
from gateway.store.redis import command
from gateway.tenants.backup import RedisBackup
from gateway.tenants.checker import RedisChecker
from gateway.tenants.reading import read_row
from gateway.tenants.removal import RedisRemoval
from gateway.upstreams.registry import ADAPTERS
from gateway.wiring import Services, open_services

Client = TestClient[web.Request, web.Application]
KEY = "an-operators-key"
SECRETS = Secrets(pepper="p", encryption_keys=Fernet.generate_key().decode(), admin_key=KEY)
CHAT = Chat("5511999999999@s.whatsapp.net")
TAKEN = {"success": False, "error": {"message": "Instance already exists"}}
SHARED = Target("waha", "http://waha:3000", "", "the-key")


def settings(redis_url: str, url: str, **more: Any) -> Settings:
    upstream = Upstream(kind="sandbox", url=url, credential="service-key", allowed="http://waha:3000", **more)
    return Settings(redis=Redis(url=redis_url), secrets=SECRETS, upstream=upstream)


@pytest.fixture
async def services(redis: AsyncRedis, redis_url: str, phone: Phone) -> AsyncIterator[Services]:
    async with open_services(settings(redis_url, phone.url)) as services:
        yield services


@dataclass
class Sockets:
    public: Client
    admin: Client

    async def create(self, token: str, body: Any) -> tuple[int, Any]:
        answer = await self.public.post("/api/instance/new", json=body, headers={"token": token})
        return answer.status, await answer.json()

    async def operate(self, method: str, path: str, body: Any) -> tuple[int, Any]:
        answer = await self.admin.request(method, "/admin/" + path, json=body, headers={"token": KEY})
        return answer.status, await answer.json()


@pytest.fixture
async def doors(services: Services, aiohttp_client: Callable[..., Awaitable[Client]]) -> Sockets:
    admin = web.Application()
    admin.add_subapp("/admin/", create_admin(services))
    return Sockets(await aiohttp_client(create_app(services)), await aiohttp_client(admin))


async def session_of(services: Services, account_id: str, name: str) -> str:
    return (await services.directory.find_instance(account_id, name)).target.session


async def test_on_the_services_upstream_a_session_is_named_by_account_and_instance(
    services: Services, doors: Sockets, phone: Phone
) -> None:
    for name in ("acme", "other"):
        account = await services.directory.create_account(name)
        status, body = await doors.create(account.token, {"name": "sales"})
        assert (status, body["instance"]["upstream"]["session"]) == (201, f"{name}.sales")
        await services.presence.show(await services.directory.find_instance(account.id, "sales"), CHAT, State.TYPING, 5)
    assert phone.states() == [State.TYPING] * 2
    assert await RedisChecker(services.redis, services.executor).problems() == []


async def test_no_two_names_of_accounts_and_instances_make_one_session(services: Services) -> None:
    """`a.b` with `c`, and `a` with `b.c`; and an account that is called like another's id."""
    first, second = await services.directory.create_account("a"), await services.directory.create_account("a.b")
    await services.directory.create_instance(first.id, "b.c")
    await services.directory.create_instance(second.id, "c")
    assert await session_of(services, first.id, "b.c") == "a.b.c"
    assert await session_of(services, second.id, "c") == f"{second.id}.c"
    with pytest.raises(InvalidAccountName):
        await services.directory.create_account(second.id)


async def test_the_operator_may_call_a_session_otherwise_and_a_tenant_may_not(
    services: Services, doors: Sockets
) -> None:
    account = await services.directory.create_account("acme")
    given = {"name": "sales", "upstream": {"session": "made-by-hand"}}
    assert (await doors.create(account.token, given))[0] == 400
    status, body = await doors.operate("POST", f"accounts/{account.id}/instances", given)
    assert (status, body["instance"]["upstream"]["session"]) == (201, "made-by-hand")
    other = await services.directory.create_account("other")
    assert await doors.operate("POST", f"accounts/{other.id}/instances", given) == (409, TAKEN)
    assert await services.directory.instances(other.id) == []


async def test_the_operator_may_have_all_called_like_the_instance_and_they_stay_so(
    redis: AsyncRedis, redis_url: str, phone: Phone
) -> None:
    async with open_services(settings(redis_url, phone.url, sessions="instance")) as services:
        account, other = [await services.directory.create_account(name) for name in ("acme", "other")]
        await services.directory.create_instance(account.id, "sales")
        with pytest.raises(Conflict, match="Instance already exists"):
            await services.directory.create_instance(other.id, "sales")
    async with open_services(settings(redis_url, phone.url)) as services:
        assert await services.moves.settle() == 0
        assert await session_of(services, account.id, "sales") == "sales"


async def test_a_session_that_another_account_uses_is_refused_and_nothing_more_is_told(
    services: Services, doors: Sockets
) -> None:
    account, other = [await services.directory.create_account(name) for name in ("acme", "other")]
    upstream = {"kind": "waha", "url": "http://waha:3000", "session": "s", "credential": "k"}
    body = {"name": "x", "upstream": upstream}
    assert (await doors.create(account.token, body))[0] == 201
    assert await doors.create(other.token, body) == (409, TAKEN)
    assert await doors.create(account.token, body) == (409, TAKEN)  # its own name, in the same words
    spelled = body | {"upstream": upstream | {"url": "HTTP://WAHA.:3000/"}}
    assert await doors.create(other.token, spelled) == (409, TAKEN)
    for name, change in (("y", {"session": "t"}), ("z", {"credential": "l"})):
        assert (await doors.create(other.token, {"name": name, "upstream": upstream | change}))[0] == 201
    assert (await doors.create(account.token, body | {"name": "second"}))[0] == 201  # one account may


async def test_of_many_accounts_that_ask_at_once_one_gets_the_session(services: Services) -> None:
    accounts = [await services.directory.create_account(f"a{number}") for number in range(8)]
    upstream = Target("waha", "http://waha:3000", "s", "k")
    answers = await asyncio.gather(
        *(services.directory.create_instance(one.id, "x", upstream=upstream) for one in accounts),
        return_exceptions=True,
    )
    assert sum(isinstance(answer, Conflict) for answer in answers) == 7
    assert await RedisChecker(services.redis, services.executor).problems() == []


@pytest.mark.parametrize("kind", sorted(ADAPTERS))
async def test_where_the_credential_is_the_session_its_name_makes_no_other(services: Services, kind: str) -> None:
    account, other = [await services.directory.create_account(name) for name in ("acme", "other")]
    await services.directory.create_instance(account.id, "x", upstream=Target(kind, "http://there", "s", "k"))
    another_name = Target(kind, "http://there", "t", "k")
    if kind in {"wuzapi", "evolution_go", "uazapi", "quepasa"}:
        with pytest.raises(Conflict):
            await services.directory.create_instance(other.id, "x", upstream=another_name)
    else:
        await services.directory.create_instance(other.id, "x", upstream=another_name)
    await services.directory.create_instance(other.id, "y", upstream=Target(kind, "http://there", "s", "l"))


async def test_moving_an_instance_or_an_account_is_held_to_it_too(services: Services, doors: Sockets) -> None:
    account, other = [await services.directory.create_account(name) for name in ("acme", "other")]
    for one in (account, other):
        await services.directory.create_instance(one.id, "x")
    upstream = {"kind": "waha", "url": "http://waha:3000", "credential": "k"}
    assert (await doors.operate("PATCH", f"accounts/{account.id}", {"upstream": upstream}))[0] == 200
    assert await session_of(services, account.id, "x") == "x"
    assert await doors.operate("PATCH", f"accounts/{other.id}", {"upstream": upstream}) == (409, TAKEN)
    theirs = await services.directory.find_instance(other.id, "x")
    assert await doors.operate("PATCH", f"instances/{theirs.id}", {"upstream": upstream}) == (409, TAKEN)
    assert await session_of(services, other.id, "x") == "other.x"
    assert (await services.directory.account(other.id)).upstream is None
    moved = await doors.operate("PATCH", f"instances/{theirs.id}", {"upstream": upstream | {"session": "y"}})
    assert (moved[0], moved[1]["instance"]["upstream"]["session"]) == (200, "y")
    assert await RedisChecker(services.redis, services.executor).problems() == []


async def test_a_session_is_free_when_its_last_pause_was_delivered(services: Services) -> None:
    account, other = [await services.directory.create_account(name) for name in ("acme", "other")]
    phone = Target("sandbox", services.settings.upstream.url, "s", "k")
    await services.directory.create_instance(account.id, "x", upstream=phone)
    instance = await services.directory.find_instance(account.id, "x")
    await services.presence.show(instance, CHAT, State.TYPING, 60)
    await services.presence.drain()
    removal = RedisRemoval(services.redis, services.executor, echo_s=10, hold_s=0)
    await removal.delete_instance(instance)
    await removal.clean_up()
    with pytest.raises(Conflict):
        await services.directory.create_instance(other.id, "x", upstream=phone)
    assert [woken.did for woken in await wake_due(services)] == ["paused"]
    assert await removal.clean_up() == 0
    await services.directory.create_instance(other.id, "x", upstream=phone)
    assert await RedisChecker(services.redis, services.executor).problems() == []


async def of_0_1_0(services: Services, account_id: str, name: str) -> None:
    """Write an instance as 0.1.0 did: without a word of whose upstream it follows, or which session it uses."""
    created = await services.directory.create_instance(account_id, name)
    row = await read_row(services.redis, keys.instance(created.id))
    new = row.keys() - {"account", "name", "status", "version", "created"}
    await command(services.redis, "HDEL", keys.instance(created.id), *new)
    await command(services.redis, "DEL", keys.session(row["uses"]))


async def test_what_0_1_0_made_keeps_its_sessions_and_they_are_taken_from_the_first_start_on(
    services: Services, phone: Phone
) -> None:
    account, other = [await services.directory.create_account(name) for name in ("acme", "other")]
    await of_0_1_0(services, account.id, "sales")
    assert await session_of(services, account.id, "sales") == "sales"
    await services.presence.show(await services.directory.find_instance(account.id, "sales"), CHAT, State.TYPING, 60)
    assert await services.moves.settle() == 1
    assert await services.moves.settle() == 0
    assert await session_of(services, account.id, "sales") == "sales"
    assert (await services.directory.find_instance(account.id, "sales")).moves == 0
    with pytest.raises(Conflict):
        await services.directory.create_instance(other.id, "x", session="sales")
    await services.directory.create_instance(account.id, "new")
    assert await session_of(services, account.id, "new") == "acme.new"
    assert await RedisChecker(services.redis, services.executor).problems() == []


async def test_two_accounts_of_0_1_0_on_one_session_go_on_and_check_names_them(services: Services) -> None:
    accounts = [await services.directory.create_account(name) for name in ("acme", "other", "third")]
    for account in accounts[:2]:
        await of_0_1_0(services, account.id, "sales")
    assert await services.moves.settle() == 2
    (problem,) = await RedisChecker(services.redis, services.executor).problems()
    assert all(account.id in problem for account in accounts[:2])
    with pytest.raises(Conflict):
        await services.directory.create_instance(accounts[2].id, "x", session="sales")


async def test_a_backup_holds_who_uses_which_session(
    services: Services, redis: AsyncRedis, everywhere: AsyncRedis
) -> None:
    account, other = [await services.directory.create_account(name) for name in ("acme", "other")]
    await services.directory.create_instance(account.id, "x", upstream=SHARED)
    lines = await RedisBackup(redis, services.hasher).lines()
    await everywhere.flushall()
    await RedisBackup(redis, services.hasher).restore(lines)
    with pytest.raises(Conflict):
        await services.directory.create_instance(other.id, "x", upstream=SHARED)
    assert await RedisChecker(services.redis, services.executor).problems() == []


async def test_what_an_older_worker_buried_holds_its_session_no_longer(services: Services, redis: AsyncRedis) -> None:
    account, other = [await services.directory.create_account(name) for name in ("acme", "other")]
    created = await services.directory.create_instance(account.id, "x", upstream=SHARED)
    await redis.delete(keys.instance(created.id), keys.instance_tokens(created.id))
    assert any(
        "does not use it" in problem for problem in await RedisChecker(services.redis, services.executor).problems()
    )
    await services.directory.create_instance(other.id, "x", upstream=SHARED)
