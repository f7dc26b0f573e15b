"""A worker's part played by hand: what is due is found, claimed and done."""

import asyncio
from collections.abc import Sequence

from gateway.presence.ports import Indicators
from gateway.presence.steps import ChatKey, Claim, Look
from gateway.presence.wakeups import WakeUpResult
from gateway.store import keys
from gateway.wiring import Services


async def look(indicators: Indicators, *, ahead_ms: int = 0) -> list[tuple[ChatKey, int]]:
    """What a worker that looks after every partition finds: each chat and when it wakes up, the first first."""
    looks = [indicators.look(number, ahead_ms=ahead_ms) for number in range(keys.PARTITIONS)]
    found: Sequence[Look] = await asyncio.gather(*looks)
    return sorted((one for look in found for one in look.due), key=lambda one: one[1])


async def claim_due(indicators: Indicators, *, owner: str = "w") -> list[Claim]:
    """Claim what a look finds due, in its order: one call for each partition."""
    by_partition: dict[int, list[ChatKey]] = {}
    due = [key for key, _ in await look(indicators)]
    for key in due:
        by_partition.setdefault(indicators.partition(key), []).append(key)
    claims = [claim for some in by_partition.values() for claim in await indicators.claim(some, owner=owner)]
    found = {claim.grant.key: claim for claim in claims if isinstance(claim, Claim)}
    return [found[key] for key in due if key in found]


async def wake_due(services: Services) -> list[WakeUpResult]:
    """Do everything that is due."""
    change = await services.directory.latest_change()
    return [await services.wakeups.perform(claim, change) for claim in await claim_due(services.indicators)]


async def wake_next(services: Services) -> WakeUpResult:
    """Wait for whatever wakes up next, and do it."""
    claim = await claim_next(services)
    return await services.wakeups.perform(claim, await services.directory.latest_change())


async def claim_next(services: Services) -> Claim:
    """Wait for whatever wakes up next, and claim it."""
    (key, in_ms), *_ = await look(services.indicators, ahead_ms=60_000)
    await asyncio.sleep(max(in_ms + 1, 0) / 1000)
    (claim,) = await services.indicators.claim([key], owner="w")
    assert isinstance(claim, Claim)
    return claim
