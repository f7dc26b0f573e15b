"""The limiter and the directory's look-up in one script, in virtual time on a real Valkey (contract sections 2, 3)."""

import asyncio
from collections.abc import Awaitable, Callable

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from redis.asyncio import Redis
from world import VirtualClock

from gateway.presence.errors import InvalidToken, TooManyFailures
from gateway.presence.model import Target
from gateway.store import keys
from gateway.store.redis import command
from gateway.tenants.admission import RedisAdmission
from gateway.tenants.changes import RedisTenancy
from gateway.tenants.cipher import Cipher
from gateway.tenants.directory import Created, RedisDirectory
from gateway.tenants.tokens import TokenHasher

HASH = TokenHasher(b"pepper")


def admission_of(redis: Redis, clock: VirtualClock, **options: int) -> RedisAdmission:
    limits = {"per_minute": 100, "creation_per_minute": 20} | options
    return RedisAdmission(redis, clock_us=clock.redis_us, **limits)


@pytest.fixture
def directory(redis: Redis) -> RedisDirectory:
    return RedisDirectory(
        redis, HASH, Cipher([]), default_upstream=Target("sandbox", "http://phone", ""), instances_per_account=100
    )


async def test_exactly_the_limit_is_admitted_by_any_number_of_concurrent_callers(
    redis: Redis, clock: VirtualClock, directory: RedisDirectory
) -> None:
    token = HASH((await directory.create_account("acme")).token)
    doors = [admission_of(redis, clock) for _ in range(8)]
    answers = await asyncio.gather(*(door.admit(token) for door in doors for _ in range(25)))
    admitted = [answer for answer in answers if not answer.is_limited]
    assert len(admitted) == 100
    assert sorted(answer.quota.remaining for answer in admitted) == list(range(100))


async def test_who_waits_until_reset_gets_through_and_who_comes_before_does_not_push_it(
    redis: Redis, clock: VirtualClock, directory: RedisDirectory
) -> None:
    token = HASH((await directory.create_account("acme")).token)
    door = admission_of(redis, clock, per_minute=3)
    for _ in range(3):
        await door.admit(token)
        clock.tick(1000)
    refused = await door.admit(token)
    assert refused.is_limited
    assert refused.quota.remaining == 0
    clock.tick(30_000)
    again = await door.admit(token)
    assert again.is_limited
    assert again.quota.reset_s == refused.quota.reset_s
    clock.ms = again.quota.reset_s * 1000
    assert not (await door.admit(token)).is_limited


async def test_a_lowered_limit_names_a_reset_that_gets_through(
    redis: Redis, clock: VirtualClock, directory: RedisDirectory
) -> None:
    token = HASH((await directory.create_account("acme")).token)
    for _ in range(10):
        await admission_of(redis, clock, per_minute=10).admit(token)
        clock.tick(1000)
    lowered = admission_of(redis, clock, per_minute=4)
    refused = await lowered.admit(token)
    clock.ms = refused.quota.reset_s * 1000
    assert not (await lowered.admit(token)).is_limited


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(gaps=st.lists(st.integers(0, 20_000), min_size=1, max_size=80), limit=st.integers(1, 6))
async def test_no_minute_ever_holds_more_than_the_limit(
    everywhere: Redis, redis: Redis, clock: VirtualClock, gaps: list[int], limit: int
) -> None:
    await everywhere.flushall()
    await command(redis, "HSET", keys.token("t"), "kind", "account", "account", "a")
    await command(redis, "HSET", keys.account("a"), "status", "active")
    door = admission_of(redis, clock, per_minute=limit)
    admitted: list[int] = []
    for gap in gaps:
        clock.tick(gap)
        answer = await door.admit("t")
        fits = sum(clock.ms - stamp <= 60_000 for stamp in admitted) < limit
        assert answer.is_limited != fits
        if not answer.is_limited:
            admitted.append(clock.ms)
    for start in admitted:
        assert sum(start <= stamp <= start + 60_000 for stamp in admitted) <= limit


async def test_classes_of_limits_and_tokens_have_their_own_buckets(
    redis: Redis, clock: VirtualClock, directory: RedisDirectory
) -> None:
    first = await directory.create_account("acme")
    second = HASH((await directory.issue_token(first.id)).token)
    door = admission_of(redis, clock, per_minute=1, creation_per_minute=1)
    for token in (HASH(first.token), second):
        assert not (await door.admit(token)).is_limited
        assert not (await door.admit(token, limit_class="creation")).is_limited
        assert (await door.admit(token)).is_limited


async def test_an_account_may_have_a_limit_of_its_own(
    redis: Redis, clock: VirtualClock, directory: RedisDirectory
) -> None:
    token = HASH((await directory.create_account("acme", per_minute=7)).token)
    assert (await admission_of(redis, clock).admit(token)).quota.limit == 7


