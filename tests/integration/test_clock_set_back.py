"""Redis' clock is set back: what was counted stays counted, and nobody waits longer than a minute for it."""

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from redis.asyncio import Redis
from world import VirtualClock

from gateway.presence.errors import RateLimited
from gateway.store import keys
from gateway.store.redis import command
from gateway.tenants.admission import RedisAdmission
from gateway.tenants.failed_keys import FailedKeyLimiter
from gateway.tenants.usage import RedisUsage
from gateway.tenants.views import TokenView

HOUR_MS = 3_600_000
LIMIT = 5
TOKEN = TokenView("t1", "", "", "account", "a", "", 0, None, None, "t")


@pytest.fixture(autouse=True)
async def token(everywhere: Redis) -> None:
    await forget_everything(everywhere)


async def forget_everything(everywhere: Redis) -> None:
    await everywhere.flushall()
    await command(everywhere, "HSET", keys.token("t"), "kind", "account", "account", "a")
    await command(everywhere, "HSET", keys.account("a"), "status", "active")


def door(redis: Redis, clock: VirtualClock, *, cap: int = 0) -> RedisAdmission:
    """A gateway that remembers no refusal."""
    return RedisAdmission(
        redis, per_minute=LIMIT, creation_per_minute=LIMIT, global_per_minute=cap, clock_us=clock.redis_us
    )


@pytest.mark.parametrize("cap", [0, LIMIT])
@pytest.mark.parametrize("back_ms", [1, 30_000, HOUR_MS])
async def test_a_spent_token_is_served_again_within_a_minute(
    redis: Redis, clock: VirtualClock, back_ms: int, cap: int
) -> None:
    for _ in range(LIMIT):
        assert not (await door(redis, clock, cap=cap).admit("t")).is_limited
        clock.tick(1000)

    clock.tick(-back_ms)

    refused = await door(redis, clock, cap=cap).admit("t")
    assert refused.is_limited
    assert refused.quota.reset_s * 1000 <= clock.ms + 61_000
    clock.ms = refused.quota.reset_s * 1000
    assert not (await door(redis, clock, cap=cap).admit("t")).is_limited


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(steps=st.lists(st.tuples(st.integers(0, 20_000), st.sampled_from([0, 0, 0, 500, 45_000, HOUR_MS])), max_size=60))
async def test_no_minute_that_really_passed_holds_more_than_the_limit(
    everywhere: Redis, redis: Redis, clock: VirtualClock, steps: list[tuple[int, int]]
) -> None:
    await forget_everything(everywhere)
    now_ms, admitted = 0, list[int]()
    for passed_ms, back_ms in steps:
        now_ms += passed_ms
        clock.tick(passed_ms - back_ms)
        if not (await door(redis, clock).admit("t")).is_limited:
            admitted.append(now_ms)
    for start in admitted:
        assert sum(start <= stamp <= start + 60_000 for stamp in admitted) <= LIMIT


async def test_what_is_told_of_a_tokens_minute_is_what_admission_counts(redis: Redis, clock: VirtualClock) -> None:
    await door(redis, clock).admit("t")
    clock.tick(-HOUR_MS)

    (usage,) = await RedisUsage(redis, clock_us=clock.redis_us).of([TOKEN])

    assert usage.used == 1
    assert usage.reset_s == clock.ms // 1000 + 60


async def test_an_address_that_guessed_may_guess_again_within_a_minute(redis: Redis, clock: VirtualClock) -> None:
    guesses = FailedKeyLimiter(redis, per_minute=1, clock_us=clock.redis_us)
    await guesses.count("6.6.6.6")
    clock.tick(-HOUR_MS)
    with pytest.raises(RateLimited):
        await guesses.count("6.6.6.6")
    clock.tick(60_001)
    await guesses.count("6.6.6.6")
