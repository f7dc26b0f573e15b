"""When a worker looks, whom it leaves what to, and that nothing waits for its next look that cannot."""

import asyncio
import itertools
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace

import msgspec
import pytest
from integration.conftest import BOTH_WAYS, working
from world import Phone, Tenant, until

from gateway.presence.errors import StoreUnavailable
from gateway.presence.model import Chat, Instance, State, Target
from gateway.presence.steps import ChatKey, Claim, Grant, Look, RefreshPolicy, Report
from gateway.settings import Fast, Worker
from gateway.store import keys
from gateway.store.redis import command
from gateway.store.worker_registry import WorkerRegistry, partitions_of
from gateway.wiring import Services
from workers.rounds import LOOK_EVERY_S

ONCE = RefreshPolicy(600.0, 600.0)


def chat(number: int) -> Chat:
    return Chat(f"55119{number:08}@s.whatsapp.net")


async def owe_a_pause_now(services: Services, instance: Instance, number: int) -> None:
    """Make a promise whose call nobody knows the outcome of: its pause is due at once."""
    key = ChatKey(instance.chats_id, chat(number))
    grant = await services.indicators.promise(
        key, State.TYPING, 60_000, owner=f"o{number}", ticket=None, trace="", refresh=ONCE
    )
    assert isinstance(grant, Grant)
    await services.indicators.settle_command(grant, Report("unknown", ONCE, 0, 0), 60_000)


@BOTH_WAYS
async def test_what_is_due_at_once_is_told_at_once_and_not_at_the_next_look(
    services: Services, tenant: Tenant, phone: Phone
) -> None:
    async with working(services) as watch:
        await until(lambda: watch.is_polling, within_s=3)
        await owe_a_pause_now(services, tenant.instance, 0)  # by then it is connected wherever it has to be
        await until(lambda: len(phone.told) == 1, within_s=3)
        for number in range(1, 9):
            await asyncio.sleep(LOOK_EVERY_S / 7)  # at every moment between two looks
            await owe_a_pause_now(services, tenant.instance, number)
            await until(lambda n=number: len(phone.told) == n + 1, within_s=0.3)  # type: ignore[misc]


