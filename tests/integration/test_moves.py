"""An upstream that is changed while a pause is owed: paused where it shows, and the new one hears nothing of it."""

import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pytest
from cryptography.fernet import Fernet
from integration.conftest import working
from integration.waking import claim_due, wake_due
from redis.asyncio import Redis as AsyncRedis
from world import Phone, VirtualClock, until

from gateway.fast.pipeline import Pipeline
from gateway.presence.model import Chat, Instance, State, Target
from gateway.presence.steps import ChatKey, Grant, RefreshPolicy, Report
from gateway.settings import Presence, Redis, Secrets, Settings, Upstream
from gateway.store import keys
from gateway.store.indicators import RedisIndicators
from gateway.store.redis import command
from gateway.tenants.checker import RedisChecker
from gateway.tenants.removal import RedisRemoval
from gateway.wiring import Services, open_services

CHAT = Chat("5511999999999@s.whatsapp.net")
OTHER_CHAT = Chat("5511888888888@s.whatsapp.net")
TYPING, PAUSED = State.TYPING, State.PAUSED
KEY = Fernet.generate_key().decode()

Change = Callable[[Services, Instance, str], Awaitable[None]]


def settings(redis_url: str, url: str, *, encryption_keys: str = KEY) -> Settings:
    return Settings(
        redis=Redis(url=redis_url),
        secrets=Secrets(pepper="p", encryption_keys=encryption_keys),
        upstream=Upstream(kind="sandbox", url=url, credential="service-key"),
        presence=Presence(give_up_s=30),
    )


@pytest.fixture
async def services(redis: AsyncRedis, redis_url: str, phone: Phone) -> AsyncIterator[Services]:
    async with open_services(settings(redis_url, phone.url)) as services:
        yield services


async def made(services: Services, upstream: Target | None = None) -> Instance:
    account = await services.directory.create_account("acme")
    await services.directory.create_instance(account.id, "sales", upstream=upstream)
    return await services.directory.find_instance(account.id, "sales")


async def again(services: Services, instance: Instance) -> Instance:
    return await services.directory.find_instance(instance.account_id, instance.name)


async def moved(services: Services, instance: Instance, url: str) -> None:
    await services.moves.move_instance(instance.id, Target("sandbox", url, ""))


async def account_changed(services: Services, instance: Instance, url: str) -> None:
    await services.moves.set_upstream(instance.account_id, Target("sandbox", url, "", "its-key"))


async def service_changed(services: Services, instance: Instance, url: str) -> None:
    redis_url, encryption_keys = services.settings.redis.url, services.settings.secrets.encryption_keys
    async with open_services(settings(redis_url, url, encryption_keys=encryption_keys)) as restarted:
        assert await restarted.moves.settle() == 1


CHANGES = pytest.mark.parametrize("change", [moved, account_changed, service_changed])


@CHANGES
async def test_what_shows_is_paused_where_it_shows_and_the_new_place_hears_nothing(
    services: Services, phone: Phone, other_phone: Phone, change: Change
) -> None:
    instance = await made(services)
    async with working(services):
        await services.presence.show(instance, CHAT, TYPING, 60)
        await change(services, instance, other_phone.url)
        await until(lambda: phone.states() == [TYPING, PAUSED], within_s=5)
    assert (await services.health.backlog()).owed == 0  # the worker finished its call: nothing more can come
    assert other_phone.told == []
    assert (await again(services, instance)).target.url == other_phone.url
    assert await RedisChecker(services.redis, services.executor).problems() == []


@CHANGES
async def test_what_0_1_0_made_is_paused_where_it_shows_too(
    services: Services, phone: Phone, other_phone: Phone, change: Change
) -> None:
    instance = await made(services)
    row = keys.instance(instance.id)
    if change is service_changed:
        # What it followed then, 0.1.0 wrote down nowhere: one start with the settings of that time does.
        assert await services.moves.settle() == 0
    else:
        new = ("kind", "url", "session", "credential", "trusted", "follows", "named", "uses")
        await command(services.redis, "HDEL", row, *new)
        instance = await again(services, instance)
        assert instance.target.session == "sales"
    async with working(services):
        await services.presence.show(instance, CHAT, TYPING, 60)
        await change(services, instance, other_phone.url)
        await until(lambda: phone.states() == [TYPING, PAUSED], within_s=5)
    assert other_phone.told == []