async def test_a_cap_over_all_tokens_holds_and_names_a_reset_that_gets_through(
    redis: Redis, clock: VirtualClock, directory: RedisDirectory
) -> None:
    tokens = [HASH((await directory.create_account(name)).token) for name in ("one", "two")]
    door = admission_of(redis, clock, global_per_minute=2)
    for token in tokens:
        assert not (await door.admit(token)).is_limited
        clock.tick(500)
    refused = await door.admit(tokens[0])
    assert refused.is_limited
    clock.ms = refused.quota.reset_s * 1000
    assert not (await door.admit(tokens[0])).is_limited


async def test_unknown_tokens_are_counted_by_address_and_valid_ones_are_not_stopped(
    redis: Redis, clock: VirtualClock, directory: RedisDirectory
) -> None:
    door = admission_of(redis, clock, failures_per_minute=3)
    for _ in range(3):
        with pytest.raises(InvalidToken):
            await door.admit("nobody", address="10.0.0.1")
    with pytest.raises(TooManyFailures):
        await door.admit("nobody", address="10.0.0.1")
    with pytest.raises(InvalidToken):
        await door.admit("nobody", address="10.0.0.2")
    valid = HASH((await directory.create_account("acme")).token)
    assert not (await door.admit(valid, address="10.0.0.1")).is_limited


async def test_a_revoked_token_is_unknown_with_the_next_request(
    redis: Redis, clock: VirtualClock, directory: RedisDirectory
) -> None:
    account = await directory.create_account("acme")
    issued = await directory.issue_token(account.id, name="bot")
    door = admission_of(redis, clock)
    await door.admit(HASH(issued.token))
    await directory.revoke_token(issued.id)
    with pytest.raises(InvalidToken):
        await door.admit(HASH(issued.token))
    await door.admit(HASH(account.token))


async def scripts_run(redis: Redis) -> int:
    return int((await redis.info("commandstats")).get("cmdstat_evalsha", {"calls": 0})["calls"])


async def test_a_spent_token_costs_one_look_for_all_that_ask_together(
    redis: Redis, clock: VirtualClock, directory: RedisDirectory
) -> None:
    token = HASH((await directory.create_account("acme")).token)
    door = admission_of(redis, clock, per_minute=1)
    await door.admit(token)
    first = await door.admit(token)
    scripts = await scripts_run(redis)
    looks = (await redis.info("commandstats")).get("cmdstat_get", {"calls": 0})["calls"]
    again = await asyncio.gather(*(door.admit(token) for _ in range(50)))
    assert again == [first] * 50
    assert await scripts_run(redis) == scripts
    assert (await redis.info("commandstats"))["cmdstat_get"]["calls"] == looks + 1


async def revoke(directory: RedisDirectory, tenancy: RedisTenancy, account: Created, issued: Created) -> None:
    await directory.revoke_token(issued.id)


async def suspend(directory: RedisDirectory, tenancy: RedisTenancy, account: Created, issued: Created) -> None:
    await tenancy.set_status(account.id, "suspended")


async def rotate(directory: RedisDirectory, tenancy: RedisTenancy, account: Created, issued: Created) -> None:
    await tenancy.rotate_token(await directory.token(issued.id))


Change = Callable[[RedisDirectory, RedisTenancy, Created, Created], Awaitable[None]]


@pytest.mark.parametrize("change", [revoke, suspend, rotate])
async def test_a_spent_token_that_is_taken_away_is_unknown_with_the_next_request(
    redis: Redis, clock: VirtualClock, directory: RedisDirectory, change: Change
) -> None:
    account = await directory.create_account("acme")
    issued = await directory.issue_token(account.id)
    door = admission_of(redis, clock, per_minute=1)
    for _ in range(3):
        await door.admit(HASH(issued.token))
    await change(directory, RedisTenancy(redis, directory.rows), account, issued)
    with pytest.raises(InvalidToken):
        await door.admit(HASH(issued.token))


async def test_a_limit_that_is_raised_is_felt_with_the_next_request(
    redis: Redis, clock: VirtualClock, directory: RedisDirectory
) -> None:
    account = await directory.create_account("acme", per_minute=1)
    door = admission_of(redis, clock)
    for _ in range(3):
        answer = await door.admit(HASH(account.token))
    assert answer.is_limited
    await RedisTenancy(redis, directory.rows).set_limits(account.id, {"per_minute": 5})
    assert not (await door.admit(HASH(account.token))).is_limited


async def test_a_spent_token_whose_grace_time_ends_is_unknown(
    redis: Redis, clock: VirtualClock, directory: RedisDirectory
) -> None:
    account = await directory.create_account("acme")
    issued = await directory.issue_token(account.id)
    door = admission_of(redis, clock, per_minute=1)
    tenancy = RedisTenancy(redis, directory.rows, clock_us=clock.redis_us)
    await tenancy.rotate_token(await directory.token(issued.id), grace_s=10)
    for _ in range(3):
        answer = await door.admit(HASH(issued.token))
    assert answer.is_limited
    clock.tick(10_001)
    with pytest.raises(InvalidToken):
        await door.admit(HASH(issued.token))


