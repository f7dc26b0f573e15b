"""An upstream that is changed while a pause is owed: paused where it shows, and the new one hears nothing of it."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pytest
from cryptography.fernet import Fernet
from redis.asyncio import Redis as AsyncRedis
from world import Phone, VirtualClock, until

from gateway.fast.pipeline import Pipeline
from gateway.presence.model import Chat, Instance, State, Target
from gateway.presence.ports import ChatKey, Claim, Grant, Pace, Report
from gateway.presence.shares import Shares
from gateway.settings import Presence, Redis, Secrets, Settings, Upstream
from gateway.store import keys
from gateway.store.indicators import RedisIndicators
from gateway.store.redis import command
from gateway.tenants.checker import RedisChecker
from gateway.tenants.removal import RedisRemoval
from gateway.wiring import House, open_house
from workers.tidy import tidy_for_ever
from workers.watch import Watch
from workers.worker import create_worker, work

CHAT = Chat("5511999999999@s.whatsapp.net")
OTHER_CHAT = Chat("5511888888888@s.whatsapp.net")
TYPING, PAUSED = State.TYPING, State.PAUSED
KEY = Fernet.generate_key().decode()

Change = Callable[[House, Instance, str], Awaitable[None]]


def settings(redis_url: str, url: str, *, encryption_keys: str = KEY) -> Settings:
    return Settings(
        redis=Redis(url=redis_url),
        secrets=Secrets(pepper="p", encryption_keys=encryption_keys),
        upstream=Upstream(kind="sandbox", url=url, credential="service-key"),
        presence=Presence(give_up_s=30),
    )


@pytest.fixture
async def house(redis: AsyncRedis, redis_url: str, phone: Phone) -> AsyncIterator[House]:
    async with open_house(settings(redis_url, phone.url)) as house:
        yield house


@contextlib.asynccontextmanager
async def working(house: House) -> AsyncIterator[None]:
    """Run a real worker, with what tidies up beside it."""
    watch = Watch(asyncio.Event())
    worker = asyncio.create_task(work(create_worker(house.settings, house, watch), drain_s=2))
    tidier = asyncio.create_task(tidy_for_ever(house.removal, house.tenancy, house.quiet))
    try:
        yield
    finally:
        tidier.cancel()
        watch.stop.set()
        await worker


async def made(house: House, upstream: Target | None = None) -> Instance:
    account = await house.directory.create_account("acme")
    await house.directory.create_instance(account.id, "sales", upstream=upstream)
    return await house.directory.find_instance(account.id, "sales")


async def again(house: House, instance: Instance) -> Instance:
    return await house.directory.find_instance(instance.account_id, instance.name)


async def moved(house: House, instance: Instance, url: str) -> None:
    await house.moves.move_instance(instance.id, Target("sandbox", url, ""))


async def account_changed(house: House, instance: Instance, url: str) -> None:
    await house.moves.set_upstream(instance.account_id, Target("sandbox", url, "", "its-key"))


async def service_changed(house: House, instance: Instance, url: str) -> None:
    redis_url, encryption_keys = house.settings.redis.url, house.settings.secrets.encryption_keys
    async with open_house(settings(redis_url, url, encryption_keys=encryption_keys)) as restarted:
        assert await restarted.moves.settle() == 1


CHANGES = pytest.mark.parametrize("change", [moved, account_changed, service_changed])


@CHANGES
async def test_what_shows_is_paused_where_it_shows_and_the_new_place_hears_nothing(
    house: House, phone: Phone, other_phone: Phone, change: Change
) -> None:
    instance = await made(house)
    async with working(house):
        await house.presence.show(instance, CHAT, TYPING, 60)
        await change(house, instance, other_phone.url)
        await until(lambda: phone.states() == [TYPING, PAUSED], within_s=5)
        assert not await house.redis.zcard(keys.OWED)  # so that nothing more can come
    assert other_phone.told == []
    assert (await again(house, instance)).target.url == other_phone.url
    assert await RedisChecker(house.redis).problems() == []


@CHANGES
async def test_what_0_1_0_made_is_paused_where_it_shows_too(
    house: House, phone: Phone, other_phone: Phone, change: Change
) -> None:
    instance = await made(house)
    row = keys.instance(instance.id)
    if change is service_changed:
        # What it followed then, 0.1.0 wrote down nowhere: one start with the settings of that time does.
        assert await house.moves.settle() == 0
    else:
        new = ("kind", "url", "session", "credential", "trusted", "follows", "named", "uses")
        await command(house.redis, "HDEL", row, *new)
        instance = await again(house, instance)
        assert instance.target.session == "sales"
    async with working(house):
        await house.presence.show(instance, CHAT, TYPING, 60)
        await change(house, instance, other_phone.url)
        await until(lambda: phone.states() == [TYPING, PAUSED], within_s=5)
    assert other_phone.told == []


async def test_the_new_place_shows_its_own_and_no_pause_of_the_old_cuts_it_short(
    house: House, phone: Phone, other_phone: Phone
) -> None:
    instance = await made(house)
    async with working(house):
        await house.presence.show(instance, CHAT, TYPING, 60)
        phone.status = 503  # down while it is left
        await moved(house, instance, other_phone.url)
        await house.presence.show(await again(house, instance), CHAT, TYPING, 1)
        await until(lambda: other_phone.states() == [TYPING, PAUSED], within_s=5)
        assert phone.states() == [TYPING]
        phone.status = 200
        await until(lambda: phone.states() == [TYPING, PAUSED], within_s=10)
    assert other_phone.states() == [TYPING, PAUSED]


async def test_a_new_credential_for_the_same_session_moves_nothing(house: House, phone: Phone) -> None:
    instance = await made(house, Target("sandbox", phone.url, "s", "old"))
    await house.presence.show(instance, CHAT, TYPING, 1)
    await house.moves.move_instance(instance.id, Target("sandbox", phone.url, "s", "new"))
    now = await again(house, instance)
    assert (now.chats_id, now.target.credential) == (instance.chats_id, "new")
    assert phone.states() == [TYPING]
    async with working(house):
        await until(lambda: phone.states() == [TYPING, PAUSED], within_s=5)
    assert phone.told[1][0] - phone.told[0][0] >= 1


async def test_a_command_under_way_is_paused_where_it_was_sent(house: House, phone: Phone, other_phone: Phone) -> None:
    """Admitted before the move and promised after it, or sent before and settled after: the old place is told."""
    instance = await made(house)
    await moved(house, instance, other_phone.url)
    await house.presence.show(instance, CHAT, TYPING, 60)
    async with working(house):
        await until(lambda: phone.states() == [TYPING, PAUSED], within_s=5)
    assert other_phone.told == []


async def test_it_may_move_again_and_again_and_be_deleted(
    house: House, phone: Phone, other_phone: Phone, redis: AsyncRedis
) -> None:
    instance = await made(house)
    urls = [other_phone.url, phone.url, other_phone.url]
    removal = RedisRemoval(redis, echo_s=10, hold_s=0)
    for url in urls:
        await house.presence.show(await again(house, instance), CHAT, TYPING, 60)
        await moved(house, instance, url)
        assert await RedisChecker(redis).problems() == []
    last = await again(house, instance)
    assert last.chats_id == f"{instance.id}~3"
    await house.presence.show(last, OTHER_CHAT, TYPING, 60)
    await house.removal.delete_instance(last)
    async with working(house):
        await until(lambda: phone.states().count(PAUSED) == 2 == other_phone.states().count(PAUSED), within_s=5)
    assert await removal.tidy() == 0
    assert await redis.keys("pg:former:*") == await redis.keys("pg:session:*") == []
    assert await redis.keys("pg:instance:*") == []
    assert await RedisChecker(redis).problems() == []


async def test_many_that_follow_move_in_one_step_or_none(house: House, phone: Phone, other_phone: Phone) -> None:
    instance = await made(house)
    for number in range(30):
        await house.directory.create_instance(instance.account_id, f"n{number}")
    every = await house.directory.instances(instance.account_id)
    for one in every:
        await house.presence.show(one, CHAT, TYPING, 60)
    await account_changed(house, instance, other_phone.url)
    async with working(house):
        await until(lambda: phone.states().count(PAUSED) == 31, within_s=10)
    assert other_phone.told == []
    assert {one.target.url for one in await house.directory.instances(instance.account_id)} == {other_phone.url}
    assert await RedisChecker(house.redis).problems() == []


async def test_an_instance_made_while_the_accounts_upstream_changes_follows_the_new_one(
    house: House, other_phone: Phone, monkeypatch: pytest.MonkeyPatch
) -> None:
    instance = await made(house)
    real = house.directory._claim

    async def late(*words: Any) -> bool:
        monkeypatch.setattr(house.directory, "_claim", real)
        await account_changed(house, instance, other_phone.url)
        return await real(*words)

    monkeypatch.setattr(house.directory, "_claim", late)
    await house.directory.create_instance(instance.account_id, "new")
    assert (await house.directory.find_instance(instance.account_id, "new")).target.url == other_phone.url
    assert await RedisChecker(house.redis).problems() == []


async def test_without_an_encryption_key_the_services_credential_is_still_used(
    redis: AsyncRedis, redis_url: str, phone: Phone, other_phone: Phone
) -> None:
    async with open_house(settings(redis_url, phone.url, encryption_keys="")) as house:
        instance = await made(house)
        assert instance.target.credential == "service-key"
        assert await house.moves.settle() == 0
        await house.presence.show(instance, CHAT, TYPING, 60)
        await service_changed(house, instance, other_phone.url)
        async with working(house):
            await until(lambda: phone.states() == [TYPING, PAUSED], within_s=5)
        assert other_phone.told == []


class Killed(BaseException):
    """The process died here."""


@pytest.mark.parametrize("change", [moved, account_changed])
@pytest.mark.parametrize("after", [False, True])
async def test_a_move_that_dies_anywhere_leaves_nothing_on(
    house: House, phone: Phone, other_phone: Phone, change: Change, monkeypatch: pytest.MonkeyPatch, *, after: bool
) -> None:
    instance, removal = await made(house), RedisRemoval(house.redis, echo_s=10, hold_s=0)
    real = house.redis.execute_command
    for step in range(1, 30):
        before = await again(house, instance)
        await house.presence.show(before, CHAT, TYPING, 60)
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
        monkeypatch.setattr(house.redis, "execute_command", mortal)
        with contextlib.suppress(Killed):
            await change(house, instance, url)
        survived = left > 0
        monkeypatch.setattr(house.redis, "execute_command", real)
        assert await RedisChecker(house.redis).problems() == []
        now = await again(house, instance)
        if now.target.url != url:  # it never happened, and what shows is still owed in time
            await house.presence.show(now, CHAT, PAUSED, 0)
        await removal.tidy()
        for claim in await house.wakeups.take(10, Shares(10)):
            await house.wakeups.perform(claim)
        assert await removal.tidy() == 0
        for one in (phone, other_phone):
            assert one.states().count(TYPING) == one.states().count(PAUSED)
        if survived:
            return
    raise AssertionError


async def test_where_it_was_is_kept_as_long_as_a_request_under_way_may_promise(
    house: House, other_phone: Phone, redis: AsyncRedis, pipeline: Pipeline, clock: VirtualClock
) -> None:
    instance = await made(house)
    removal = RedisRemoval(redis, echo_s=10, hold_s=30, clock_us=clock.redis_us)
    house.moves._clock_us = clock.redis_us
    await moved(house, instance, other_phone.url)
    indicators = RedisIndicators(
        pipeline, lease_s=5.5, echo_s=10, patience_s=2, monotonic=clock.monotonic, clock_us=clock.redis_us
    )
    clock.tick(29_000)
    assert await removal.tidy() == 1
    key, report = ChatKey(instance.chats_id, CHAT), Report("ok", Pace(4.0, 5.0), 0, 0)
    grant = await indicators.promise(key, TYPING, 60_000, owner="o", ticket=None, trace="", pace=report.pace)
    assert isinstance(grant, Grant)
    await indicators.settle_command(grant, report, 60_000)
    clock.tick(2_000)
    assert await removal.tidy() == 1
    (claim,) = await indicators.take(10, owner="w", shares=Shares(10))
    assert isinstance(claim, Claim)
    assert claim.grant.op is PAUSED
    was = await house.directory.instance(key.instance_id, claim.instance_version)
    assert was == instance
    await indicators.settle_wake(claim.grant, report, retry_ms=None)
    assert await removal.tidy() == 0
    assert not await redis.keys("pg:former:*")