@pytest.mark.one_server("about a worker's own calls and places")
@BOTH_WAYS
async def test_without_notices_it_is_told_at_the_next_look(
    services: Services, tenant: Tenant, phone: Phone, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(keys, "SOONER", "nobody speaks here")
    async with working(services) as watch:
        await until(lambda: watch.is_polling, within_s=3)
        for number in range(4):
            await owe_a_pause_now(services, tenant.instance, number)
            await until(lambda n=number: len(phone.told) == n + 1, within_s=LOOK_EVERY_S + 0.5)  # type: ignore[misc]


@pytest.mark.one_server("about a worker's own calls and places")
@BOTH_WAYS
async def test_a_pause_that_fails_is_tried_again_at_its_time(services: Services, tenant: Tenant, phone: Phone) -> None:
    tried: list[float] = []
    async with working(services):
        await services.presence.show(tenant.instance, chat(1), State.TYPING, 1)
        phone.status = 500
        for _ in range(3):
            await until(lambda: phone.asked == len(tried) + 2, within_s=3)
            tried.append(time.monotonic())
        phone.status = 200
        await until(lambda: State.PAUSED in phone.states(), within_s=3)
    assert tried[1] - tried[0] < 0.3 * 1.2 + 0.2
    assert tried[2] - tried[1] < 0.6 * 1.2 + 0.2


@pytest.mark.one_server("about a worker's own calls and places")
async def test_a_look_that_failed_is_soon_made_again(
    services: Services, tenant: Tenant, phone: Phone, monkeypatch: pytest.MonkeyPatch
) -> None:
    look, ends = services.indicators.look, 0.0

    async def look_late(partition: int, *, ahead_ms: int) -> Look:
        if time.time() < ends - 0.05:
            raise StoreUnavailable
        return await look(partition, ahead_ms=ahead_ms)

    monkeypatch.setattr(services.indicators, "look", look_late)
    late = []
    async with working(services):
        for number in range(4):
            await services.presence.show(tenant.instance, chat(number), State.TYPING, 2)
            ends = phone.told[-1][0] + 2
            await until(lambda n=number: phone.states().count(State.PAUSED) == n + 1, within_s=4)  # type: ignore[misc]
            late.append(phone.told[-1][0] - ends)
    assert max(late) < 0.45


async def test_claims_whose_replies_were_lost_have_what_they_had_taken_when_they_are_made_again(
    services: Services, tenant: Tenant, phone: Phone, monkeypatch: pytest.MonkeyPatch
) -> None:
    claim, ends = services.indicators.claim, time.monotonic() + 3

    async def claim_in_vain(chats: Sequence[ChatKey], *, owner: str) -> list[Claim | int | None]:
        claims = await claim(chats, owner=owner)
        if time.monotonic() < ends:
            await asyncio.sleep(0.3)  # several are under way at a time
            raise StoreUnavailable
        return claims

    monkeypatch.setattr(services.indicators, "claim", claim_in_vain)
    async with working(services):
        for number in range(8):
            await services.presence.show(tenant.instance, chat(number), State.TYPING, 1)
            await asyncio.sleep(0.1)
        assert State.PAUSED not in phone.states()
        await until(lambda: phone.states().count(State.PAUSED) == 8, within_s=ends - time.monotonic() + 1)


@pytest.mark.one_server("about a worker's own calls and places")
async def test_no_pause_waits_for_who_knows_the_tenants(
    services: Services, tenant: Tenant, phone: Phone, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def in_vain() -> str:
        await asyncio.sleep(2)
        raise StoreUnavailable

    async with working(services):
        await services.presence.show(tenant.instance, chat(1), State.TYPING, 1)
        await until(lambda: State.PAUSED in phone.states(), within_s=3)
        monkeypatch.setattr(services.directory, "latest_change", in_vain)
        await services.presence.show(tenant.instance, chat(2), State.TYPING, 1)
        await until(lambda: phone.states().count(State.PAUSED) == 2, within_s=1.5)


@pytest.mark.one_server("about a worker's own calls and places")
async def test_an_account_whose_upstream_hangs_hides_nobody_of_its_partition(
    services: Services, tenant: Tenant, phone: Phone, other_phone: Phone, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(keys, "partition", lambda _: 7)
    monkeypatch.setattr("gateway.store.indicators._LOOKED_AT", 40)
    account = await services.directory.create_account("bystander")
    await services.directory.create_instance(account.id, "calm", upstream=Target("sandbox", other_phone.url, "calm"))
    calm = await services.directory.find_instance(account.id, "calm")
    for number in range(60):
        await services.presence.show(tenant.instance, chat(number), State.TYPING, 1)
    phone.hangs = True
    narrow = msgspec.structs.replace(services.settings, worker=Worker(max_jobs=16, drain_timeout_s=0.01))
    async with working(replace(services, settings=narrow)):
        await until(lambda: phone.asked == 60 + 8, within_s=4)
        for number in range(3):
            await services.presence.show(calm, chat(number), State.TYPING, 1)
        await until(lambda: other_phone.states().count(State.PAUSED) == 3, within_s=2.5)
        assert phone.asked == 60 + 8


async def workers(services: Services) -> list[str]:
    """Which say that they work."""
    return [name.decode() for name in await command(services.redis, "ZRANGE", keys.WORKERS, 0, -1)]


async def rival(services: Services, instance: Instance) -> WorkerRegistry:
    """Another worker, that looks after an instance's chats while it says that it works."""
    others, wanted = await workers(services), keys.partition(instance.id)
    names = (f"rival {number}" for number in itertools.count())
    return WorkerRegistry(services.executor, next(one for one in names if wanted in partitions_of(one, others)))


@asynccontextmanager
async def working_beside(services: Services, instance: Instance) -> AsyncIterator[WorkerRegistry]:
    """Run a worker that has heard of its rival."""
    async with working(services) as watch:
        await until(lambda: watch.is_polling, within_s=3)
        other = await rival(services, instance)
        await other.say()
        await asyncio.sleep(LOOK_EVERY_S + 0.1)
        yield other


async def test_a_worker_leaves_the_partitions_of_another_alone(
    services: Services, tenant: Tenant, phone: Phone
) -> None:
    async with working_beside(services, tenant.instance) as other:
        await services.presence.show(tenant.instance, chat(1), State.TYPING, 1)
        for _ in range(3):
            await other.say()
            await asyncio.sleep(0.8)
    assert phone.states() == [State.TYPING]


async def test_a_worker_that_died_is_replaced_as_soon_as_it_is_forgotten(
    services: Services, tenant: Tenant, phone: Phone
) -> None:
    async with working_beside(services, tenant.instance):
        said = time.monotonic() - LOOK_EVERY_S - 0.1
        await services.presence.show(tenant.instance, chat(1), State.TYPING, 1)
        await until(lambda: State.PAUSED in phone.states(), within_s=5)
        assert 2.5 < time.monotonic() - said < 2.5 + LOOK_EVERY_S + 0.5


async def test_workers_know_each_other_still_when_redis_forgot_them(services: Services) -> None:
    one, other = (WorkerRegistry(services.executor, name) for name in ("one", "other"))
    for worker in (one, other, one):
        await worker.say()
    known = one.mine
    await command(services.redis, "DEL", keys.WORKERS)
    await one.say()
    assert one.mine == known
    await one.say()
    assert len(one.mine) == keys.PARTITIONS  # the other had its moment


async def test_a_worker_that_leaves_is_replaced_at_once(services: Services, tenant: Tenant, phone: Phone) -> None:
    async with working_beside(services, tenant.instance) as other:
        await services.presence.show(tenant.instance, chat(1), State.TYPING, 1)
        await other.say()
        await asyncio.sleep(1.1)
        assert phone.states() == [State.TYPING]
        await other.leave()
        # Before it is forgotten, and before the next look at all.
        await until(lambda: State.PAUSED in phone.states(), within_s=0.7)


@pytest.mark.one_server("about a worker's own calls and places")
@BOTH_WAYS
async def test_a_worker_that_still_waits_for_a_call_at_its_end_keeps_nobody_elses_pause(
    services: Services, tenant: Tenant, phone: Phone
) -> None:
    slow = replace(services, settings=msgspec.structs.replace(services.settings, worker=Worker(drain_timeout_s=3)))
    async with working(slow) as one:
        await until(lambda: one.is_polling, within_s=3)
        (first,) = await workers(services)
        async with working(slow) as other:
            await until(lambda: other.is_polling, within_s=3)
            await asyncio.sleep(LOOK_EVERY_S + 0.1)
            for number, seconds in enumerate((1, 2)):
                await services.presence.show(tenant.instance, chat(number), State.TYPING, seconds)
            phone.hangs = True
            await until(lambda: phone.asked == 3, within_s=3)
            phone.hangs = False
            is_firsts = keys.partition(tenant.instance.id) in partitions_of(first, await workers(services))
            (one if is_firsts else other).stop.set()
            async with asyncio.timeout(1.2):
                while len(await workers(services)) == 2:  # noqa: ASYNC110 - Redis tells nobody
                    await asyncio.sleep(0.01)
            await until(lambda: State.PAUSED in phone.states(), within_s=3)


@BOTH_WAYS
async def test_a_worker_that_ends_says_so(services: Services) -> None:
    async with working(services) as watch:
        await until(lambda: watch.is_polling, within_s=3)
        assert len(await workers(services)) == 1
    assert await workers(services) == []


@pytest.mark.one_server("counts the commands of one server")
@pytest.mark.parametrize("services", [Fast()], indirect=True)
async def test_an_idle_worker_asks_about_once_a_second_whether_there_is_anything_and_for_nothing_else(
    services: Services,
) -> None:
    async with working(services) as watch:
        await until(lambda: watch.is_polling, within_s=3)
        await command(services.redis, "CONFIG", "RESETSTAT")
        await asyncio.sleep(4 * LOOK_EVERY_S)
        stats = await services.redis.info("commandstats")
    calls = {name.removeprefix("cmdstat_"): stat["calls"] for name, stat in stats.items()}
    assert 3 <= calls.pop("evalsha") <= 5
    assert 3 * 4 <= calls.pop("exists") <= 5 * 4  # three of them by the registry's script
    calls.pop("config|resetstat", None)
    # What the registry's script does.
    assert calls.keys() <= {"zcount", "time", "zremrangebyscore", "zadd", "zrange"}


@pytest.mark.one_server("counts the commands of one server")
@pytest.mark.parametrize("services", [Fast()], indirect=True)
async def test_a_worker_looks_at_each_partition_about_once_a_second_while_anything_is_owed(
    services: Services, tenant: Tenant
) -> None:
    async with working(services):
        await services.presence.show(tenant.instance, chat(1), State.TYPING, 60)
        await command(services.redis, "CONFIG", "RESETSTAT")
        await asyncio.sleep(4 * LOOK_EVERY_S)
        stats = await services.redis.info("commandstats")
    assert 3 * (keys.PARTITIONS + 1) <= stats["cmdstat_evalsha"]["calls"] <= 5 * (keys.PARTITIONS + 2)
