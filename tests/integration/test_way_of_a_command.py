"""The way of a command from its request to its answer: what is felt at once, what is bounded, what is rolled back."""

import asyncio
import dataclasses
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import msgspec
import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient
from redis.asyncio import Redis
from world import Phone, Tenant, until

from gateway.api.app import create_app
from gateway.presence.errors import StoreUnavailable
from gateway.presence.model import State, Target
from gateway.store import keys
from gateway.store.redis import command
from gateway.wiring import Services

Client = TestClient[web.Request, web.Application]
PATH = "/api/chat/presence/demo"
CHAT = "5511999999999"
TYPING = json.dumps({"number": CHAT, "state": "typing", "duration": 5}).encode()
RECORDING = json.dumps({"number": CHAT, "state": "recording", "duration": 5}).encode()
PAUSE = json.dumps({"number": CHAT, "state": "pause"}).encode()
OTHER = json.dumps({"number": "5511777777777", "state": "recording"}).encode()

INVALID = (401, "Invalid token")
MISMATCH = (403, "Instance token does not match the requested instance")
NOT_FOUND = (404, "Instance not found")
LIMITED = (429, "Rate limit exceeded. Try again later.")
AWAY = (503, "Service temporarily unavailable")
FINE = (200, "Presence 'typing' sent successfully (will auto-pause after 5 seconds)")


async def send(client: Client, token: str, body: Any = TYPING, path: str = PATH, **headers: str) -> tuple[int, str]:
    answer = await client.post(path, data=body, headers={"token": token, **headers})
    told = await answer.json()
    return answer.status, told["message"] if told["success"] else told["error"]["message"]


def narrow(services: Services, **limits: int) -> Services:
    """Return the same services with room for fewer commands."""
    http = msgspec.structs.replace(services.settings.http, **limits)
    return dataclasses.replace(services, settings=msgspec.structs.replace(services.settings, http=http))


@pytest.fixture
async def client(services: Services, tenant: Tenant, aiohttp_client: Callable[..., Awaitable[Client]]) -> Client:
    client = await aiohttp_client(create_app(services))
    assert (await send(client, tenant.account_token, OTHER))[0] == 200
    return client


async def refuse(*args: Any, **options: Any) -> Any:
    raise StoreUnavailable


async def owes(services: Services, tenant: Tenant) -> bool:
    """Whether anything is promised on the chat, once what comes behind an answer has been done."""
    await services.presence.drain()
    record = await command(services.executor, "HGETALL", keys.record(tenant.instance.id, f"{CHAT}@s.whatsapp.net"))
    return b"owner" in record or b"until" in record


@pytest.mark.one_server("counts the commands of one server")
async def test_a_command_takes_three_scripts_and_a_repeat_none_more(
    client: Client, services: Services, tenant: Tenant, redis: Redis
) -> None:
    taken = []
    for body in (TYPING, TYPING, PAUSE, TYPING):
        before = int((await redis.info("commandstats"))["cmdstat_evalsha"]["calls"])
        assert (await send(client, tenant.instance_token, body))[0] == 200
        await services.presence.drain()
        taken.append(int((await redis.info("commandstats"))["cmdstat_evalsha"]["calls"]) - before)
    # The second says what shows already: that is found ahead of its admission, and done after it.
    assert taken[1:] == [3, 3, 3]


async def test_a_body_that_comes_after_its_head_is_waited_for(client: Client, tenant: Tenant) -> None:
    async def slowly() -> AsyncIterator[bytes]:
        yield TYPING[:10]
        await asyncio.sleep(0.05)
        yield TYPING[10:]

    assert await send(client, tenant.account_token, slowly()) == FINE


async def test_a_body_that_is_not_what_its_encoding_says_is_an_invalid_body(client: Client, tenant: Tenant) -> None:
    refused = await send(client, tenant.account_token, b"not gzip", **{"Content-Encoding": "gzip"})
    assert refused == (400, "Invalid request body")


# What changes between two commands


async def revoke(services: Services, tenant: Tenant) -> None:
    (token,) = (
        token for token in await services.directory.tokens(tenant.instance.account_id) if token.kind == "account"
    )
    await services.directory.revoke_token(token.id)


