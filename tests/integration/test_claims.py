"""How workers find what is due and take it, in virtual time on a real Valkey: look, claim, and whose lease it is."""

import asyncio
from collections import Counter

import pytest
from integration.chats import KEY, LEASE_MS, LINGER_MS, OTHER_TENANT, PAUSED, RECORDING, TYPING, Chats, chat
from world import VirtualClock

from gateway.fast.pipeline import Pipeline
from gateway.presence.model import Chat
from gateway.presence.steps import ChatKey, Claim, Grant
from gateway.store import keys
from gateway.store.health import RedisHealth


@pytest.fixture
def health(pipeline: Pipeline, clock: VirtualClock) -> RedisHealth:
    return RedisHealth(pipeline, clock_us=clock.redis_us)


async def test_what_is_due_is_claimed_in_one_step_and_says_what_it_is_for(chats: Chats) -> None:
    for number, seconds in enumerate((3, 1, 2, 60)):
        await chats.command(TYPING, seconds, key=chat(number))
    chats.clock.tick(3500)
    claims = await chats.claim_due()
    assert [claim.grant.key for claim in claims] == [chat(1), chat(2), chat(0)]
    assert [claim.overdue_ms for claim in claims] == [2500, 1500, 500]
    assert {(c.grant.op, c.tries, c.is_echo, c.trace) for c in claims} == {(PAUSED, 0, False, "00-trace")}
    assert [(await chats.pause(claim)).late_ms for claim in claims] == [2500, 1500, 500]
    assert await chats.wakes() == {chat(3): 500}


async def test_a_look_tells_what_wakes_up_within_the_next_while_and_changes_nothing(chats: Chats) -> None:
    await chats.command(TYPING, 3)
    await chats.command(TYPING, 1, key=OTHER_TENANT)
    chats.clock.tick(1500)
    assert await chats.look(ahead_ms=1499) == [(OTHER_TENANT, -500)]
    assert await chats.look(ahead_ms=1500) == [(OTHER_TENANT, -500), (KEY, 1500)]
    assert await chats.wakes() == {OTHER_TENANT: -500, KEY: 1500}


async def test_a_look_at_a_partition_tells_nothing_of_another(chats: Chats) -> None:
    await chats.command(TYPING, 1)
    found = [number for number in range(keys.PARTITIONS) if (await chats.indicators.look(number, ahead_ms=60_000)).due]
    assert found == [chats.indicators.partition(KEY)]


def neighbours(count: int) -> list[str]:
    """Instances whose chats are in one partition."""
    wanted = keys.partition("i1")
    return ["i1", *(name for n in range(2, 100_000) if keys.partition(name := f"i{n}") == wanted)][:count]


async def owe_side_by_side(chats: Chats, *owed: int) -> Counter[str]:
    """Let instances of one partition owe so many pauses each; what of each instance one look finds."""
    for instance_id, count in zip(neighbours(len(owed)), owed, strict=True):
        for number in range(count):
            await chats.command(TYPING, 1 + number / 1000, key=chat(number, instance_id))
    chats.clock.tick(2000)
    look = await chats.indicators.look(keys.partition("i1"), ahead_ms=0)
    return Counter(key.instance_id for key, _ in look.due)


