"""No account takes the connections of all others, to one origin or altogether."""

import asyncio

import pytest

from gateway.upstreams.connection_shares import ConnectionShares


async def fill(shares: ConnectionShares, account: str, origin: str, most: int = 1000) -> int:
    for taken in range(most):
        try:
            await shares.take(account, origin, 0.001)
        except TimeoutError:
            return taken
    return most


async def test_an_account_gets_half_of_an_origins_connections_and_others_find_the_rest() -> None:
    shares = ConnectionShares(1024, 64)
    assert await fill(shares, "attacker", "hosted") == 32
    assert await fill(shares, "bystander", "hosted", 10) == 10


async def test_an_account_with_many_origins_gets_half_of_all_connections() -> None:
    shares = ConnectionShares(64, 64)
    assert sum([await fill(shares, "attacker", f"origin {number}", 1) for number in range(64)]) == 32
    assert await fill(shares, "bystander", "another", 10) == 10


async def test_one_is_waited_for_and_had_when_it_comes_free() -> None:
    shares = ConnectionShares(2, 2)
    await shares.take("a", "o", 1)
    waiting = asyncio.create_task(shares.take("a", "o", 5))
    await asyncio.sleep(0)
    shares.give_back("a", "o")
    await waiting
    with pytest.raises(TimeoutError):
        await shares.take("a", "o", 0.001)


async def test_nothing_is_left_of_what_was_waited_for_in_vain_or_given_back() -> None:
    shares = ConnectionShares(4, 2)
    assert await fill(shares, "a", "o") == 1
    assert await fill(shares, "a", "another") == 1
    assert await fill(shares, "a", "third") == 0
    assert set(shares._of_origin) == {"o", "another"}
    shares.give_back("a", "o")
    shares.give_back("a", "another")
    assert await fill(shares, "a", "third") == 1
    assert [slots.free for slots in (shares._all, *shares._of_origin.values())] == [3, 1]
    assert set(shares._of_origin) == {"third"}


async def test_no_cap_is_any_number() -> None:
    assert await fill(ConnectionShares(0, 0), "a", "o", 500) == 500
