"""The tidier: where tenants' data want it, deletions go one step on, and expired tokens are cleared away."""

import structlog

from gateway.tenants.changes import RedisTenancy
from gateway.tenants.removal import RedisRemoval

_log = structlog.get_logger()


async def tidy(removal: RedisRemoval, tenancy: RedisTenancy) -> None:
    """Go one step on. Any number of workers may tidy at once: every step may be repeated.

    Raises:
        StoreUnavailable: Redis did not answer; the next time does it.
    """
    await removal.clean_up()
    if expired := await tenancy.expire_tokens():
        _log.info("tokens_expired", count=expired)