async def test_the_new_place_shows_its_own_and_no_pause_of_the_old_cuts_it_short(
    services: Services, phone: Phone, other_phone: Phone
) -> None:
    instance = await made(services)
    async with working(services):
        await services.presence.show(instance, CHAT, TYPING, 60)
        phone.status = 503  # down while it is left
        await moved(services, instance, other_phone.url)
        await services.presence.show(await again(services, instance), CHAT, TYPING, 1)
        await until(lambda: other_phone.states() == [TYPING, PAUSED], within_s=5)
        assert phone.states() == [TYPING]
        phone.status = 200
        await until(lambda: phone.states() == [TYPING, PAUSED], within_s=10)
    assert other_phone.states() == [TYPING, PAUSED]


async def test_a_new_credential_for_the_same_session_moves_nothing(services: Services, phone: Phone) -> None:
    instance = await made(services, Target("sandbox", phone.url, "s", "old"))
    await services.presence.show(instance, CHAT, TYPING, 1)
    await services.moves.move_instance(instance.id, Target("sandbox", phone.url, "s", "new"))
    now = await again(services, instance)
    assert (now.chats_id, now.target.credential) == (instance.chats_id, "new")
    assert phone.states() == [TYPING]
    async with working(services):
        await until(lambda: phone.states() == [TYPING, PAUSED], within_s=5)
    assert phone.told[1][0] - phone.told[0][0] >= 1


async def test_a_command_under_way_is_paused_where_it_was_sent(
    services: Services, phone: Phone, other_phone: Phone
) -> None:
    """Admitted before the move and promised after it, or sent before and settled after: the old place is told."""
    instance = await made(services)
    await moved(services, instance, other_phone.url)
    await services.presence.show(instance, CHAT, TYPING, 60)
    async with working(services):
        await until(lambda: phone.states() == [TYPING, PAUSED], within_s=5)
    assert other_phone.told == []


async def test_it_may_move_again_and_again_and_be_deleted(
    services: Services, phone: Phone, other_phone: Phone, everywhere: AsyncRedis
) -> None:
    instance = await made(services)
    urls = [other_phone.url, phone.url, other_phone.url]
    removal = RedisRemoval(services.redis, services.executor, echo_s=10, hold_s=0)
    for url in urls:
        await services.presence.show(await again(services, instance), CHAT, TYPING, 60)
        await moved(services, instance, url)
        assert await RedisChecker(services.redis, services.executor).problems() == []
    last = await again(services, instance)
    assert last.chats_id == f"{instance.id}~3"
    await services.presence.show(last, OTHER_CHAT, TYPING, 60)
    await services.removal.delete_instance(last)
    async with working(services):
        await until(lambda: phone.states().count(PAUSED) == 2 == other_phone.states().count(PAUSED), within_s=5)
    assert await removal.clean_up() == 0
    assert await everywhere.keys(keys.former("*")) == await everywhere.keys(keys.session("*")) == []
    assert await everywhere.keys(keys.instance("*")) == []
    assert await RedisChecker(services.redis, services.executor).problems() == []


async def test_many_that_follow_move_in_one_step_or_none(services: Services, phone: Phone, other_phone: Phone) -> None:
    instance = await made(services)
    for number in range(30):
        await services.directory.create_instance(instance.account_id, f"n{number}")
    every = await services.directory.instances(instance.account_id)
    for one in every:
        await services.presence.show(one, CHAT, TYPING, 60)
    await account_changed(services, instance, other_phone.url)
    async with working(services):
        await until(lambda: phone.states().count(PAUSED) == 31, within_s=10)
    assert other_phone.told == []
    assert {one.target.url for one in await services.directory.instances(instance.account_id)} == {other_phone.url}
    assert await RedisChecker(services.redis, services.executor).problems() == []


