"""The record's scripts in virtual time on a real Valkey: every rule of design section 4 by itself."""

import asyncio
import os
import signal
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import pytest
from redis.asyncio import Redis
from world import VirtualClock

from gateway.fast.pipeline import Pipeline
from gateway.presence.errors import StoreUnavailable
from gateway.presence.model import Chat, State
from gateway.presence.ports import (
    Busy,
    ChatKey,
    Claim,
    Early,
    Grant,
    NothingShows,
    Overtaken,
    RefreshPolicy,
    Repeated,
    Report,
    Settled,
    Why,
)
from gateway.presence.shares import Shares
from gateway.process.embedded import start_valkey
from gateway.store import keys
from gateway.store.health import RedisHealth
from gateway.store.indicators import RedisIndicators
from gateway.store.redis import command, open_pipeline, open_redis

KEY = ChatKey("i1", Chat("5511999999999@s.whatsapp.net"))
OTHER_TENANT = ChatKey("i2", KEY.chat)
TYPING, RECORDING, PAUSED = State.TYPING, State.RECORDING, State.PAUSED
LEASE_MS = 5500

Result = Literal["ok", "failed", "unknown"]


@dataclass
class Chats:
    """Short words for the scripts, and a look at the queue as arq sees it."""

    redis: Redis
    clock: VirtualClock
    indicators: RedisIndicators
    owners: int = 0
    refresh: RefreshPolicy = field(default_factory=lambda: RefreshPolicy(4.0, 5.0))

    async def promise(
        self,
        op: State,
        seconds: float = 0,
        *,
        key: ChatKey = KEY,
        owner: str = "",
        ticket: str | None = None,
        why: Why = "",
    ) -> Grant | Busy | Overtaken | Repeated | NothingShows:
        self.owners += 1
        owner = owner or f"o{self.owners}"
        return await self.indicators.promise(
            key, op, round(seconds * 1000), owner=owner, ticket=ticket, trace="00-trace", refresh=self.refresh, why=why
        )

    async def granted(self, op: State, seconds: float = 0, *, key: ChatKey = KEY) -> Grant:
        grant = await self.promise(op, seconds, key=key)
        assert isinstance(grant, Grant)
        return grant

    async def settle(
        self, grant: Grant, result: Result = "ok", seconds: float = 0, age_ms: int = 0, sent_ms_ago: int | None = 0
    ) -> Settled:
        report = Report(result, self.refresh, age_ms, sent_ms_ago)
        return await self.indicators.settle_command(grant, report, round(seconds * 1000))

    async def command(self, op: State, seconds: float = 0, result: Result = "ok", *, key: ChatKey = KEY) -> None:
        await self.settle(await self.granted(op, seconds, key=key), result, seconds)

    async def queued(self) -> dict[str, int]:
        jobs: list[tuple[bytes, float]] = await self.redis.zrange(keys.QUEUE, 0, -1, withscores=True)
        return {job.decode(): round(score) - self.clock.ms for job, score in jobs}

    async def next_wake_ms(self) -> int | None:
        queued = await self.queued()
        assert len(queued) <= 1
        return next(iter(queued.values()), None)

    async def generation(self) -> str:
        (job,) = await self.queued()
        return job.rpartition(":")[2]

    async def claim(self, *, key: ChatKey = KEY, generation: str | None = None) -> Claim | Early | None:
        self.owners += 1
        generation = generation or await self.generation()
        return await self.indicators.claim_one(key, generation, owner=f"o{self.owners}")

    async def claim_due(self, most: int = 100, *, owner: str = "", shares: Shares | None = None) -> list[Claim]:
        self.owners += 1
        return await self.indicators.claim_due(most, owner=owner or f"o{self.owners}", shares=shares or Shares(10_000))

    async def pause(self, claim: Claim) -> Settled:
        return await self.indicators.settle_wake(claim.grant, Report("ok", self.refresh, 0, 0), retry_ms=300)

    async def wake(self, result: Result = "ok", retry_ms: int | None = 300) -> tuple[State, Settled]:
        """Let time pass until the next wake-up and do what it asks for."""
        wait = await self.next_wake_ms()
        assert wait is not None
        self.clock.tick(max(wait, 0))
        claim = await self.claim()
        assert isinstance(claim, Claim)
        settled = await self.indicators.settle_wake(claim.grant, Report(result, self.refresh, 0, 0), retry_ms=retry_ms)
        return claim.grant.op, settled

    async def owed(self) -> int:
        return int(await self.redis.zcard(keys.OWED))


