"""The tidier: every second, deletions under way go one step on, and tokens past their grace time are cleared away."""

import asyncio

import structlog

from gateway.presence.errors import StoreUnavailable
from gateway.telemetry.metrics import REDIS_ERRORS
from gateway.tenants.changes import RedisTenancy
from gateway.tenants.removal import RedisRemoval

EVERY_S = 1.0

_log = structlog.get_logger()


async def tidy_for_ever(removal: RedisRemoval, tenancy: RedisTenancy) -> None:
    """Tidy until cancelled. Any number of workers may tidy at once: every step may be repeated."""
    while True:
        try:
            await removal.tidy()
            expired = await tenancy.expire_tokens()
        except StoreUnavailable:
            REDIS_ERRORS.inc()
        else:
            if expired:
                _log.info("tokens_expired", count=expired)
        await asyncio.sleep(EVERY_S)
