"""The sweeper: every second, whatever is overdue although nobody works on it is armed again."""

import asyncio

import structlog

from gateway.presence.errors import StoreUnavailable
from gateway.store.indicators import RedisIndicators
from gateway.telemetry.metrics import SWEEPER_REARMED

EVERY_S = 1.0

_log = structlog.get_logger()


async def sweep_for_ever(indicators: RedisIndicators) -> None:
    """Sweep until cancelled. Any number of workers may sweep at once: arming twice only outdates the first."""
    while True:
        try:
            armed = await indicators.sweep()
        except StoreUnavailable:
            armed = 0  # counted where it failed; the next round comes
        SWEEPER_REARMED.inc(armed)
        if armed:
            _log.warning("swept", rearmed=armed)
        await asyncio.sleep(EVERY_S)