@pytest.fixture
async def chats(redis: Redis, pipeline: Pipeline, clock: VirtualClock) -> Chats:
    indicators = RedisIndicators(
        pipeline, lease_s=LEASE_MS / 1000, echo_s=10, patience_s=2, monotonic=clock.monotonic, clock_us=clock.redis_us
    )
    return Chats(redis, clock, indicators)


async def test_a_promise_is_armed_before_the_upstream_is_told(chats: Chats) -> None:
    await chats.granted(TYPING, 5)
    assert await chats.next_wake_ms() == LEASE_MS + 5000


async def test_a_settled_indicator_is_paused_at_its_time_counted_from_the_answer(chats: Chats) -> None:
    grant = await chats.granted(TYPING, 5)
    chats.clock.tick(200)
    await chats.settle(grant, seconds=5, age_ms=50)
    assert await chats.next_wake_ms() == 4950
    op, settled = await chats.wake()
    assert (op, settled.late_ms) == (PAUSED, 0)
    assert await chats.queued() == {}
    assert await chats.owed() == 0


async def test_a_long_indicator_is_refreshed_every_four_seconds_and_paused_once(chats: Chats) -> None:
    began = chats.clock.ms
    await chats.command(TYPING, 60)
    told = []
    while await chats.next_wake_ms() is not None:
        op, _ = await chats.wake()
        told.append((chats.clock.ms - began, op))
    assert told == [*((second * 1000, TYPING) for second in range(4, 57, 4)), (60_000, PAUSED)]


async def test_a_new_command_replaces_the_earlier_pause(chats: Chats) -> None:
    await chats.command(TYPING, 3)
    first = await chats.generation()
    chats.clock.tick(1000)
    await chats.command(RECORDING, 5)
    assert await chats.claim(generation=first) is None
    assert await chats.wake() == (PAUSED, Settled(lost_lease=False, late_ms=0))
    assert chats.clock.ms == VirtualClock().ms + 6000
    assert await chats.queued() == {}


async def test_a_repeat_moves_the_end_and_takes_no_lease(chats: Chats) -> None:
    await chats.command(TYPING, 5)
    chats.clock.tick(2000)
    assert isinstance(await chats.promise(TYPING, 5), Repeated)
    assert await chats.next_wake_ms() == 2000  # its refresh: a phone would be dark before the end
    assert await chats.wake() == (TYPING, Settled(lost_lease=False, late_ms=None))
    assert await chats.wake() == (PAUSED, Settled(lost_lease=False, late_ms=0))
    assert chats.clock.ms == VirtualClock().ms + 7000


@pytest.mark.parametrize(
    ("op", "seconds", "after_ms"), [(RECORDING, 5, 2000), (TYPING, 2, 2000), (TYPING, 0, 2000), (TYPING, 10, 4000)]
)
async def test_another_state_an_earlier_end_and_what_was_sent_long_ago_is_no_repeat(
    chats: Chats, op: State, seconds: int, after_ms: int
) -> None:
    await chats.command(TYPING, 5)
    chats.clock.tick(after_ms)
    assert isinstance(await chats.promise(op, seconds), Grant)


@pytest.mark.parametrize("result", ["failed", "unknown"])
async def test_after_a_refresh_that_failed_a_repeat_is_sent(chats: Chats, result: Result) -> None:
    await chats.command(TYPING, 30)
    await chats.wake(result)
    assert isinstance(await chats.promise(TYPING, 60), Grant)
    assert isinstance(await chats.promise(TYPING, 60, key=OTHER_TENANT), Grant)


async def test_a_message_ends_what_shows_and_costs_one_look_where_nothing_does(chats: Chats) -> None:
    assert isinstance(await chats.promise(PAUSED, why="message"), NothingShows)
    assert await chats.redis.keys("pg:c:*") == []
    await chats.command(TYPING, 30)
    assert isinstance(await chats.promise(PAUSED, why="message", owner="m"), Grant)


