"""A Redis above its `maxmemory` refuses new promises, and withholds nothing that is owed already."""

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient
from integration.conftest import BOTH_WAYS, working
from redis.asyncio import Redis
from world import Phone, Tenant, until

from gateway.api.app import create_app
from gateway.presence.errors import InvalidToken, StoreUnavailable
from gateway.presence.model import Chat, State
from gateway.wiring import Services

Client = TestClient[web.Request, web.Application]

SHORT, HELD, NEW = (Chat(f"551199999999{n}@s.whatsapp.net") for n in range(3))


@contextlib.asynccontextmanager
async def full(everywhere: Redis) -> AsyncIterator[None]:
    """One byte is allowed, and more is used."""
    await everywhere.config_set("maxmemory", 1)
    try:
        yield
    finally:
        await everywhere.config_set("maxmemory", 0)


def told_of(phone: Phone, chat: Chat) -> list[tuple[float, State]]:
    return [(at, state) for at, state, jid in phone.told if jid == chat.jid]


@pytest.mark.one_server("each server judges each script by itself, and the others here wait less")
@BOTH_WAYS
async def test_what_was_promised_before_is_refreshed_and_paused_on_time(
    services: Services, tenant: Tenant, phone: Phone, everywhere: Redis
) -> None:
    await services.presence.show(tenant.instance, SHORT, State.TYPING, 1)
    await services.presence.show(tenant.instance, HELD, State.TYPING, 6)
    async with full(everywhere), working(services):
        await until(lambda: len(told_of(phone, HELD)) == 3, within_s=9)

    (shown, _), (paused, state) = told_of(phone, SHORT)
    assert state is State.PAUSED
    assert 1 <= paused - shown < 1.5
    (shown, _), (_, refreshed), (paused, state) = told_of(phone, HELD)
    assert (refreshed, state) == (State.TYPING, State.PAUSED)
    assert 6 <= paused - shown < 6.5


@pytest.mark.one_server("each server judges each script by itself, and the others here wait less")
async def test_a_pause_that_fails_is_tried_again(
    services: Services, tenant: Tenant, phone: Phone, everywhere: Redis
) -> None:
    await services.presence.show(tenant.instance, SHORT, State.TYPING, 1)
    phone.status = 500
    async with full(everywhere), working(services):
        await until(lambda: phone.asked >= 3, within_s=5)
        phone.status = 200
        await until(lambda: phone.states()[-1] is State.PAUSED, within_s=5)


async def test_a_new_promise_is_refused(
    services: Services,
    tenant: Tenant,
    phone: Phone,
    everywhere: Redis,
    aiohttp_client: Callable[..., Awaitable[Client]],
) -> None:
    client = await aiohttp_client(create_app(services))
    body: dict[str, Any] = {"number": NEW.jid, "state": "typing", "duration": 1}
    async with full(everywhere):
        answer = await client.post(
            "/api/chat/presence/demo", data=json.dumps(body), headers={"token": tenant.account_token}
        )
        assert (answer.status, "Retry-After" in answer.headers) == (503, True)
        with pytest.raises(StoreUnavailable):
            await services.presence.show(tenant.instance, NEW, State.TYPING, 1)
    assert phone.told == []


async def test_a_deletion_ends_what_shows_and_its_token(
    services: Services, tenant: Tenant, phone: Phone, everywhere: Redis
) -> None:
    await services.presence.show(tenant.instance, SHORT, State.TYPING, 60)
    async with full(everywhere), working(services):
        await services.removal.delete_instance(tenant.instance)
        await until(lambda: phone.states()[-1] is State.PAUSED, within_s=2)
    with pytest.raises(InvalidToken):
        await services.admission.admit(services.hasher(tenant.instance_token))


async def test_processes_are_still_listed(services: Services, everywhere: Redis) -> None:
    async with full(everywhere), services.processes.listed("worker", "127.0.0.1", 1):
        for _ in range(500):
            if listed := await services.processes.present():
                break
            await asyncio.sleep(0.01)
    assert [member.role for member in listed] == ["worker"]
