"""What a restart of Valkey forgets, which logs no claim and no refresh that went well: only what puts a chat off."""

import os
import signal
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path

import pytest
from integration.chats import KEY, LEASE_MS, OTHER_TENANT, PAUSED, RECORDING, TYPING, Chats, chat
from valkeys import start_valkey
from world import VirtualClock

from gateway.presence.steps import Repeated, Report
from gateway.store.indicators import RedisIndicators
from gateway.store.redis import open_pipeline, open_redis

Life = Callable[[], AbstractAsyncContextManager[Chats]]


@pytest.fixture
def life(tmp_path: Path, clock: VirtualClock) -> Life:
    """One life of a Valkey that logs what it is told, and is killed at its end; its clock goes on."""

    @asynccontextmanager
    async def live() -> AsyncIterator[Chats]:
        with start_valkey(tmp_path) as valkey:
            async with (
                open_redis(valkey.url, connect_timeout_s=1, timeout_s=5, max_connections=8) as redis,
                open_pipeline(valkey.url, connect_timeout_s=1, timeout_s=5) as pipeline,
            ):
                indicators = RedisIndicators(
                    pipeline,
                    lease_s=LEASE_MS / 1000,
                    echo_s=10,
                    patience_s=2,
                    monotonic=clock.monotonic,
                    clock_us=clock.redis_us,
                )
                yield Chats(redis, clock, indicators)
                os.kill(valkey.pid, signal.SIGKILL)

    return live


async def test_a_pause_that_was_claimed_is_due_again_at_once(life: Life, clock: VirtualClock) -> None:
    async with life() as chats:
        await chats.command(TYPING, 5)
        clock.tick(5000)
        claim = await chats.claimed()
        assert await chats.next_wake_ms() == LEASE_MS
    async with life() as chats:
        assert await chats.next_wake_ms() == 0
        again = await chats.claimed()
        assert again.grant.op is PAUSED
        # Whoever held it finds its lease lost; what shows has been paused, and is so once more.
        assert (await chats.pause(claim)).lost_lease
        assert (await chats.pause(again)).late_ms == 0
        assert await chats.wakes() == {}


async def test_whoever_claimed_a_pause_settles_it_though_nobody_else_did(life: Life, clock: VirtualClock) -> None:
    async with life() as chats:
        await chats.command(TYPING, 5)
        clock.tick(5000)
        claim = await chats.claimed()
    async with life() as chats:
        assert (await chats.pause(claim)).lost_lease
        assert await chats.next_wake_ms() == 0, "the pause that is owed is told, if twice"
        assert (await chats.wake())[0] is PAUSED
        assert await chats.wakes() == {}


async def test_a_refresh_that_was_sent_is_sent_again_and_its_pause_is_where_it_was(
    life: Life, clock: VirtualClock
) -> None:
    async with life() as chats:
        await chats.command(TYPING, 9)
        await chats.wake()
        assert await chats.next_wake_ms() == 5000
    async with life() as chats:
        assert await chats.next_wake_ms() == 0
        assert (await chats.wake())[0] is TYPING
        assert await chats.next_wake_ms() == 5000
        assert (await chats.wake())[0] is PAUSED


async def test_a_refresh_that_was_under_way_holds_no_pause_back(life: Life, clock: VirtualClock) -> None:
    async with life() as chats:
        await chats.command(TYPING, 9)
        clock.tick(4000)
        await chats.claimed()
        clock.tick(5000)
        assert await chats.next_wake_ms() == LEASE_MS - 5000
    async with life() as chats:
        assert await chats.next_wake_ms() == -5000
        claim = await chats.claimed()
        assert (claim.grant.op, claim.overdue_ms) == (PAUSED, 0)


async def test_a_refresh_that_failed_is_known_to_have(life: Life, clock: VirtualClock) -> None:
    async with life() as chats:
        await chats.command(TYPING, 9)
        await chats.wake("unknown")
    async with life() as chats:
        assert (await chats.wake())[0] is PAUSED
        assert await chats.next_wake_ms() == 5000, "the echo of the refresh that may still come"


async def test_what_was_paused_stays_so(life: Life, clock: VirtualClock) -> None:
    async with life() as chats:
        for key in (KEY, OTHER_TENANT):
            await chats.command(TYPING, 5, key=key)
        clock.tick(5000)
        for claim in await chats.claim_due():
            await chats.pause(claim)
    async with life() as chats:
        assert await chats.wakes() == {}


async def test_a_pause_that_failed_is_tried_again_at_its_time_and_late_from_the_first(
    life: Life, clock: VirtualClock
) -> None:
    async with life() as chats:
        await chats.command(TYPING, 5)
        await chats.wake("failed", retry_ms=300)
    async with life() as chats:
        assert await chats.next_wake_ms() == 300
        clock.tick(300)
        claim = await chats.claimed()
        assert (claim.tries, claim.overdue_ms) == (1, 300)


async def test_a_command_upon_a_claim_that_was_forgotten_is_whole(life: Life, clock: VirtualClock) -> None:
    """Nothing that a command says may lean on what only the claim before it had said."""
    async with life() as chats:
        await chats.command(TYPING, 60)
        await chats.wake()
        clock.tick(1000)
        await chats.command(RECORDING, 60)
        await chats.wake()
        clock.tick(1000)
        assert isinstance(await chats.promise(RECORDING, 60), Repeated)
    async with life() as chats:
        told = []
        while await chats.next_wake_ms() is not None:
            told.append((await chats.wake())[0])
        assert told == [RECORDING] * (len(told) - 1) + [PAUSED]
        assert clock.ms == VirtualClock().ms + 4000 + 1000 + 4000 + 1000 + 60_000


async def test_a_lease_that_was_taken_over_is_known_to_have_been(life: Life, clock: VirtualClock) -> None:
    async with life() as chats:
        await chats.granted(TYPING, 3)  # by a gateway that died of it
        clock.tick(LEASE_MS + 3000)
        (claim,) = await chats.claim_due()
        assert (claim.grant.op, claim.overdue_ms) == (PAUSED, LEASE_MS)
    async with life() as chats:
        (claim,) = await chats.claim_due()
        assert (claim.grant.op, claim.overdue_ms) == (PAUSED, LEASE_MS)
        await chats.indicators.settle_wake(claim.grant, Report("ok", chats.refresh, 0, 0), retry_ms=300)
        assert await chats.next_wake_ms() == 10_000 - 3000, "its echo"


async def test_many_chats_come_back_as_they_were(life: Life, clock: VirtualClock) -> None:
    async with life() as chats:
        for number in range(60):
            await chats.command(TYPING, 1 + number % 7, key=chat(number, f"i{number % 9}"))
        clock.tick(1500)
        before = await chats.wakes()
        await chats.claim_due()
        assert await chats.wakes() != before
    async with life() as chats:
        assert await chats.wakes() == before