async def test_a_message_ends_what_began_before_it_however_late_it_is_reported(chats: Chats) -> None:
    await chats.command(TYPING, 600)
    chats.clock.tick(300_000)
    assert isinstance(await chats.promise(PAUSED, why="message", ticket="-300000001"), Overtaken)
    assert isinstance(await chats.promise(PAUSED, why="message", ticket="-299000000"), Grant)


async def test_a_messages_pause_that_failed_is_due_at_once(chats: Chats) -> None:
    await chats.command(TYPING, 30)
    grant = await chats.promise(PAUSED, why="message")
    assert isinstance(grant, Grant)
    await chats.indicators.settle_command(grant, Report("failed", chats.refresh, 0, 0), 0, "message")
    assert await chats.next_wake_ms() == 0
    (claim,) = await chats.claim_due()
    assert (claim.grant.op, claim.why) == (PAUSED, "message")


@pytest.mark.parametrize(("op", "seconds"), [(PAUSED, 0), (TYPING, 0), (RECORDING, 0)])
async def test_a_pause_or_an_indicator_without_end_cancels_the_earlier_pause(
    chats: Chats, op: State, seconds: int
) -> None:
    await chats.command(TYPING, 10)
    first = await chats.generation()
    await chats.command(op, seconds)
    assert await chats.queued() == {}
    assert await chats.owed() == 0
    chats.clock.tick(10_000)
    assert await chats.claim(generation=first) is None


async def test_another_tenants_same_number_is_another_chat(chats: Chats) -> None:
    await chats.command(TYPING, 10)
    await chats.command(TYPING, 20, key=OTHER_TENANT)
    await chats.command(PAUSED, key=OTHER_TENANT)
    assert await chats.next_wake_ms() == 4000


async def test_one_call_at_a_time_and_the_others_wait_with_their_ticket(chats: Chats) -> None:
    grant = await chats.granted(TYPING, 5)
    chats.clock.tick(100)
    waiting = await chats.promise(PAUSED, owner="second")
    assert isinstance(waiting, Busy)
    assert waiting.lease_ms == LEASE_MS - 100
    await chats.settle(grant, seconds=5)
    assert isinstance(await chats.promise(PAUSED, owner="second", ticket=waiting.ticket), Grant)


async def test_the_last_that_arrived_wins_even_after_the_winner_has_gone(chats: Chats) -> None:
    grant = await chats.granted(TYPING, 5)
    older, newer = await chats.promise(RECORDING, 5, owner="b"), await chats.promise(PAUSED, owner="c")
    assert isinstance(older, Busy)
    assert isinstance(newer, Busy)
    await chats.settle(grant, seconds=5)
    winner = await chats.promise(PAUSED, owner="c", ticket=newer.ticket)
    assert isinstance(winner, Grant)
    await chats.settle(winner)
    chats.clock.tick(6000)
    assert isinstance(await chats.promise(RECORDING, 5, owner="b", ticket=older.ticket), Overtaken)


async def test_a_promise_whose_reply_was_lost_may_be_asked_for_again_by_its_owner(chats: Chats) -> None:
    await chats.promise(TYPING, 5, owner="me")
    assert isinstance(await chats.promise(TYPING, 5, owner="me"), Grant)
    assert len(await chats.queued()) == 1


async def test_a_promise_that_a_stopped_redis_runs_too_late_is_not_made(tmp_path: Path) -> None:
    """Its caller was told 503, and its gateway may be gone before it can take anything back."""
    with start_valkey(tmp_path, "--appendonly", "no") as valkey:
        async with open_pipeline(valkey.url, connect_timeout_s=1, timeout_s=0.3) as pipeline:
            indicators = RedisIndicators(pipeline, lease_s=5.5, echo_s=10, patience_s=0.3)
            await indicators.promise(
                OTHER_TENANT, TYPING, 0, owner="other", ticket=None, trace="", refresh=RefreshPolicy(4.0, 5.0)
            )
            os.kill(valkey.pid, signal.SIGSTOP)
            with pytest.raises(StoreUnavailable):
                await indicators.promise(
                    KEY, TYPING, 5000, owner="me", ticket=None, trace="", refresh=RefreshPolicy(4.0, 5.0)
                )
            # Its clock may have been read as late by as much as the answer took, on a machine that is busy.
            await asyncio.sleep(1.0)
            os.kill(valkey.pid, signal.SIGCONT)
        async with open_redis(valkey.url, connect_timeout_s=1, timeout_s=5, max_connections=4) as redis:
            asked = (await redis.info("commandstats"))["cmdstat_evalsha"]["calls"]
            assert asked > 1  # it read what its socket held
            assert not await redis.exists(keys.record(KEY.instance_id, KEY.chat.jid))