async def suspend(services: Services, tenant: Tenant) -> None:
    await services.tenancy.set_status(tenant.instance.account_id, "suspended")


async def delete(services: Services, tenant: Tenant) -> None:
    await services.removal.delete_instance(tenant.instance)


async def spend(services: Services, tenant: Tenant) -> None:
    await services.tenancy.set_limits(tenant.instance.account_id, {"per_minute": 1})


Change = Callable[[Services, Tenant], Awaitable[None]]


@pytest.mark.parametrize("body", [TYPING, PAUSE, b"{"], ids=["typing", "pause", "bad"])
@pytest.mark.parametrize(
    ("change", "told"), [(revoke, INVALID), (suspend, INVALID), (delete, NOT_FOUND), (spend, LIMITED)]
)
async def test_what_changed_since_their_last_command_is_felt_with_the_next(
    client: Client, services: Services, tenant: Tenant, phone: Phone, change: Change, told: tuple[int, str], body: bytes
) -> None:
    await change(services, tenant)
    for _ in range(2):
        assert await send(client, tenant.account_token, body) == told
    assert phone.states() == [State.RECORDING]
    assert not await owes(services, tenant)


async def test_an_instance_token_is_refused_once_its_name_is_anothers(
    client: Client, services: Services, tenant: Tenant
) -> None:
    assert await send(client, tenant.instance_token) == FINE
    other = await services.directory.create_instance(tenant.instance.account_id, "other")
    await command(services.redis, "HSET", keys.instances(tenant.instance.account_id), "demo", other.id)
    assert await send(client, tenant.instance_token) == MISMATCH


async def test_an_instance_that_moved_is_told_at_its_new_place_in_the_same_command(
    client: Client, services: Services, tenant: Tenant, phone: Phone, other_phone: Phone
) -> None:
    await services.moves.move_instance(tenant.instance.id, Target("sandbox", other_phone.url, "demo"))
    assert await send(client, tenant.account_token) == FINE
    assert (phone.states(), other_phone.states()) == ([State.RECORDING], [State.TYPING])


async def test_another_instance_of_the_same_name_is_told_instead_of_the_deleted_one(
    client: Client, services: Services, tenant: Tenant, other_phone: Phone
) -> None:
    await delete(services, tenant)
    target = Target("sandbox", other_phone.url, "demo")
    await services.directory.create_instance(tenant.instance.account_id, "demo", upstream=target)
    assert await send(client, tenant.account_token) == FINE
    assert other_phone.states() == [State.TYPING]
    assert not await owes(services, tenant)


# Room for few commands


async def hang(client: Client, token: str, phone: Phone) -> "asyncio.Task[tuple[int, str]]":
    phone.hangs, asked = True, phone.asked
    first = asyncio.create_task(send(client, token))
    await until(lambda: phone.asked > asked, within_s=5)
    return first


@pytest.fixture
async def tight(services: Services, tenant: Tenant, aiohttp_client: Callable[..., Awaitable[Client]]) -> Client:
    """A door through which one command may be under way at a time."""
    client = await aiohttp_client(create_app(narrow(services, max_in_flight=1)))
    assert (await send(client, tenant.account_token, OTHER))[0] == 200
    return client


@pytest.mark.one_server("about the places of this process")
async def test_a_caller_is_refused_at_once_while_every_place_is_taken(
    tight: Client, tenant: Tenant, phone: Phone
) -> None:
    first = await hang(tight, tenant.account_token, phone)
    assert await send(tight, tenant.account_token, OTHER) == AWAY
    assert (await first)[0] == 504
    phone.hangs = False
    assert (await send(tight, tenant.account_token, OTHER))[0] == 200


async def test_an_account_leaves_room_for_the_others(
    services: Services,
    tenant: Tenant,
    phone: Phone,
    other_phone: Phone,
    aiohttp_client: Callable[..., Awaitable[Client]],
) -> None:
    client = await aiohttp_client(create_app(narrow(services, max_in_flight=2, max_in_flight_per_account=1)))
    bystander = await services.directory.create_account("bystander")
    await services.directory.create_instance(bystander.id, "demo", upstream=Target("sandbox", other_phone.url, "demo"))
    first = await hang(client, tenant.account_token, phone)
    assert await send(client, tenant.account_token, OTHER) == AWAY
    assert await send(client, bystander.token) == FINE
    first.cancel()


