"""The record's scripts in virtual time on a real Valkey: every rule of design section 4 by itself."""

import asyncio
import os
import signal
from pathlib import Path

import pytest
from integration.chats import (
    KEY,
    LEASE_MS,
    LINGER_MS,
    OTHER_TENANT,
    PAUSED,
    RECORDING,
    TYPING,
    Chats,
    Result,
)
from valkeys import start_valkey
from world import VirtualClock

from gateway.presence.errors import StoreUnavailable
from gateway.presence.model import State
from gateway.presence.steps import Busy, Grant, NothingShows, Overtaken, RefreshPolicy, Repeated, Report, Settled
from gateway.store import keys
from gateway.store.indicators import RedisIndicators
from gateway.store.redis import open_pipeline, open_redis


async def test_a_promise_is_armed_before_the_upstream_is_told(chats: Chats) -> None:
    await chats.granted(TYPING, 5)
    assert await chats.next_wake_ms() == LEASE_MS + 5000


@pytest.mark.one_server("a cluster is not asked: it would be a question for each partition")
async def test_one_question_tells_that_no_partition_is_in_use(chats: Chats) -> None:
    every = set(range(keys.PARTITIONS))
    assert not await chats.indicators.in_use(every)
    await chats.promise(TYPING, 5)
    assert await chats.indicators.in_use(every) == every
    assert await chats.indicators.in_use({keys.partition(KEY.instance_id)}) == {keys.partition(KEY.instance_id)}
    assert not await chats.indicators.in_use({0, 1, 2} - {keys.partition(KEY.instance_id)})


async def test_a_partition_with_something_in_it_is_in_use(chats: Chats) -> None:
    await chats.promise(TYPING, 5)
    here = {keys.partition(KEY.instance_id)}
    assert await chats.indicators.in_use(here) == here


async def test_a_settled_indicator_is_paused_at_its_time_counted_from_the_answer(chats: Chats) -> None:
    grant = await chats.granted(TYPING, 5)
    chats.clock.tick(200)
    await chats.settle(grant, seconds=5, age_ms=50)
    assert await chats.next_wake_ms() == 4950
    op, settled = await chats.wake()
    assert (op, settled.late_ms) == (PAUSED, 0)
    assert await chats.wakes() == {}


async def test_a_long_indicator_is_refreshed_every_four_seconds_and_paused_once(chats: Chats) -> None:
    began = chats.clock.ms
    await chats.command(TYPING, 60)
    told = []
    while await chats.next_wake_ms() is not None:
        op, _ = await chats.wake()
        told.append((chats.clock.ms - began, op))
    assert told == [*((second * 1000, TYPING) for second in range(4, 57, 4)), (60_000, PAUSED)]


async def test_refreshes_that_are_due_within_a_tenth_of_a_second_are_sent_together_and_rather_early(
    chats: Chats,
) -> None:
    for moment, key in enumerate((KEY, OTHER_TENANT)):
        chats.clock.tick(20 + 40 * moment)
        await chats.command(TYPING, 60, key=key)
    assert await chats.wakes() == {KEY: 3920, OTHER_TENANT: 3920}


async def test_a_new_command_replaces_the_earlier_pause(chats: Chats) -> None:
    await chats.command(TYPING, 3)
    chats.clock.tick(1000)
    await chats.command(RECORDING, 5)
    chats.clock.tick(2000)
    assert await chats.claim() == 3000
    assert await chats.wake() == (PAUSED, Settled(lost_lease=False, late_ms=0))
    assert chats.clock.ms == VirtualClock().ms + 6000
    assert await chats.wakes() == {}


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
    assert await chats.redis.keys("pg:{??}:*") == []
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


async def test_a_pause_cancels_the_earlier_pause(chats: Chats) -> None:
    await chats.command(TYPING, 10)
    await chats.command(PAUSED)
    assert await chats.wakes() == {}
    chats.clock.tick(10_000)
    assert await chats.claim() is None


@pytest.mark.parametrize("op", [TYPING, RECORDING])
async def test_an_indicator_without_end_cancels_the_earlier_pause_and_is_forgotten(chats: Chats, op: State) -> None:
    await chats.command(TYPING, 10)
    await chats.command(op)
    chats.clock.tick(10_000)
    assert await chats.claim() == LINGER_MS - 10_000
    chats.clock.tick(LINGER_MS - 10_000)
    assert await chats.claim_due() == []
    assert await chats.wakes() == {}


async def test_another_tenants_same_number_is_another_chat(chats: Chats) -> None:
    await chats.command(TYPING, 10)
    await chats.command(TYPING, 20, key=OTHER_TENANT)
    await chats.command(PAUSED, key=OTHER_TENANT)
    assert await chats.wakes() == {KEY: 4000}


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
    assert len(await chats.wakes()) == 1


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
    assert not any(await chats.indicators.servers())
    with pytest.raises(StoreUnavailable):
        await chats.granted(TYPING, 5)
    await chats.redis.config_set("min-replicas-to-write", 0)
    assert all(await chats.indicators.servers())