async def test_a_primary_that_is_cut_off_from_its_replicas_is_as_good_as_away(chats: Chats) -> None:
    await chats.redis.config_set("min-replicas-to-write", 1)
    with pytest.raises(StoreUnavailable):
        await chats.indicators.server()
    await chats.redis.config_set("min-replicas-to-write", 0)
    assert await chats.indicators.server()


@pytest.mark.parametrize("step_s", [3600, -3600])
async def test_a_redis_whose_clock_is_set_goes_on_promising(chats: Chats, step_s: int) -> None:
    await chats.command(TYPING, 5)
    chats.indicators._clock_us = lambda: chats.clock.redis_us() + step_s * 1_000_000
    await chats.granted(PAUSED, key=OTHER_TENANT)


async def test_a_redis_that_is_always_too_late_is_unavailable(chats: Chats) -> None:
    chats.indicators._patience_us = -1
    with pytest.raises(StoreUnavailable):
        await chats.promise(TYPING, 5)
    assert await chats.queued() == {}


@pytest.mark.parametrize("seconds", [5, 0])
async def test_a_rejected_command_owes_nothing(chats: Chats, seconds: int) -> None:
    await chats.command(TYPING, seconds, "failed")
    assert await chats.queued() == {}
    assert await chats.owed() == 0


async def test_a_rejected_refresh_keeps_the_older_pause(chats: Chats) -> None:
    await chats.command(TYPING, 5)
    chats.clock.tick(2000)
    await chats.command(RECORDING, 60, "failed")
    assert await chats.next_wake_ms() == 3000
    assert (await chats.wake())[0] is PAUSED


async def test_a_rejected_pause_keeps_the_older_pause(chats: Chats) -> None:
    await chats.command(TYPING, 5)
    await chats.command(PAUSED, result="failed")
    assert await chats.next_wake_ms() == 5000


@pytest.mark.parametrize("seconds", [5, 0])
async def test_an_unknown_outcome_is_paused_at_once_and_once_more_later(chats: Chats, seconds: int) -> None:
    await chats.command(TYPING, seconds, "unknown")
    assert await chats.next_wake_ms() == 0
    assert (await chats.wake())[0] is PAUSED
    assert await chats.next_wake_ms() == 10_000
    assert (await chats.wake())[0] is PAUSED
    assert await chats.queued() == {}


async def test_a_pause_after_an_unknown_typing_is_echoed_too(chats: Chats) -> None:
    await chats.command(TYPING, 5, "unknown")
    chats.clock.tick(3000)
    await chats.command(PAUSED)
    assert await chats.next_wake_ms() == 7000


async def test_a_pause_of_unknown_outcome_comes_anyway(chats: Chats) -> None:
    await chats.command(PAUSED, result="unknown")
    assert await chats.next_wake_ms() == 0
    assert (await chats.wake())[0] is PAUSED
    assert await chats.queued() == {}


async def test_a_gateway_that_died_before_settling_is_paused_and_echoed(chats: Chats) -> None:
    await chats.granted(TYPING, 5)
    assert (await chats.wake())[0] is PAUSED
    assert await chats.next_wake_ms() == LEASE_MS + 10_000 - (LEASE_MS + 5000)
    assert (await chats.wake())[0] is PAUSED
    assert await chats.queued() == {}


async def test_a_command_takes_over_a_dead_ones_lease_and_remembers_the_doubt(chats: Chats) -> None:
    await chats.granted(TYPING, 60)
    chats.clock.tick(LEASE_MS)
    await chats.command(PAUSED)
    assert await chats.next_wake_ms() == 10_000


async def test_a_failed_pause_is_tried_again_and_its_lateness_counts_from_its_time(chats: Chats) -> None:
    await chats.command(TYPING, 5)
    await chats.wake("failed", retry_ms=300)
    assert await chats.next_wake_ms() == 300
    await chats.wake("unknown", retry_ms=600)
    assert (await chats.wake())[1].late_ms == 900


