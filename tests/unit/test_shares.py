"""Nobody may hold more of what is shared than is free."""

import asyncio

from gateway.presence.shares import Shares, Slots


def fill(shares: Shares, owner: str) -> int:
    taken = 0
    while shares.take(owner):
        taken += 1
    return taken


def test_one_alone_may_hold_half() -> None:
    assert fill(Shares(256), "greedy") == 128


def test_one_place_is_for_whoever_comes() -> None:
    assert fill(Shares(1), "anybody") == 1


def test_as_much_as_the_greediest_hold_is_free_once_places_have_come_and_gone() -> None:
    shares, greedy = Shares(256), ("one", "two", "three")
    for number in range(1000):
        for owner in greedy:
            fill(shares, owner)
        shares.give_back(greedy[number % 3])
    assert max(shares.held.values()) <= 256 / 4 + 1
    assert shares.free >= 256 / 4 - 1


def test_what_is_given_back_is_for_those_who_hold_little_first() -> None:
    shares = Shares(4)
    assert fill(shares, "greedy") == 2
    assert [shares.take("modest"), shares.take("greedy")] == [True, False]
    shares.give_back("modest")
    assert not shares.take("greedy")


def test_nothing_is_remembered_of_an_owner_who_holds_nothing() -> None:
    shares = Shares(1)
    assert [shares.take("guest"), shares.take("nobody")] == [True, False]
    shares.give_back("guest")
    assert (shares.free, dict(shares.held)) == (1, {})


async def test_who_waits_for_a_slot_gets_it_when_one_is_free_and_not_behind_another_owners_queue() -> None:
    slots, order = Slots(4), list[str]()

    async def work(owner: str) -> None:
        async with slots.slot(owner):
            order.append(owner)
            await asyncio.sleep(0)

    greedy = [asyncio.create_task(work("greedy")) for _ in range(20)]
    await asyncio.sleep(0)
    await asyncio.gather(work("bystander"), work("bystander"))
    assert order[:8].count("bystander") == 2, "it waited behind what somebody else has to do"
    await asyncio.gather(*greedy)
    assert (len(order), slots.free, dict(slots.held)) == (22, 4, {})


async def test_a_slot_that_was_granted_to_one_who_was_told_to_stop_is_free_again() -> None:
    slots = Slots(1)
    await slots.wait("first")
    waiting = asyncio.create_task(slots.wait("second"))
    await asyncio.sleep(0)
    slots.give_back("first")
    waiting.cancel()
    await asyncio.gather(waiting, return_exceptions=True)
    assert slots.free == 1


async def test_one_who_stopped_waiting_is_passed_over() -> None:
    slots = Slots(1)
    await slots.wait("first")
    gone, stays = (asyncio.create_task(slots.wait(owner)) for owner in ("gone", "stays"))
    await asyncio.sleep(0)
    gone.cancel()
    await asyncio.sleep(0)
    slots.give_back("first")
    await stays
    assert dict(slots.held) == {"stays": 1}
