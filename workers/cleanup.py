"""The tidier: every second, deletions go one step on, expired tokens are cleared away, and accounts are made quiet."""

import asyncio

import structlog

from gateway.presence.errors import StoreUnavailable
from gateway.presence.quiet import Quiet
from gateway.telemetry.metrics import REDIS_ERRORS
from gateway.tenants.changes import RedisTenancy
from gateway.tenants.removal import RedisRemoval

EVERY_S = 1.0

_log = structlog.get_logger()


async def clean_up_for_ever(removal: RedisRemoval, tenancy: RedisTenancy, quiet: Quiet) -> None:
    """Tidy until cancelled. Any number of workers may tidy at once: every step may be repeated."""
    while True:
        try:
            await removal.clean_up()
            expired = await tenancy.expire_tokens()
            quieted = await quiet.rest_due()
        except StoreUnavailable:
            REDIS_ERRORS.inc()
        else:
            if expired:
                _log.info("tokens_expired", count=expired)
            if quieted:
                _log.info("accounts_quiet", count=quieted)
        await asyncio.sleep(EVERY_S)