async def test_a_pause_that_is_given_up_leaves_nothing_behind(chats: Chats) -> None:
    await chats.command(TYPING, 5)
    await chats.wake("failed", retry_ms=None)
    assert await chats.queued() == {}
    assert await chats.owed() == 0


async def test_a_refresh_of_unknown_outcome_gives_the_pause_an_echo(chats: Chats) -> None:
    await chats.command(TYPING, 7)
    assert (await chats.wake("unknown"))[0] is TYPING
    assert (await chats.wake())[0] is PAUSED
    assert await chats.next_wake_ms() == 7000


async def test_a_failed_refresh_is_tried_again_at_its_next_time(chats: Chats) -> None:
    await chats.command(TYPING, 20)
    await chats.wake("failed")
    assert await chats.next_wake_ms() == 4000


async def test_a_wake_up_before_its_time_is_told_how_long_to_wait(chats: Chats) -> None:
    await chats.command(TYPING, 5)
    assert await chats.claim() == Early(5000)


async def test_two_workers_never_work_on_one_wake_up(chats: Chats) -> None:
    await chats.command(TYPING, 5)
    chats.clock.tick(5000)
    generation = await chats.generation()
    assert isinstance(await chats.claim(generation=generation), Claim)
    assert await chats.claim(generation=generation) is None


async def test_a_call_that_outlived_its_lease_is_paused_where_nothing_should_show(chats: Chats) -> None:
    late = await chats.granted(TYPING, 5)
    chats.clock.tick(LEASE_MS)
    await chats.command(PAUSED)
    assert (await chats.wake())[0] is PAUSED  # the echo
    chats.clock.tick(20_000)
    assert (await chats.settle(late, seconds=5)).lost_lease
    assert (await chats.wake())[0] is PAUSED
    assert (await chats.wake())[0] is PAUSED
    assert await chats.queued() == {}


async def test_a_call_that_outlived_its_lease_does_not_end_a_newer_indicator(chats: Chats) -> None:
    late = await chats.granted(TYPING, 5)
    chats.clock.tick(LEASE_MS)
    await chats.command(RECORDING, 30)
    chats.clock.tick(1000)
    assert (await chats.settle(late, seconds=5)).lost_lease
    assert await chats.next_wake_ms() == 3000
    assert (await chats.wake())[0] is RECORDING


async def test_a_pause_that_outlived_its_lease_makes_the_newer_indicator_show_again(chats: Chats) -> None:
    late = await chats.granted(PAUSED)
    chats.clock.tick(LEASE_MS)
    await chats.command(TYPING, 30)
    chats.clock.tick(500)
    await chats.settle(late)
    assert await chats.next_wake_ms() == 0
    assert (await chats.wake())[0] is TYPING
    assert await chats.next_wake_ms() == 4000


async def test_the_same_happens_to_an_indicator_without_end(chats: Chats) -> None:
    late = await chats.granted(PAUSED)
    chats.clock.tick(LEASE_MS)
    await chats.command(RECORDING)
    await chats.settle(late)
    assert (await chats.wake())[0] is RECORDING
    assert await chats.queued() == {}


@pytest.mark.parametrize("loss", ["member", "blob", "started"])
async def test_the_sweeper_arms_again_whatever_the_queue_lost(chats: Chats, loss: str) -> None:
    await chats.command(TYPING, 5)
    (job,) = await chats.queued()
    if loss == "member":
        await chats.redis.zrem(keys.QUEUE, job)
    elif loss == "blob":
        await chats.redis.delete(f"arq:job:{job}")
    else:
        await chats.redis.set(f"arq:in-progress:{job}", "1")
    chats.clock.tick(6999)
    assert await chats.indicators.sweep() == 0
    chats.clock.tick(1)
    assert await chats.indicators.sweep() == 1
    (again,) = await chats.queued()
    assert again != job
    assert (await chats.wake())[0] is PAUSED


async def test_the_sweeper_leaves_a_backlog_and_a_call_under_way_alone(chats: Chats) -> None:
    await chats.command(TYPING, 5)
    chats.clock.tick(9000)
    assert await chats.indicators.sweep() == 0
    (job,) = await chats.queued()
    assert isinstance(await chats.claim(), Claim)
    await chats.redis.set(f"arq:in-progress:{job}", "1")
    assert await chats.indicators.sweep() == 0
    chats.clock.tick(LEASE_MS)
    assert await chats.indicators.sweep() == 1


