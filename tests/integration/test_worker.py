"""The real arq worker on a real Valkey: it finds what the scripts wrote, in time, and outlives what befalls Redis."""

import asyncio
import time
from dataclasses import replace

import msgspec
import pytest
from integration.conftest import BOTH_WAYS, working
from redis.asyncio import Redis
from world import Phone, Tenant, until

from gateway import settings
from gateway.presence.model import Chat, State, Target
from gateway.presence.steps import ChatKey, Claim
from gateway.settings import Settings, Upstream
from gateway.wiring import Services, open_services

CHAT = Chat("5511999999999@s.whatsapp.net")


pytestmark = BOTH_WAYS


def with_places(services: Services, places: int) -> Services:
    """The same services, for a worker with few places that waits for nobody at its end."""
    narrow = settings.Worker(max_jobs=places, drain_timeout_s=0.01)
    return replace(services, settings=msgspec.structs.replace(services.settings, worker=narrow))


async def test_a_pause_arrives_by_itself_after_its_duration_and_never_before(
    services: Services, tenant: Tenant, phone: Phone
) -> None:
    async with working(services):
        await services.presence.show(tenant.instance, CHAT, State.TYPING, 1)
        await until(lambda: len(phone.told) == 2, within_s=3)
    (shown, _, _), (paused, state, _) = phone.told
    assert state is State.PAUSED
    assert paused - shown >= 1


async def test_a_finished_wake_up_leaves_nothing_of_arq_behind(
    services: Services, tenant: Tenant, phone: Phone, everywhere: Redis
) -> None:
    async with working(services):
        await services.presence.show(tenant.instance, CHAT, State.TYPING, 1)
        await until(lambda: len(phone.told) == 2, within_s=3)
    assert await everywhere.keys("arq:*") == []
    assert await everywhere.keys("pg:{??}:queue") == []


@pytest.mark.one_server("about a worker's own places and its upstreams")
async def test_a_failing_upstream_gets_its_pause_when_it_is_back(
    services: Services, tenant: Tenant, phone: Phone
) -> None:
    async with working(services):
        await services.presence.show(tenant.instance, CHAT, State.TYPING, 1)
        phone.status = 500
        await asyncio.sleep(1.5)
        phone.status = 200
        await until(lambda: phone.states() == [State.TYPING, State.PAUSED], within_s=5)


async def test_the_worker_goes_on_after_redis_threw_every_connection_out(
    services: Services, tenant: Tenant, phone: Phone, everywhere: Redis
) -> None:
    async with working(services):
        for round_ in range(1, 4):
            await services.presence.show(tenant.instance, CHAT, State.TYPING, 1)
            for kind in ("normal", "pubsub"):
                await everywhere.client_kill_filter(_type=kind, skipme=True)
            await until(lambda pauses=round_: phone.states().count(State.PAUSED) == pauses, within_s=6)  # type: ignore[misc]


@pytest.mark.one_server("test_claims.py has the lease in virtual time")
async def test_what_a_dead_worker_claimed_comes_back_when_its_lease_ends(
    services: Services, tenant: Tenant, phone: Phone
) -> None:
    await services.presence.show(tenant.instance, CHAT, State.TYPING, 1)
    await asyncio.sleep(1.05)
    (claim,) = await services.indicators.claim([ChatKey(tenant.instance.chats_id, CHAT)], owner="dead")
    assert isinstance(claim, Claim)  # and nobody performs it
    claimed = time.time()
    async with working(services):
        await until(lambda: State.PAUSED in phone.states(), within_s=8)
    assert phone.told[-1][0] - claimed == pytest.approx(services.settings.lease_s, abs=0.3)


async def test_two_workers_side_by_side_tell_each_pause_once(services: Services, tenant: Tenant, phone: Phone) -> None:
    chats = [Chat(f"55119{number:08}@s.whatsapp.net") for number in range(200)]
    async with working(services), working(services):
        for first in range(0, 200, 20):
            few = chats[first : first + 20]
            await asyncio.gather(*(services.presence.show(tenant.instance, chat, State.TYPING, 1) for chat in few))
        await until(lambda: phone.states().count(State.PAUSED) >= 200, within_s=30)
    paused = [chat for _, state, chat in phone.told if state is State.PAUSED]
    assert len(paused) == len(set(paused)) == 200