async def test_while_every_place_is_taken_the_contracts_order_of_checks_holds(
    tight: Client, services: Services, tenant: Tenant, phone: Phone
) -> None:
    first = await hang(tight, tenant.account_token, phone)
    assert await send(tight, tenant.account_token, b"{") == (400, "Invalid request body")
    await spend(services, tenant)
    assert await send(tight, tenant.account_token, OTHER) == LIMITED
    await revoke(services, tenant)
    assert await send(tight, tenant.account_token, OTHER) == INVALID
    first.cancel()


async def test_whoever_waits_for_redis_keeps_out_no_pause_that_needs_none(
    tight: Client, services: Services, tenant: Tenant, phone: Phone, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked, answers = asyncio.Event(), asyncio.Event()

    async def hanging(*args: Any, **options: Any) -> Any:
        if asked.is_set():
            raise StoreUnavailable
        asked.set()
        await answers.wait()
        raise StoreUnavailable

    monkeypatch.setattr(services.indicators, "_promise", hanging)
    entering = asyncio.create_task(send(tight, tenant.account_token))
    await asked.wait()
    monkeypatch.setattr(services.admission, "_admit", refuse)
    assert (await send(tight, tenant.account_token, PAUSE))[0] == 200
    assert phone.states()[-1] is State.PAUSED
    answers.set()
    assert (await entering)[0] == 503


async def explode(*args: Any, **options: Any) -> Any:
    raise ZeroDivisionError


@pytest.mark.parametrize(("fault", "status"), [(explode, 500), (refuse, 503)], ids=["a fault of ours", "redis away"])
async def test_a_place_is_given_back_whatever_breaks(
    tight: Client, services: Services, tenant: Tenant, fault: Any, status: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as broken:
        broken.setattr(services.presence, "show", fault)
        assert (await send(tight, tenant.account_token))[0] == status
    assert (await send(tight, tenant.account_token, OTHER))[0] == 200


# Redis fails in the middle of a command


def lose_replies_of(services: Services, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let Redis run every promise, and its answer never come."""
    promise = services.indicators._promise

    async def silent(*args: Any) -> Any:
        await promise(*args)
        raise StoreUnavailable

    monkeypatch.setattr(services.indicators, "_promise", silent)


async def test_a_promise_whose_reply_was_lost_is_rolled_back(
    client: Client, services: Services, tenant: Tenant, phone: Phone, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as lossy:
        lose_replies_of(services, lossy)
        assert await send(client, tenant.account_token) == AWAY
        where = keys.record(tenant.instance.id, f"{CHAT}@s.whatsapp.net")
        assert await command(services.executor, "HGET", where, "owner") is not None
    assert not await owes(services, tenant)
    assert phone.states() == [State.RECORDING]
    assert await send(client, tenant.account_token) == FINE


async def test_what_shows_already_keeps_its_own_pause_when_a_promise_is_rolled_back(
    client: Client, services: Services, tenant: Tenant, monkeypatch: pytest.MonkeyPatch
) -> None:
    await send(client, tenant.account_token)
    await services.presence.drain()
    where = keys.record(tenant.instance.id, f"{CHAT}@s.whatsapp.net")
    until_ms = await command(services.executor, "HGET", where, "until")
    with monkeypatch.context() as lossy:
        lose_replies_of(services, lossy)
        assert await send(client, tenant.account_token, RECORDING) == AWAY
    await services.presence.drain()
    assert await command(services.executor, "HMGET", where, "state", "until", "owner") == [b"typing", until_ms, None]


async def test_a_pause_gets_through_although_its_promises_reply_was_lost(
    client: Client, services: Services, tenant: Tenant, phone: Phone, monkeypatch: pytest.MonkeyPatch
) -> None:
    await send(client, tenant.account_token)
    with monkeypatch.context() as lossy:
        lose_replies_of(services, lossy)
        assert (await send(client, tenant.account_token, PAUSE))[0] == 200
    assert phone.states()[-1] is State.PAUSED