async def test_a_worker_that_died_while_refreshing_leaves_the_pause_owed(chats: Chats) -> None:
    await chats.command(TYPING, 9)
    chats.clock.tick(4000)
    await chats.claim()
    (job,) = await chats.queued()
    await chats.redis.set(f"arq:in-progress:{job}", "1")
    chats.clock.tick(LEASE_MS)
    assert await chats.indicators.sweep() == 1
    assert (await chats.wake())[0] is PAUSED
    assert await chats.next_wake_ms() == 10_000


async def test_nothing_about_a_chat_outlives_its_indicator(chats: Chats) -> None:
    await chats.command(TYPING, 5)
    await chats.wake()
    await chats.command(TYPING, 0, key=OTHER_TENANT)
    assert await chats.redis.keys("arq:*") == []
    for key in await chats.redis.keys("pg:c:*"):
        assert 0 < await chats.redis.pttl(key) <= 30_000


async def test_a_waiting_pause_never_expires_with_its_record(chats: Chats) -> None:
    await chats.command(TYPING, 0)
    await chats.command(RECORDING, 5)
    (record,) = await chats.redis.keys("pg:c:*")
    assert await chats.redis.pttl(record) == -1


async def test_on_an_upstream_that_blocks_the_next_telling_begins_when_the_last_has_ended(chats: Chats) -> None:
    chats.refresh = RefreshPolicy(4.1, 4.1, one_at_a_time=True)
    grant = await chats.granted(TYPING, 60)
    chats.clock.tick(800)
    await chats.settle(grant, seconds=60, sent_ms_ago=800)
    assert await chats.next_wake_ms() == 3300
    again = await chats.granted(RECORDING, 30)
    assert again.sent_ms_ago == 800
    await chats.settle(again, seconds=30, sent_ms_ago=None)
    assert await chats.next_wake_ms() == 3300
    assert (await chats.wake())[0] is RECORDING


async def test_an_untold_indicator_without_end_is_told_when_the_telling_under_way_has_ended(chats: Chats) -> None:
    chats.refresh = RefreshPolicy(4.1, 4.1, one_at_a_time=True)
    await chats.command(TYPING, 3)
    await chats.command(PAUSED)
    grant = await chats.granted(RECORDING)
    assert grant.sent_ms_ago == 0
    await chats.settle(grant, sent_ms_ago=None)
    assert await chats.next_wake_ms() == 4100
    assert (await chats.wake())[0] is RECORDING
    assert await chats.queued() == {}


def chat(number: int) -> ChatKey:
    return ChatKey("i1", Chat(f"55119{number:08}@s.whatsapp.net"))


async def test_what_is_due_is_claimed_in_one_step_and_the_longest_due_first(chats: Chats) -> None:
    await command(chats.redis, "HSET", keys.instance("i1"), "version", "7")
    for number, seconds in enumerate((3, 1, 2, 60)):
        await chats.command(TYPING, seconds, key=chat(number))
    chats.clock.tick(3500)
    claims = await chats.claim_due()
    assert [claim.grant.key for claim in claims] == [chat(1), chat(2), chat(0)]
    assert [claim.overdue_ms for claim in claims] == [2500, 1500, 500]
    assert {(c.grant.op, c.tries, c.is_echo, c.trace, c.instance_version) for c in claims} == {
        (PAUSED, 0, False, "00-trace", "7")
    }
    assert [(await chats.pause(claim)).late_ms for claim in claims] == [2500, 1500, 500]
    assert len(await chats.queued()) == 1


async def test_no_more_are_claimed_than_were_asked_for(chats: Chats) -> None:
    for number in range(5):
        await chats.command(TYPING, 1, key=chat(number))
    chats.clock.tick(1000)
    assert [len(await chats.claim_due(2)) for _ in range(4)] == [2, 2, 1, 0]


async def greedy_and_bystander(chats: Chats, owed: int) -> None:
    """Two accounts: the first owes many pauses, the second owes the one that is due last."""
    await command(chats.redis, "HSET", keys.instance("i1"), "version", "7", "account", "greedy")
    await command(chats.redis, "HSET", keys.instance("i2"), "version", "7", "account", "bystander")
    for number in range(owed):
        await chats.command(TYPING, 1, key=chat(number))
    await chats.command(TYPING, 1.001, key=ChatKey("i2", chat(0).chat))
    chats.clock.tick(1001)


