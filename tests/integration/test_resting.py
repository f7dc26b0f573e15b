"""Accounts that are made unavailable after their last indicator, on the real scripts."""

from collections.abc import Awaitable, Callable

import pytest
from redis.asyncio import Redis
from world import VirtualClock

from gateway.fast.pipeline import Pipeline
from gateway.presence.model import Chat, State
from gateway.presence.steps import Busy, ChatKey, Grant, RefreshPolicy, Report
from gateway.store import keys
from gateway.store.indicators import RedisIndicators
from gateway.store.redis import command
from gateway.store.resting import RedisRestingAccounts

QUIET = RefreshPolicy(4.0, 5.5, quiet_s=25.0)
ONE, TWO = (ChatKey("i1", Chat(f"551199999999{n}@s.whatsapp.net")) for n in (1, 2))

HOME = keys.partition("i1")

Send = Callable[..., Awaitable[None]]


@pytest.fixture
def indicators(pipeline: Pipeline, clock: VirtualClock) -> RedisIndicators:
    return RedisIndicators(
        pipeline, lease_s=5.5, echo_s=10, patience_s=2, monotonic=clock.monotonic, clock_us=clock.redis_us
    )


@pytest.fixture
async def resting(redis: Redis, pipeline: Pipeline, clock: VirtualClock) -> RedisRestingAccounts:
    await command(redis, "HSET", keys.instance("i1"), "version", "v1")
    return RedisRestingAccounts(pipeline, lease_s=5.5, clock_us=clock.redis_us)


@pytest.fixture
def send(indicators: RedisIndicators) -> Send:
    async def send(state: State, seconds: int = 0, *, key: ChatKey = ONE, refresh: RefreshPolicy = QUIET) -> None:
        grant = await indicators.promise(key, state, seconds * 1000, owner="o", ticket=None, trace="", refresh=refresh)
        assert isinstance(grant, Grant)
        await indicators.settle_command(grant, Report("ok", refresh, 0, 0), seconds * 1000)

    return send


async def test_an_account_rests_so_long_after_its_last_indicator_and_once(
    resting: RedisRestingAccounts, send: Send, clock: VirtualClock
) -> None:
    await send(State.TYPING, 60)
    clock.tick(3000)
    await send(State.PAUSED)
    clock.tick(24_999)
    assert await resting.due(HOME) == []
    clock.tick(1)
    assert await resting.due(HOME) == ["i1"]
    assert await resting.due(HOME) == []  # it is being told now
    await resting.rested("i1", done=True)
    clock.tick(60_000)
    assert await resting.due(HOME) == []


async def test_an_account_rests_though_redis_is_full(
    everywhere: Redis, resting: RedisRestingAccounts, send: Send, clock: VirtualClock
) -> None:
    await send(State.TYPING, 5)
    await send(State.PAUSED)
    clock.tick(25_000)
    await everywhere.config_set("maxmemory", 1)
    try:
        assert await resting.due(HOME) == ["i1"]
        await resting.rested("i1", done=True)
    finally:
        await everywhere.config_set("maxmemory", 0)


async def test_not_while_another_chat_shows_and_then_after_that_one(
    resting: RedisRestingAccounts, send: Send, clock: VirtualClock
) -> None:
    await send(State.TYPING, 60)
    await send(State.TYPING, 60, key=TWO)
    await send(State.PAUSED)
    clock.tick(25_000)
    assert await resting.due(HOME) == []
    await send(State.PAUSED, key=TWO)
    clock.tick(25_000)
    assert await resting.due(HOME) == ["i1"]


async def test_what_could_not_be_told_is_due_again_when_its_lease_has_ended(
    resting: RedisRestingAccounts, send: Send, clock: VirtualClock
) -> None:
    await send(State.TYPING, 5)
    await send(State.PAUSED)
    clock.tick(25_000)
    assert await resting.due(HOME)
    await resting.rested("i1", done=False)
    clock.tick(5500)
    assert await resting.due(HOME) == ["i1"]


async def test_an_indicator_waits_while_its_account_is_being_told(
    resting: RedisRestingAccounts, indicators: RedisIndicators, send: Send, clock: VirtualClock
) -> None:
    await send(State.TYPING, 5)
    await send(State.PAUSED)
    clock.tick(25_000)
    assert await resting.due(HOME)
    asked = {"owner": "n", "ticket": None, "trace": "", "refresh": QUIET}
    assert isinstance(await indicators.promise(TWO, State.TYPING, 5000, **asked), Busy)  # type: ignore[arg-type]
    await resting.rested("i1", done=True)
    assert isinstance(await indicators.promise(TWO, State.TYPING, 5000, **asked), Grant)  # type: ignore[arg-type]


async def test_where_it_is_off_nobody_is_told_and_a_bare_pause_tells_nobody_either(
    resting: RedisRestingAccounts, send: Send, clock: VirtualClock, everywhere: Redis
) -> None:
    await send(State.TYPING, 5, refresh=RefreshPolicy(4.0, 5.5))
    await send(State.PAUSED, refresh=RefreshPolicy(4.0, 5.5))
    await send(State.PAUSED, key=TWO)
    clock.tick(60_000)
    assert await resting.due(HOME) == []
    assert await everywhere.keys("pg:{??}:quiet*") == []


async def test_a_partition_where_an_account_is_to_rest_is_in_use_although_nothing_shows(
    indicators: RedisIndicators, send: Send
) -> None:
    await send(State.TYPING, 60)
    await send(State.PAUSED)
    assert await indicators.in_use({HOME}) == {HOME}
