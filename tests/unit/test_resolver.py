"""How names are looked up: once for all who ask, remembered for a moment, and never at another account's expense."""

import asyncio
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import pytest
from aiohttp.abc import AbstractResolver, ResolveResult
from world import VirtualClock, until

from gateway.upstreams.policy import AddressRefused, PublicResolver
from gateway.upstreams.resolver import FOUND_S, LOOK_UP_S, MISSING_S, NameUnresolved, SharedResolver, asking_account

SOON_S = 0.2
"""How long silence is waited for, where that is what a test is about."""


def address(of: str) -> ResolveResult:
    return ResolveResult(hostname="", host=of, port=0, family=socket.AF_INET, proto=0, flags=0)


class Names(AbstractResolver):
    """A source whose answers the test gives, or keeps back."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.addresses: list[str] = ["8.8.8.8"]
        self.fails: type[Exception] | None = None
        self.answers = asyncio.Event()
        self.answers.set()
        self.closed = False

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        self.asked.append(host)
        if host.startswith("silent"):
            await self.answers.wait()
        if self.fails:
            raise self.fails
        return [address(one) for one in self.addresses]

    async def close(self) -> None:
        self.closed = True


@asynccontextmanager
async def resolving(
    clock: VirtualClock | None = None, *, look_up_s: float = 60.0
) -> AsyncIterator[tuple[SharedResolver, Names]]:
    names = Names()
    monotonic: Callable[[], float] = (clock or VirtualClock()).monotonic
    resolver = SharedResolver(names, look_up_s=look_up_s, monotonic=monotonic)
    yield resolver, names
    await resolver.close()


async def hosts(resolver: AbstractResolver, name: str, account: str = "") -> list[str]:
    """What a name leads to, looked up for an account."""
    asking_account.set(account)
    return [found["host"] for found in await resolver.resolve(name, 80)]


async def unresolved(resolver: AbstractResolver, name: str, account: str = "") -> None:
    with pytest.raises(NameUnresolved):
        await hosts(resolver, name, account)


async def unresolved_at_once(resolver: AbstractResolver, name: str, account: str = "") -> None:
    """Nothing is waited for: one step of the task is enough."""
    asking = asyncio.create_task(unresolved(resolver, name, account))
    await asyncio.sleep(0)
    assert asking.done()
    await asking


def test_a_look_up_ends_before_the_limit_for_connecting() -> None:
    assert LOOK_UP_S < 2.0


async def test_many_who_want_one_name_at_once_cost_one_look_up() -> None:
    async with resolving() as (resolver, names):
        found = await asyncio.gather(*(hosts(resolver, name) for name in ["waha.example", "WAHA.example"] * 10))
        assert found == [["8.8.8.8"]] * 20
        assert names.asked == ["waha.example"]


async def test_addresses_carry_the_port_that_was_asked_for_and_take_turns() -> None:
    async with resolving() as (resolver, names):
        names.addresses = ["8.8.8.8", "9.9.9.9"]
        first, second = await resolver.resolve("waha.example", 80), await resolver.resolve("waha.example", 81)
        assert {found["port"] for found in first} == {80}
        assert {found["port"] for found in second} == {81}
        assert [found["host"] for found in first] == [found["host"] for found in reversed(second)]


async def test_addresses_are_looked_up_again_after_a_while(clock: VirtualClock) -> None:
    async with resolving(clock) as (resolver, names):
        await hosts(resolver, "waha.example")
        clock.tick(round(FOUND_S * 1000) - 1)
        await hosts(resolver, "waha.example")
        assert len(names.asked) == 1
        clock.tick(1)
        names.addresses = ["9.9.9.9"]
        assert await hosts(resolver, "waha.example") == ["9.9.9.9"]


@pytest.mark.parametrize("error", [OSError, UnicodeError, None])
async def test_a_name_that_does_not_resolve_is_not_asked_for_again_for_a_few_seconds(
    error: type[Exception] | None, clock: VirtualClock
) -> None:
    async with resolving(clock) as (resolver, names):
        names.fails, names.addresses = error, []
        await unresolved(resolver, "waha.example")
        await unresolved(resolver, "waha.example")
        assert len(names.asked) == 1
        clock.tick(round(MISSING_S * 1000))
        names.fails, names.addresses = None, ["8.8.8.8"]
        assert await hosts(resolver, "waha.example") == ["8.8.8.8"]


async def test_a_name_that_nobody_answers_for_costs_one_wait(clock: VirtualClock) -> None:
    async with resolving(clock, look_up_s=SOON_S) as (resolver, names):
        names.answers.clear()
        await asyncio.gather(*(unresolved(resolver, "silent.example") for _ in range(10)))
        await unresolved_at_once(resolver, "silent.example")
        assert len(names.asked) == 1


async def test_an_answer_that_comes_late_is_for_the_next_command() -> None:
    async with resolving(look_up_s=SOON_S) as (resolver, names):
        names.answers.clear()
        await unresolved(resolver, "silent.example")
        names.answers.set()
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        assert await hosts(resolver, "silent.example") == ["8.8.8.8"]
        assert len(names.asked) == 1


async def test_an_account_has_a_few_look_ups_under_way_and_another_has_its_own() -> None:
    async with resolving(look_up_s=SOON_S) as (resolver, names):
        names.answers.clear()
        await asyncio.gather(*(unresolved(resolver, f"silent{i}.example", "loud") for i in range(100)))
        assert len(names.asked) == 8
        # What was asked is still under way: it was given up on, and holds its place.
        await unresolved(resolver, "waha.example", "loud")
        assert await hosts(resolver, "waha.example", "quiet") == ["8.8.8.8"]
        assert len(names.asked) == 9


async def test_a_place_is_free_again_when_its_look_up_ends() -> None:
    async with resolving() as (resolver, names):
        names.answers.clear()
        full = [asyncio.create_task(hosts(resolver, f"silent{i}.example", "loud")) for i in range(8)]
        waiting = asyncio.create_task(hosts(resolver, "waha.example", "loud"))
        await until(lambda: len(names.asked) == 8, within_s=5)
        names.answers.set()
        assert await asyncio.gather(waiting, *full) == [["8.8.8.8"]] * 9


async def test_nobody_waits_in_the_queue_of_another_account() -> None:
    async with resolving() as (resolver, names):
        names.answers.clear()
        full = [asyncio.create_task(hosts(resolver, f"silent{i}.example", "loud")) for i in range(8)]
        queued = asyncio.create_task(hosts(resolver, "waha.example", "loud"))
        await until(lambda: len(names.asked) == 8, within_s=5)
        assert await hosts(resolver, "waha.example", "quiet") == ["8.8.8.8"]
        assert not queued.done()
        # The answer that the other account got is there for all.
        assert await hosts(resolver, "waha.example", "loud") == ["8.8.8.8"]
        names.answers.set()
        await asyncio.gather(queued, *full)
        assert names.asked.count("waha.example") == 1


async def test_the_process_has_a_bound_of_its_own() -> None:
    async with resolving(look_up_s=SOON_S) as (resolver, names):
        names.answers.clear()
        crowd = [asyncio.create_task(unresolved(resolver, f"silent{i}.example", f"account {i}")) for i in range(1024)]
        await until(lambda: len(names.asked) == 1024, within_s=5)
        await unresolved_at_once(resolver, "waha.example", "one more")
        assert len(names.asked) == 1024
        await asyncio.gather(*crowd)


async def test_a_caller_who_goes_away_takes_no_answer_from_others() -> None:
    async with resolving() as (resolver, names):
        names.answers.clear()
        first = asyncio.create_task(hosts(resolver, "silent.example"))
        second = asyncio.create_task(hosts(resolver, "silent.example"))
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        first.cancel()
        names.answers.set()
        assert await second == ["8.8.8.8"]


async def test_what_is_remembered_is_bounded() -> None:
    async with resolving() as (resolver, names):
        for i in range(4097):
            await hosts(resolver, f"{i}.example")
        await hosts(resolver, "4096.example")
        assert len(names.asked) == 4097
        await hosts(resolver, "0.example")
        assert len(names.asked) == 4098


async def test_closing_gives_up_what_is_under_way() -> None:
    async with resolving(look_up_s=SOON_S) as (resolver, names):
        names.answers.clear()
        await unresolved(resolver, "silent.example")
        waiting = asyncio.create_task(unresolved(resolver, "silent2.example"))
        await until(lambda: len(names.asked) == 2, within_s=5)
    assert names.closed
    await waiting


async def test_what_is_remembered_for_everybody_is_still_refused_to_tenants() -> None:
    async with resolving() as (resolver, names):
        names.addresses = ["10.0.0.1"]
        assert await hosts(resolver, "inside.example") == ["10.0.0.1"]
        with pytest.raises(AddressRefused):
            await hosts(PublicResolver(resolver), "inside.example")
        assert len(names.asked) == 1