async def test_an_account_gets_no_more_than_its_share_and_hides_nothing_of_others(chats: Chats) -> None:
    await greedy_and_bystander(chats, owed=200)
    claims = await chats.claim_due(16, shares=Shares(16))
    assert Counter(claim.account_id for claim in claims) == {"greedy": 8, "bystander": 1}
    assert [claim.grant.key for claim in claims[:8]] == [chat(number) for number in range(8)]


async def test_where_more_is_due_than_is_asked_for_whoever_holds_least_comes_first(chats: Chats) -> None:
    await greedy_and_bystander(chats, owed=20)
    claims = await chats.claim_due(10)
    assert Counter(claim.account_id for claim in claims) == {"greedy": 9, "bystander": 1}
    assert [claim.grant.key for claim in claims if claim.account_id == "greedy"] == [chat(n) for n in range(9)]
    assert len(await chats.claim_due(100)) == 11


async def test_what_an_account_holds_already_counts(chats: Chats) -> None:
    await greedy_and_bystander(chats, owed=20)
    places = Shares(16)
    while places.take("greedy"):
        pass
    assert [claim.account_id for claim in await chats.claim_due(8, shares=places)] == ["bystander"]


async def test_what_waits_for_its_accounts_share_is_looked_at_again_in_its_order_and_still_overdue(
    chats: Chats,
) -> None:
    await greedy_and_bystander(chats, owed=40)
    await chats.claim_due(16, shares=Shares(16))
    assert await chats.claim_due(16, shares=Shares(16)) == []
    assert await chats.indicators.sweep() == 0
    chats.clock.tick(5000)
    assert await chats.indicators.sweep() == 0, "what waits in the queue is not lost"
    assert [claim.grant.key for claim in await chats.claim_due(100)] == [chat(number) for number in range(8, 40)]


async def test_a_batch_whose_reply_was_lost_is_got_back_whatever_the_share(chats: Chats) -> None:
    await greedy_and_bystander(chats, owed=8)
    lost = await chats.claim_due(16, owner="me", shares=Shares(16))
    full = Shares(1)
    full.hold("greedy")
    assert len(await chats.claim_due(16, owner="me", shares=full)) == len(lost) == 9


async def test_nothing_is_claimed_before_its_time(chats: Chats) -> None:
    await chats.command(TYPING, 5)
    chats.clock.tick(4999)
    assert await chats.claim_due() == []
    chats.clock.tick(1)
    assert len(await chats.claim_due()) == 1


async def test_a_refresh_is_claimed_as_one(chats: Chats) -> None:
    await chats.command(TYPING, 60)
    chats.clock.tick(4000)
    (claim,) = await chats.claim_due()
    assert (claim.grant.op, claim.overdue_ms) == (TYPING, 0)


async def test_what_one_worker_claimed_no_other_gets_before_the_lease_ends(chats: Chats) -> None:
    await chats.command(TYPING, 5)
    chats.clock.tick(5000)
    (claim,) = await chats.claim_due()
    assert await chats.queued() == {next(iter(await chats.queued())): LEASE_MS}
    assert await chats.claim_due() == []
    chats.clock.tick(LEASE_MS - 1)
    assert await chats.claim_due() == []
    assert await chats.indicators.sweep() == 0
    chats.clock.tick(1)
    (again,) = await chats.claim_due()
    assert again.grant.owner != claim.grant.owner
    assert (await chats.pause(claim)).lost_lease
    assert (await chats.pause(again)).late_ms == LEASE_MS


async def test_two_workers_at_once_never_claim_the_same(chats: Chats) -> None:
    for number in range(200):
        await chats.command(TYPING, 1, key=chat(number))
    chats.clock.tick(1000)
    batches = await asyncio.gather(*(chats.claim_due(30, owner=f"w{worker}") for worker in range(8)))
    claimed = [claim.grant.key for batch in batches for claim in batch]
    assert len(claimed) == len(set(claimed)) == 200