async def test_instances_that_owe_much_have_equal_shares_of_a_look(
    chats: Chats, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gateway.store.indicators._LOOKED_AT", 90)
    assert list((await owe_side_by_side(chats, 40, 35, 31)).values()) == [30, 30, 30]


async def test_an_instance_that_owes_much_hides_no_other_and_gets_what_they_leave(
    chats: Chats, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gateway.store.indicators._LOOKED_AT", 90)
    assert list((await owe_side_by_side(chats, 100, 2, 1)).values()) == [87, 2, 1]


async def test_of_an_instance_the_longest_due_comes_first(chats: Chats, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gateway.store.indicators._LOOKED_AT", 20)
    for number in range(30):
        await chats.command(TYPING, 4 - number / 10, key=chat(number))
    look = await chats.indicators.look(keys.partition("i1"), ahead_ms=60_000)
    assert [key for key, _ in look.due] == [chat(number) for number in range(29, 9, -1)]


async def test_an_instance_has_a_share_worth_a_look_however_many_there_are(
    chats: Chats, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gateway.store.indicators._LOOKED_AT", 3)
    every = neighbours(4)
    for number in range(25):
        for instance_id in every:
            await chats.command(TYPING, 1, key=chat(number, instance_id))
    chats.clock.tick(1000)
    look = await chats.indicators.look(keys.partition("i1"), ahead_ms=0)
    assert {key.instance_id for key, _ in look.due} < set(every)
    assert len(look.due) == 3 * 20


async def test_nothing_is_claimed_before_its_time_and_it_is_told_when_that_is(chats: Chats) -> None:
    await chats.command(TYPING, 5)
    chats.clock.tick(4999)
    assert await chats.look() == []
    assert await chats.claim() == 1
    chats.clock.tick(1)
    assert len(await chats.claim_due()) == 1


async def test_a_refresh_is_claimed_as_one(chats: Chats) -> None:
    await chats.command(TYPING, 60)
    chats.clock.tick(4000)
    (claim,) = await chats.claim_due()
    assert (claim.grant.op, claim.overdue_ms) == (TYPING, 0)


async def test_a_claim_of_a_chat_that_owes_nothing_is_nothing_and_leaves_nothing(chats: Chats) -> None:
    assert await chats.claim() is None
    assert await chats.redis.keys("pg:{??}:*") == []


async def test_a_claim_looks_at_each_chat_by_itself(chats: Chats) -> None:
    await chats.command(TYPING, 1, key=chat(0))
    await chats.command(TYPING, 3, key=chat(1))
    await chats.command(TYPING, 1, key=chat(2))
    chats.clock.tick(1000)
    await chats.claimed(chat(2))
    claims = await chats.indicators.claim([chat(n) for n in range(4)], owner="me")
    assert [claim.grant.key if isinstance(claim, Claim) else claim for claim in claims] == [
        chat(0),
        2000,
        LEASE_MS,
        None,
    ]


async def test_while_a_command_is_under_way_its_chat_is_not_claimed(chats: Chats) -> None:
    await chats.command(TYPING, 1)
    chats.clock.tick(900)
    grant = await chats.granted(RECORDING, 1)
    chats.clock.tick(100)
    assert await chats.look(ahead_ms=1200) == []
    assert await chats.claim() == LEASE_MS - 100
    await chats.settle(grant, seconds=1)
    assert await chats.claim() == 1000


async def test_what_one_worker_claimed_no_other_gets_before_the_lease_ends(chats: Chats) -> None:
    await chats.command(TYPING, 5)
    chats.clock.tick(5000)
    (claim,) = await chats.claim_due()
    assert await chats.next_wake_ms() == LEASE_MS
    assert await chats.look() == []
    chats.clock.tick(LEASE_MS - 1)
    assert await chats.look(ahead_ms=1) == [(KEY, 1)]
    assert await chats.claim() == 1
    chats.clock.tick(1)
    (again,) = await chats.claim_due()
    assert again.grant.owner != claim.grant.owner
    assert (await chats.pause(claim)).lost_lease
    assert (await chats.pause(again)).late_ms == LEASE_MS


async def test_two_workers_at_once_never_claim_the_same(chats: Chats) -> None:
    for number in range(200):
        await chats.command(TYPING, 1, key=chat(number))
    chats.clock.tick(1000)
    batches = await asyncio.gather(*(chats.claim_due(owner=f"w{worker}") for worker in range(8)))
    claimed = [claim.grant.key for batch in batches for claim in batch]
    assert len(claimed) == len(set(claimed)) == 200


def timeless(claim: Claim) -> Claim:
    return claim._replace(grant=claim.grant._replace(deadline_s=0), overdue_ms=0)


async def test_a_batch_whose_reply_was_lost_is_got_back_by_asking_again_under_the_same_name(chats: Chats) -> None:
    for number in range(3):
        await chats.command(TYPING, 1, key=chat(number))
    chats.clock.tick(1000)
    some = [chat(0), chat(1)]
    lost = await chats.indicators.claim(some, owner="me")
    chats.clock.tick(2000)
    again = [claim for claim in await chats.indicators.claim(some, owner="me") if isinstance(claim, Claim)]
    assert [timeless(claim) for claim in again] == [timeless(claim) for claim in lost if isinstance(claim, Claim)]
    assert [claim.grant.key for claim in again] == some
    assert [claim.grant.key for claim in await chats.claim_due(owner="other")] == [chat(2)]
    chats.clock.tick(LEASE_MS - 1)
    assert await chats.claim(chat(0)) == 1
    assert [(await chats.pause(claim)).lost_lease for claim in again] == [False, False]


async def test_what_was_asked_for_again_is_held_for_a_whole_lease(chats: Chats) -> None:
    await chats.command(TYPING, 1)
    chats.clock.tick(1000)
    await chats.claim(owner="me")
    chats.clock.tick(LEASE_MS - 1)
    claim = await chats.claim(owner="me")
    assert isinstance(claim, Claim)
    assert claim.grant.deadline_s == chats.clock.monotonic() + LEASE_MS / 1000
    assert await chats.next_wake_ms() == LEASE_MS


async def test_a_worker_that_died_while_refreshing_leaves_the_pause_owed(chats: Chats) -> None:
    await chats.command(TYPING, 9)
    chats.clock.tick(4000)
    await chats.claimed()
    assert await chats.next_wake_ms() == LEASE_MS
    assert (await chats.wake())[0] is PAUSED
    assert await chats.next_wake_ms() == 10_000  # that refresh may still be on its way


async def test_a_pause_that_a_dead_worker_was_telling_counts_as_one_that_failed(
    chats: Chats, health: RedisHealth
) -> None:
    """Else it would be on time again with each worker that dies of it."""
    await chats.command(TYPING, 5)
    chats.clock.tick(5000)
    await chats.claimed()
    chats.clock.tick(LEASE_MS)
    (again,) = await chats.claim_due()
    assert (again.tries, again.overdue_ms) == (1, LEASE_MS)
    backlog = await health.backlog()
    assert (backlog.retrying, backlog.oldest_overdue_s) == (1, LEASE_MS / 1000)
    assert (await chats.pause(again)).late_ms == LEASE_MS
    assert (await health.backlog()).retrying == 0


async def test_claimed_wake_ups_are_no_backlog(chats: Chats, health: RedisHealth) -> None:
    await chats.command(TYPING, 5)
    chats.clock.tick(5000)
    assert (await health.backlog()).due_jobs == 1
    await chats.claim_due()
    backlog = await health.backlog()
    assert (backlog.due_jobs, backlog.owed, backlog.oldest_overdue_s) == (0, 1, 0)
    chats.clock.tick(LEASE_MS + 700)
    backlog = await health.backlog()
    assert (backlog.due_jobs, backlog.oldest_overdue_s) == (1, 0.7)


async def test_the_backlog_is_that_of_every_partition(chats: Chats, health: RedisHealth) -> None:
    for number in range(20):
        await chats.command(TYPING, 1, key=ChatKey(f"i{number}", Chat("5511999999999@s.whatsapp.net")))
    assert len({keys.partition(f"i{number}") for number in range(20)}) > 10
    chats.clock.tick(3000)
    await chats.command(TYPING, 60)
    backlog = await health.backlog()
    assert (backlog.owed, backlog.due_jobs, backlog.oldest_overdue_s) == (20, 19, 2.0)


async def test_a_claim_that_takes_the_lease_of_a_dead_gateway_knows_what_it_was_doing(chats: Chats) -> None:
    grant = await chats.promise(TYPING, 60)
    assert isinstance(grant, Grant)
    chats.clock.tick(LEASE_MS + 60_000)
    claim = await chats.claimed()
    assert (claim.grant.op, claim.overdue_ms, claim.tries) == (PAUSED, LEASE_MS, 0)


async def test_a_claimed_indicator_without_an_end_is_forgotten_as_late_as_any(chats: Chats) -> None:
    await chats.command(TYPING)
    chats.clock.tick(LINGER_MS - 1)
    assert await chats.claim() == 1
    chats.clock.tick(1)
    assert await chats.claim() is None
    assert await chats.wakes() == {}