async def test_an_instance_made_while_the_accounts_upstream_changes_follows_the_new_one(
    services: Services, other_phone: Phone, monkeypatch: pytest.MonkeyPatch
) -> None:
    instance = await made(services)
    real = services.directory._claim

    async def late(*words: Any) -> bool:
        monkeypatch.setattr(services.directory, "_claim", real)
        await account_changed(services, instance, other_phone.url)
        return await real(*words)

    monkeypatch.setattr(services.directory, "_claim", late)
    await services.directory.create_instance(instance.account_id, "new")
    assert (await services.directory.find_instance(instance.account_id, "new")).target.url == other_phone.url
    assert await RedisChecker(services.redis, services.executor).problems() == []


async def test_without_an_encryption_key_the_services_credential_is_still_used(
    redis: AsyncRedis, redis_url: str, phone: Phone, other_phone: Phone
) -> None:
    async with open_services(settings(redis_url, phone.url, encryption_keys="")) as services:
        instance = await made(services)
        assert instance.target.credential == "service-key"
        assert await services.moves.settle() == 0
        await services.presence.show(instance, CHAT, TYPING, 60)
        await service_changed(services, instance, other_phone.url)
        async with working(services):
            await until(lambda: phone.states() == [TYPING, PAUSED], within_s=5)
        assert other_phone.told == []


class Killed(BaseException):
    """The process died here."""


@pytest.mark.parametrize("change", [moved, account_changed])
@pytest.mark.parametrize("after", [False, True])
async def test_a_move_that_dies_anywhere_leaves_nothing_on(
    services: Services,
    phone: Phone,
    other_phone: Phone,
    change: Change,
    monkeypatch: pytest.MonkeyPatch,
    *,
    after: bool,
) -> None:
    instance, removal = await made(services), RedisRemoval(services.redis, services.executor, echo_s=10, hold_s=0)
    real = services.redis.execute_command
    for step in range(1, 30):
        before = await again(services, instance)
        await services.presence.show(before, CHAT, TYPING, 60)
        left = step

        async def mortal(*words: Any, **options: Any) -> Any:
            nonlocal left
            left -= 1
            if left == 0 and not after:
                raise Killed
            answer = await real(*words, **options)  # type: ignore[no-untyped-call]
            if left == 0:
                raise Killed
            return answer

        url = phone.url if before.target.url == other_phone.url else other_phone.url
        monkeypatch.setattr(services.redis, "execute_command", mortal)
        with contextlib.suppress(Killed):
            await change(services, instance, url)
        survived = left > 0
        monkeypatch.setattr(services.redis, "execute_command", real)
        assert await RedisChecker(services.redis, services.executor).problems() == []
        now = await again(services, instance)
        if now.target.url != url:  # it never happened, and what shows is still owed in time
            await services.presence.show(now, CHAT, PAUSED, 0)
        await removal.clean_up()
        await wake_due(services)
        assert await removal.clean_up() == 0
        for one in (phone, other_phone):
            assert one.states().count(TYPING) == one.states().count(PAUSED)
        if survived:
            return
    raise AssertionError


async def test_where_it_was_is_kept_as_long_as_a_request_under_way_may_promise(
    services: Services, other_phone: Phone, everywhere: AsyncRedis, pipeline: Pipeline, clock: VirtualClock
) -> None:
    instance = await made(services)
    removal = RedisRemoval(services.redis, services.executor, echo_s=10, hold_s=30, clock_us=clock.redis_us)
    services.moves._clock_us = clock.redis_us
    await moved(services, instance, other_phone.url)
    indicators = RedisIndicators(
        pipeline, lease_s=5.5, echo_s=10, patience_s=2, monotonic=clock.monotonic, clock_us=clock.redis_us
    )
    clock.tick(29_000)
    assert await removal.clean_up() == 1
    key, report = ChatKey(instance.chats_id, CHAT), Report("ok", RefreshPolicy(4.0, 5.0), 0, 0)
    grant = await indicators.promise(key, TYPING, 60_000, owner="o", ticket=None, trace="", refresh=report.refresh)
    assert isinstance(grant, Grant)
    await indicators.settle_command(grant, report, 60_000)
    clock.tick(2_000)
    assert await removal.clean_up() == 1
    (claim,) = await claim_due(indicators)
    assert claim.grant.op is PAUSED
    assert await services.directory.keeper(key.instance_id, await services.directory.latest_change()) == instance
    await indicators.settle_wake(claim.grant, report, retry_ms=None)
    assert await removal.clean_up() == 0
    assert not await everywhere.keys(keys.former("*"))