async def test_who_guesses_is_refused_from_memory_until_the_minute_is_over_or_the_token_exists(
    redis: Redis, clock: VirtualClock, directory: RedisDirectory
) -> None:
    door = admission_of(redis, clock, failures_per_minute=2)
    for _ in range(2):
        with pytest.raises(InvalidToken):
            await door.admit(HASH("mine"), address="10.0.0.1")
    with pytest.raises(TooManyFailures):
        await door.admit(HASH("mine"), address="10.0.0.1")
    scripts = await scripts_run(redis)
    with pytest.raises(TooManyFailures):
        await door.admit(HASH("mine"), address="10.0.0.1")
    assert await scripts_run(redis) == scripts
    account = await directory.create_account("acme")
    await directory.create_instance(account.id, "demo", token="mine")
    assert not (await door.admit(HASH("mine"), address="10.0.0.1")).is_limited
    clock.tick(61_000)
    with pytest.raises(InvalidToken):
        await door.admit(HASH("another"), address="10.0.0.1")


async def test_the_instance_is_found_by_its_name_within_the_callers_account_only(
    redis: Redis, clock: VirtualClock, directory: RedisDirectory
) -> None:
    mine, other = await directory.create_account("mine"), await directory.create_account("other")
    created = await directory.create_instance(mine.id, "demo")
    door = admission_of(redis, clock)

    async def instance_for(token: str) -> str:
        return (await door.admit(HASH(token), instance_name="demo")).instance_id

    assert await instance_for(mine.token) == created.id
    assert await instance_for(created.token) == created.id
    assert await instance_for(other.token) == ""


async def test_nothing_in_redis_is_a_token_or_a_credential_in_clear(everywhere: Redis, redis: Redis) -> None:
    from cryptography.fernet import Fernet

    directory = RedisDirectory(
        redis,
        HASH,
        Cipher([Fernet.generate_key().decode()]),
        default_upstream=Target("", "", ""),
        instances_per_account=100,
    )
    account = await directory.create_account("acme")
    upstream = Target("sandbox", "http://phone", "s", "the-upstream-credential")
    instance = await directory.create_instance(account.id, "demo", upstream=upstream, token="a-token-of-my-own")
    dump = b"".join([key + (await everywhere.dump(key) or b"") for key in await everywhere.keys("*")])
    for secret in (account.token, instance.token, "the-upstream-credential"):
        assert secret.encode() not in dump
    assert (await directory.find_instance(account.id, "demo")).target == upstream


async def test_an_accounts_tokens_share_one_minute_where_the_operator_says_so(
    redis: Redis, clock: VirtualClock, directory: RedisDirectory
) -> None:
    account = await directory.create_account("acme")
    held = [HASH(account.token), *[HASH((await directory.issue_token(account.id)).token) for _ in range(3)]]
    other = HASH((await directory.create_account("other")).token)
    doors = [admission_of(redis, clock, per_minute=8, account_per_minute=12) for _ in range(3)]
    answers = await asyncio.gather(*(door.admit(token) for door in doors for token in held for _ in range(8)))
    admitted = [answer for answer in answers if not answer.is_limited]
    assert len(admitted) == 12
    assert {answer.quota.limit for answer in answers} == {8}
    assert min(answer.quota.remaining for answer in admitted) == 0
    assert all(answer.quota.remaining == 0 for answer in answers if answer.is_limited)
    assert not (await doors[0].admit(other)).is_limited
    assert not (await doors[0].admit(held[0], limit_class="creation")).is_limited


async def test_who_used_the_last_of_the_accounts_minute_waits_until_reset_and_gets_through(
    redis: Redis, clock: VirtualClock, directory: RedisDirectory
) -> None:
    account = await directory.create_account("acme", account_per_minute=2)
    first, second = HASH(account.token), HASH((await directory.issue_token(account.id)).token)
    door = admission_of(redis, clock)
    await door.admit(first)
    clock.tick(5_000)
    last = await door.admit(second)
    assert last.quota.remaining == 0
    refused = await door.admit(first)
    assert refused.is_limited
    assert refused.quota.reset_s == last.quota.reset_s == clock.ms // 1000 + 56
    clock.ms = last.quota.reset_s * 1000
    assert not (await door.admit(second)).is_limited
    assert (await door.admit(first)).is_limited


async def test_of_the_limit_over_everybody_nobody_is_told_what_is_left(
    redis: Redis, clock: VirtualClock, directory: RedisDirectory
) -> None:
    held = [HASH((await directory.create_account(name)).token) for name in ("acme", "other")]
    door = admission_of(redis, clock, global_per_minute=2)
    assert [(await door.admit(token)).quota.remaining for token in held] == [99, 99]
    assert (await door.admit(held[0])).is_limited
