"""The audit trail: nobody can push anybody's lines out of it, and no look at it walks more than it shows."""

from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from redis.asyncio import Redis as AsyncRedis
from world import Tenant, VirtualClock

from gateway.store import keys
from gateway.tenants.admission import RedisAdmission
from gateway.tenants.audit import CLI, OPERATOR, Entry
from gateway.tenants.backup import RedisBackup
from gateway.wiring import Services

Told = tuple[str, str, str]
Change = Callable[[Services], Awaitable[object]]


def told(entries: list[Entry]) -> list[Told]:
    return [(entry.actor, entry.action, entry.subject) for entry in entries]


async def rotate(services: Services, tenant: Tenant, times: int) -> None:
    for _ in range(times):
        await services.tenancy.rotate_instance_token(tenant.instance, by=tenant.instance.account_id)


async def test_a_tenant_pushes_only_its_own_lines_out(
    services: Services, tenant: Tenant, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gateway.tenants.audit.LINES_OF_OPERATOR", 100)
    monkeypatch.setattr("gateway.tenants.audit.LINES_OF_ACCOUNT", 100)
    other = await services.directory.create_account("other", by=OPERATOR)
    await services.directory.issue_token(other.id, by=other.id)
    await rotate(services, tenant, 500)
    every = told(await services.audit.entries(10_000))
    assert [line for line in every if line[0] in {CLI, OPERATOR}] == [
        (OPERATOR, "account.create", other.id),
        (CLI, "instance.create", tenant.instance.id),
        (CLI, "account.create", tenant.instance.account_id),
    ]
    assert len([line for line in every if line[0] == other.id]) == 1
    assert 100 <= len([line for line in every if line[0] == tenant.instance.account_id]) < 300


async def test_the_operator_sees_all_lines_in_their_order_each_once(services: Services, tenant: Tenant) -> None:
    account_id = tenant.instance.account_id
    for _ in range(3):
        await rotate(services, tenant, 2)
        await services.tenancy.set_limits(account_id, {"per_minute": 5}, by=OPERATOR)
    every = await services.audit.entries(1000)
    assert [entry.at_s for entry in every] == sorted((entry.at_s for entry in every), reverse=True)
    assert len(told(every)) == 2 + 3 * 3
    assert told(await services.audit.entries(4)) == told(every)[:4]
    assert sorted(told(await services.audit.entries(1000, account_id=account_id))) == sorted(told(every))
    assert await services.audit.entries(10, account_id="a000000000000") == []


async def test_a_look_at_ones_own_lines_reads_no_more_than_it_shows(
    services: Services, tenant: Tenant, redis: AsyncRedis, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = await services.directory.create_account("other")
    for _ in range(300):
        await services.tenancy.set_limits(other.id, {"per_minute": 5}, by=OPERATOR)
    read = 0
    real = redis.execute_command

    async def counted(*words: Any, **options: Any) -> Any:
        nonlocal read
        answer = await real(*words, **options)  # type: ignore[no-untyped-call]
        read += len(answer) if words[0] == "XREVRANGE" else 0
        return answer

    monkeypatch.setattr(services.audit._redis, "execute_command", counted)
    assert len(await services.audit.entries(5, account_id=tenant.instance.account_id)) == 2
    assert read <= 5


async def test_lines_of_an_older_version_are_still_the_operators_to_read(
    services: Services, tenant: Tenant, redis: AsyncRedis
) -> None:
    account_id = tenant.instance.account_id
    words = (
        "actor",
        account_id,
        "action",
        "instance.move",
        "subject",
        "i1",
        "account",
        account_id,
        "detail",
        "http://x",
    )
    await redis.execute_command("XADD", keys.AUDIT, "*", *words)  # type: ignore[no-untyped-call]
    assert (account_id, "instance.move", "i1") in told(await services.audit.entries(10))
    assert "http://x" not in [entry.detail for entry in await services.audit.entries(10, account_id=account_id)]


async def test_a_refusal_is_not_repeated_after_any_change_with_a_line_or_without(
    services: Services, tenant: Tenant, redis: AsyncRedis, clock: VirtualClock
) -> None:
    account_id = tenant.instance.account_id
    door = RedisAdmission(redis, per_minute=1, creation_per_minute=1, clock_us=clock.redis_us)
    token_hash = services.hasher(tenant.account_token)
    await door.admit(token_hash)
    backup = await RedisBackup(redis, services.hasher).lines()
    assert (await door.admit(token_hash)).is_limited
    assert (await door.admit(token_hash)).is_limited
    await services.tenancy.set_limits(account_id, {"per_minute": 2}, by=account_id)
    assert not (await door.admit(token_hash)).is_limited
    assert (await door.admit(token_hash)).is_limited
    # A backup's last line may be the very line that was the last before it was read back.
    await redis.execute_command("HSET", keys.account(account_id), "per_minute", "9")  # type: ignore[no-untyped-call]
    await RedisBackup(redis, services.hasher).restore(backup, force=True)
    await redis.delete(keys.window(token_hash, "global"))
    assert not (await door.admit(token_hash)).is_limited


async def test_a_change_is_never_numbered_as_an_earlier_one_was(
    services: Services, tenant: Tenant, redis: AsyncRedis
) -> None:
    await rotate(services, tenant, 1)
    before = await redis.get(keys.CHANGES)
    await redis.delete(keys.CHANGES)  # as a failover may lose it
    await rotate(services, tenant, 1)
    after = await redis.get(keys.CHANGES)
    assert before
    assert after
    assert int(after) > int(before)