@pytest.mark.parametrize("step_s", [3600, -3600])
async def test_a_redis_whose_clock_is_set_goes_on_promising(chats: Chats, step_s: int) -> None:
    await chats.command(TYPING, 5)
    chats.clock.redis_ahead_ms = step_s * 1000
    await chats.granted(PAUSED, key=OTHER_TENANT)


async def test_a_redis_that_is_always_too_late_is_unavailable(chats: Chats) -> None:
    chats.indicators._patience_us = -1
    with pytest.raises(StoreUnavailable):
        await chats.promise(TYPING, 5)
    assert await chats.wakes() == {}


@pytest.mark.parametrize("seconds", [5, 0])
async def test_a_rejected_command_owes_nothing(chats: Chats, seconds: int) -> None:
    await chats.command(TYPING, seconds, "failed")
    assert await chats.wakes() == {}


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
    assert await chats.wakes() == {}


async def test_a_pause_after_an_unknown_typing_is_echoed_too(chats: Chats) -> None:
    await chats.command(TYPING, 5, "unknown")
    chats.clock.tick(3000)
    await chats.command(PAUSED)
    assert await chats.next_wake_ms() == 7000


async def test_a_pause_of_unknown_outcome_comes_anyway(chats: Chats) -> None:
    await chats.command(PAUSED, result="unknown")
    assert await chats.next_wake_ms() == 0
    assert (await chats.wake())[0] is PAUSED
    assert await chats.wakes() == {}


async def test_a_gateway_that_died_before_settling_is_paused_and_echoed(chats: Chats) -> None:
    await chats.granted(TYPING, 5)
    assert (await chats.wake())[0] is PAUSED
    assert await chats.next_wake_ms() == LEASE_MS + 10_000 - (LEASE_MS + 5000)
    assert (await chats.wake())[0] is PAUSED
    assert await chats.wakes() == {}


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
    assert await chats.wakes() == {}


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
    assert await chats.claim() == 5000


async def test_a_call_that_outlived_its_lease_is_paused_where_nothing_should_show(chats: Chats) -> None:
    late = await chats.granted(TYPING, 5)
    chats.clock.tick(LEASE_MS)
    await chats.command(PAUSED)
    assert (await chats.wake())[0] is PAUSED  # the echo
    chats.clock.tick(20_000)
    assert (await chats.settle(late, seconds=5)).lost_lease
    assert (await chats.wake())[0] is PAUSED
    assert (await chats.wake())[0] is PAUSED
    assert await chats.wakes() == {}


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
    assert await chats.is_forgotten()


async def test_nothing_about_a_chat_outlives_its_indicator(chats: Chats) -> None:
    await chats.command(TYPING, 5)
    await chats.wake()
    await chats.command(TYPING, 0, key=OTHER_TENANT)
    records = {keys.record(key.instance_id, key.chat.jid).encode() for key in (KEY, OTHER_TENANT)}
    for key in records:
        assert 0 < await chats.redis.pttl(key) <= LINGER_MS
    assert await chats.is_forgotten()
    assert set(await chats.redis.keys("*")) == records


async def test_a_waiting_pause_never_expires_with_its_record(chats: Chats) -> None:
    await chats.command(TYPING, 0)
    await chats.command(RECORDING, 5)
    (record,) = await chats.redis.keys("pg:{??}:c:*")
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


async def test_on_an_upstream_that_blocks_no_telling_begins_before_the_last_has_ended(chats: Chats) -> None:
    chats.refresh = RefreshPolicy(4.1, 4.1, one_at_a_time=True)
    chats.clock.tick(37)
    await chats.command(TYPING, 60)
    assert await chats.next_wake_ms() == 4100
    await chats.wake()
    assert await chats.next_wake_ms() == 4100


async def test_an_untold_indicator_without_end_is_told_when_the_telling_under_way_has_ended(chats: Chats) -> None:
    chats.refresh = RefreshPolicy(4.1, 4.1, one_at_a_time=True)
    await chats.command(TYPING, 3)
    await chats.command(PAUSED)
    grant = await chats.granted(RECORDING)
    assert grant.sent_ms_ago == 0
    await chats.settle(grant, sent_ms_ago=None)
    assert await chats.next_wake_ms() == 4100
    assert (await chats.wake())[0] is RECORDING
    assert await chats.is_forgotten()


async def test_what_nobody_told_in_time_is_not_shown_when_the_phone_has_let_go_of_it(chats: Chats) -> None:
    chats.refresh = RefreshPolicy(4.1, 4.1, one_at_a_time=True)
    await chats.command(TYPING, 3)
    await chats.settle(await chats.granted(RECORDING), sent_ms_ago=None)
    chats.clock.tick(LINGER_MS)
    assert await chats.claim_due() == []
    assert await chats.wakes() == {}
    assert 0 < await chats.redis.pttl(keys.record(KEY.instance_id, KEY.chat.jid)) <= LINGER_MS


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
