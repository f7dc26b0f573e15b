"""The benchmark's hundred thousand tenants are what the gateway itself would have made."""

from collections.abc import AsyncIterator

import pytest
from comparison import tenants
from cryptography.fernet import Fernet
from redis.asyncio import Redis
from world import Phone

from gateway.settings import Redis as RedisSettings
from gateway.settings import Secrets, Settings
from gateway.store import keys
from gateway.store.redis import command
from gateway.tenants.checker import RedisChecker
from gateway.wiring import Services, open_services

pytestmark = pytest.mark.one_server("a benchmark's way to fill the socket of one server")

MADE = 503


@pytest.fixture
async def services(redis: Redis, redis_url: str) -> AsyncIterator[Services]:
    secrets = Secrets(encryption_keys=Fernet.generate_key().decode())
    async with open_services(Settings(redis=RedisSettings(url=redis_url), secrets=secrets)) as services:
        yield services


async def test_a_tenant_made_in_bulk_is_whole_and_let_in(services: Services, phone: Phone, redis: Redis) -> None:
    making = await tenants.learn(services.settings, phone.url)
    made = making.make(MADE)
    assert await RedisChecker(services.redis, services.executor).problems() == []
    for one in (made[0], made[-1]):
        admission = await services.admission.admit(services.hasher(one.token), instance_name=one.name)
        assert not admission.is_limited
        assert admission.principal.instance_id == admission.instance_id
        instance = await services.directory.instance(admission.instance_id, admission.instance_version)
        assert instance is not None
        assert (instance.name, instance.target.url) == (one.name, phone.url)
    assert await command(redis, "HLEN", keys.ACCOUNTS) == MADE + 2


async def test_requests_counted_in_bulk_are_in_the_tokens_window(
    services: Services, phone: Phone, redis: Redis
) -> None:
    making = await tenants.learn(services.settings, phone.url)
    made = making.make(3)
    making.spend(made[:2], 100)
    assert [await command(redis, "LLEN", keys.window(one.token_hash, "global")) for one in made] == [100, 100, 0]