async def test_a_batch_whose_reply_was_lost_is_got_back_by_asking_again_under_the_same_name(chats: Chats) -> None:
    for number in range(3):
        await chats.command(TYPING, 1, key=chat(number))
    chats.clock.tick(1000)
    lost = await chats.claim_due(2, owner="me")
    chats.clock.tick(2000)
    again = await chats.claim_due(2, owner="me")
    assert [claim.grant.key for claim in again] == [claim.grant.key for claim in lost]
    assert len(await chats.claim_due(2, owner="other")) == 1
    chats.clock.tick(LEASE_MS - 1)
    assert await chats.claim_due() == []
    assert [(await chats.pause(claim)).lost_lease for claim in again] == [False, False]


async def test_outdated_and_strange_jobs_are_cleared_away(chats: Chats) -> None:
    await chats.command(TYPING, 5)
    (job,) = await chats.queued()
    place = job.rpartition(":")[0]
    for name in (f"{place}:1", "i1:5511777777777@s.whatsapp.net:99", "no job of ours", ":1", ""):
        await chats.redis.zadd(keys.QUEUE, {name: chats.clock.ms})
        await chats.redis.set(f"arq:job:{name}", "{}")
    assert await chats.claim_due(1) == []
    assert list(await chats.queued()) == [job]
    assert await chats.redis.keys("arq:job:*") == [f"arq:job:{job}".encode()]


async def test_a_chat_whose_upstream_is_being_called_is_looked_at_again_when_the_lease_ends(chats: Chats) -> None:
    await chats.command(TYPING, 5)
    chats.clock.tick(5000)
    assert isinstance(await chats.claim(), Claim)
    (job,) = await chats.queued()
    await chats.redis.zadd(keys.QUEUE, {job: chats.clock.ms})
    assert await chats.claim_due() == []
    assert await chats.queued() == {job: LEASE_MS}


async def test_a_job_that_arq_marked_as_started_and_whose_worker_died_is_claimed_at_its_time(chats: Chats) -> None:
    await chats.command(TYPING, 5)
    (job,) = await chats.queued()
    await chats.redis.set(f"arq:in-progress:{job}", "1")
    chats.clock.tick(5000)
    assert len(await chats.claim_due()) == 1


async def test_claimed_wake_ups_are_no_backlog(chats: Chats) -> None:
    health = RedisHealth(chats.redis, clock_us=chats.clock.redis_us)
    await chats.command(TYPING, 5)
    chats.clock.tick(5000)
    assert (await health.backlog()).due_jobs == 1
    await chats.claim_due()
    backlog = await health.backlog()
    assert (backlog.due_jobs, backlog.owed, backlog.oldest_overdue_s) == (0, 1, 0)
    chats.clock.tick(LEASE_MS)
    backlog = await health.backlog()
    assert (backlog.due_jobs, backlog.oldest_overdue_s) == (1, LEASE_MS / 1000)


async def test_a_claimed_wake_up_that_the_queue_lost_is_armed_again_when_its_worker_died(chats: Chats) -> None:
    await chats.command(TYPING, 5)
    chats.clock.tick(5000)
    await chats.claim_due()
    await chats.redis.delete(keys.QUEUE)
    chats.clock.tick(LEASE_MS - 1)
    assert await chats.indicators.sweep() == 0
    chats.clock.tick(1)
    assert await chats.indicators.sweep() == 1
    assert len(await chats.claim_due()) == 1


async def test_an_agent_that_repeats_itself_for_a_minute_costs_the_upstream_fifteen_calls_and_a_pause(
    chats: Chats,
) -> None:
    began, calls = chats.clock.ms, list[tuple[int, State]]()

    async def wake() -> None:
        calls.append(((await chats.wake())[0], chats.clock.ms - began)[::-1])

    for second in range(0, 60, 2):
        while (wait_ms := await chats.next_wake_ms()) is not None and chats.clock.ms + wait_ms < began + second * 1000:
            await wake()
        chats.clock.ms = began + second * 1000
        promised = await chats.promise(TYPING, 5)
        if isinstance(promised, Grant):
            calls.append((second * 1000, TYPING))
            await chats.settle(promised, seconds=5)
    while await chats.next_wake_ms() is not None:
        await wake()
    assert [state for at_ms, state in calls if at_ms < 60_000] == [TYPING] * 15
    # Its last words were at 58 s, for 5 s: they are held too.
    assert calls[15:] == [(60_000, TYPING), (63_000, PAUSED)]
