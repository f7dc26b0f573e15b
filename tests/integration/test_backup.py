"""All tenant data out of one Redis and into another, whole or not at all."""

import json

import pytest
from redis.asyncio import Redis as AsyncRedis
from world import Tenant

from gateway.presence.errors import BackupUnreadable, Conflict
from gateway.store import keys
from gateway.tenants.backup import RedisBackup
from gateway.tenants.checker import RedisChecker
from gateway.tenants.tokens import TokenHasher
from gateway.wiring import Services


@pytest.fixture
def backup(services: Services) -> RedisBackup:
    return RedisBackup(services.redis, services.hasher)


async def test_what_was_backed_up_works_after_it_was_restored(
    services: Services, tenant: Tenant, backup: RedisBackup, redis: AsyncRedis, everywhere: AsyncRedis
) -> None:
    await services.tenancy.rotate_instance_token(tenant.instance, grace_s=600)
    lines = await backup.lines()
    entries = await services.audit.entries(10)
    await everywhere.flushall()
    assert await backup.restore(lines) == len(lines) - 2
    for token in (tenant.account_token, tenant.instance_token):
        assert await services.directory.identify(services.hasher(token)) is not None
    assert await services.directory.find_instance(tenant.instance.account_id, "demo") == tenant.instance
    assert await services.audit.entries(10) == entries
    assert await RedisChecker(services.redis, services.executor).problems() == []
    assert sorted(await backup.lines()) == sorted(lines)


async def test_a_backup_holds_no_token(tenant: Tenant, backup: RedisBackup) -> None:
    text = "\n".join(await backup.lines())
    assert tenant.account_token not in text
    assert tenant.instance_token not in text


async def test_a_target_that_is_not_empty_is_left_alone_unless_forced(
    services: Services, tenant: Tenant, backup: RedisBackup
) -> None:
    lines = await backup.lines()
    await services.directory.create_account("newer")
    with pytest.raises(Conflict):
        await backup.restore(lines)
    assert len(await services.directory.accounts()) == 2
    await backup.restore(lines, force=True)
    assert [account.name for account in await services.directory.accounts()] == ["acme"]


@pytest.mark.parametrize("spoil", ["cut", "row", "format", "version", "foreign", "text", "list", "empty"])
async def test_what_is_no_whole_backup_changes_nothing(
    tenant: Tenant, backup: RedisBackup, everywhere: AsyncRedis, spoil: str
) -> None:
    lines = await backup.lines()
    head = json.loads(lines[0])
    spoilt = {
        "cut": lines[:-1],
        "row": lines[:2] + lines[3:],
        "format": [json.dumps(head | {"format": "x"}), *lines[1:]],
        "version": [json.dumps(head | {"version": 99}), *lines[1:]],
        "foreign": [lines[0], json.dumps({"key": "other", "type": "hash", "value": {}}), '{"end": 1}'],
        "text": ["hello"],
        "list": ["[]", "[]"],
        "empty": [],
    }[spoil]
    await everywhere.flushall()
    with pytest.raises(BackupUnreadable):
        await backup.restore(spoilt)
    assert await everywhere.keys("*") == []


async def test_a_backup_of_another_pepper_is_refused(tenant: Tenant, backup: RedisBackup, services: Services) -> None:
    with pytest.raises(BackupUnreadable):
        await RedisBackup(services.redis, TokenHasher(b"another")).restore(await backup.lines())


async def test_an_interrupted_restore_is_found_and_may_be_run_again(
    services: Services, tenant: Tenant, backup: RedisBackup, redis: AsyncRedis
) -> None:
    lines = await backup.lines()
    await redis.set(keys.RESTORING, "1")
    assert await RedisChecker(services.redis, services.executor).problems() != []
    await backup.restore(lines)
    assert await RedisChecker(services.redis, services.executor).problems() == []