@pytest.mark.one_server("about a worker's own places and its upstreams")
async def test_a_worker_takes_no_more_for_an_account_than_it_has_places_left(
    services: Services, tenant: Tenant, phone: Phone, other_phone: Phone
) -> None:
    account = await services.directory.create_account("bystander")
    await services.directory.create_instance(account.id, "calm", upstream=Target("sandbox", other_phone.url, "calm"))
    calm = await services.directory.find_instance(account.id, "calm")
    for number in range(12):
        await services.presence.show(tenant.instance, Chat(f"55119{number:08}@s.whatsapp.net"), State.TYPING, 1)
    phone.hangs, asked = True, phone.asked
    async with working(with_places(services, 5)):
        await until(lambda: phone.asked - asked == 3, within_s=4)
        await services.presence.show(calm, CHAT, State.TYPING, 1)
        await until(lambda: State.PAUSED in other_phone.states(), within_s=3)
        assert phone.asked - asked == 3


@pytest.mark.one_server("about a worker's own places and its upstreams")
async def test_what_fails_at_once_is_tried_no_faster_than_there_are_places(
    services: Services, tenant: Tenant, phone: Phone
) -> None:
    for number in range(40):
        await services.presence.show(tenant.instance, Chat(f"55119{number:08}@s.whatsapp.net"), State.TYPING, 1)
    phone.status, asked = 500, phone.asked
    async with working(with_places(services, 8)):
        await until(lambda: phone.asked - asked == 4, within_s=4)
        began = time.monotonic()
        await until(lambda: phone.asked - asked >= 12, within_s=5)
        assert time.monotonic() - began > 1.5
        phone.status = 200
        await until(lambda: phone.states().count(State.PAUSED) == 40, within_s=15)


@pytest.mark.one_server("about a worker's own places and its upstreams")
async def test_an_instance_that_hangs_leaves_places_for_the_others(
    services: Services, tenant: Tenant, phone: Phone, other_phone: Phone
) -> None:
    narrow = Settings(
        redis=services.settings.redis,
        upstream=Upstream(timeout_s=4),
        worker=settings.Worker(max_jobs=16),
        fast=services.settings.fast,
    )
    async with open_services(narrow) as small:
        account = await small.directory.create_account("stuck")
        target = Target("sandbox", other_phone.url, "stuck")
        await small.directory.create_instance(account.id, "stuck", upstream=target)
        stuck = await small.directory.find_instance(account.id, "stuck")
        for number in range(60):
            await small.presence.show(stuck, Chat(f"55117{number:08}@s.whatsapp.net"), State.TYPING, 1)
        other_phone.hangs = True
        async with working(small):
            # At first it takes what there is; then it is known.
            await until(lambda: other_phone.asked > 60 + 8, within_s=15)
            late = []
            for number in range(5):
                await small.presence.show(tenant.instance, Chat(f"55116{number:08}@s.whatsapp.net"), State.TYPING, 1)
                told = phone.told[-1][0]
                await until(lambda n=number: phone.states().count(State.PAUSED) == n + 1, within_s=15)  # type: ignore[misc]
                late.append(phone.told[-1][0] - told - 1)
            # Behind calls that hang for 4 s each it would wait for 2 s as a rule, however fast the machine is.
            assert sorted(late)[2] < 1
            other_phone.hangs = False
            await until(lambda: other_phone.states().count(State.PAUSED) == 60, within_s=30)


async def test_hundreds_of_pauses_due_at_once_all_arrive(services: Services, tenant: Tenant, phone: Phone) -> None:
    chats = [Chat(f"55119{number:08}@s.whatsapp.net") for number in range(300)]
    a_few = asyncio.Semaphore(20)

    async def show(chat: Chat) -> None:
        async with a_few:
            await services.presence.show(tenant.instance, chat, State.TYPING, 1)

    async with working(services):
        await asyncio.gather(*map(show, chats))
        await until(lambda: phone.states().count(State.PAUSED) == 300, within_s=30)
    paused = [chat for _, state, chat in phone.told if state is State.PAUSED]
    assert len(set(paused)) == 300
