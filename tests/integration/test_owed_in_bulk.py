"""The benchmark's million owed pauses are what the gateway itself would have written."""

import time

import pytest
from comparison import owed
from redis.asyncio import Redis
from world import Tenant

from gateway.presence.model import Chat, State
from gateway.store import keys
from gateway.wiring import Services

pytestmark = pytest.mark.one_server("a benchmark's way to fill the socket of one server")

MODEL, FIRST = "5511600000000", "5511800000007"


async def kept_of(redis: Redis, phone: str) -> list[tuple[str, str, int]]:
    """Everything that Redis keeps under a phone's number: kinds and sizes, not values."""
    kept = []
    for key in sorted([key.decode() async for key in redis.scan_iter(f"*{phone}*")]):
        kind = (await redis.type(key)).decode()
        kept.append((key.split(phone)[0], kind, int(await redis.memory_usage(key) or 0)))
    return kept


async def test_a_pause_owed_in_bulk_is_kept_like_one_that_a_command_promised(
    services: Services, tenant: Tenant, redis: Redis
) -> None:
    owing = await owed.learn(services.settings, [tenant.instance.id])
    began_s = time.time()
    due = dict(owing.owe(7, 1203, lambda number: 60_000 + number))
    assert len(due) == 1203
    await services.presence.show(tenant.instance, Chat.parse(MODEL), State.TYPING, 60)
    await services.presence.drain()
    model = await kept_of(redis, MODEL)
    assert model
    for phone in (FIRST, "5511800001209"):
        bulk = await kept_of(redis, phone)
        assert [entry[:2] for entry in bulk] == [entry[:2] for entry in model]
        # The allocator rounds up, and not always alike.
        assert all(abs(one[2] - other[2]) <= 32 for one, other in zip(bulk, model, strict=True))
    assert began_s + 59 < due[FIRST] < time.time() + 61


async def test_learning_how_leaves_nothing_owed(services: Services, tenant: Tenant) -> None:
    await owed.learn(services.settings, [tenant.instance.id])
    assert not await services.indicators.in_use(range(keys.PARTITIONS))
