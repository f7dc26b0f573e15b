"""The sweeper: every second, whatever is overdue although nobody works on it is armed again."""

import asyncio
import time

import structlog
from redis.asyncio import Redis

from gateway.errors import StoreUnavailable
from gateway.metrics import OLDEST_OVERDUE, PAUSES_OWED, QUEUE_DUE, REDIS_ERRORS, SWEEPER_REARMED
from gateway.store import keys
from gateway.store.indicators import RedisIndicators
from gateway.store.redis import store_errors

EVERY_S = 1.0

_log = structlog.get_logger()


async def sweep_for_ever(indicators: RedisIndicators, redis: Redis) -> None:
    """Sweep until cancelled. Any number of workers may sweep at once: arming twice only outdates the first."""
    while True:
        try:
            armed = await indicators.sweep()
            await _measure(redis)
        except StoreUnavailable:
            REDIS_ERRORS.inc()
        else:
            SWEEPER_REARMED.inc(armed)
            if armed:
                _log.warning("swept", rearmed=armed)
        await asyncio.sleep(EVERY_S)


async def _measure(redis: Redis) -> None:
    async with store_errors(), redis.pipeline(transaction=False) as pipe:
        now_ms = time.time() * 1000
        pipe.zcard(keys.OWED)
        pipe.zrange(keys.OWED, 0, 0, withscores=True)
        pipe.zcount(keys.QUEUE, "-inf", now_ms)
        owed, oldest, due = await pipe.execute()
    PAUSES_OWED.set(owed)
    OLDEST_OVERDUE.set(max(0.0, (now_ms - oldest[0][1]) / 1000) if oldest else 0.0)
    QUEUE_DUE.set(due)
