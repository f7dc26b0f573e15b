"""What every process says of the upstreams that fail: merged, and gone with the process."""

from redis.asyncio import Redis
from rig import until_true

from gateway.store import keys
from gateway.store.process_registry import ProcessRegistry
from gateway.store.troubles import RedisTroubles, Trouble


def trouble(instance: str, outcome: str, failed: int, since_s: float, last_s: float, **more: float | None) -> Trouble:
    return Trouble("a1", instance, "waha", "http://waha", "s", outcome, failed, since_s, last_s, **more)  # type: ignore[arg-type]


async def test_what_processes_say_of_one_instance_is_added_up(redis: Redis) -> None:
    board = RedisTroubles(redis)
    await board.say("gateway", [trouble("i1", "unknown", 2, 10, 20, ok_s=30)], lasts_s=60)
    await board.say("worker", [trouble("i1", "unavailable", 3, 15, 25), trouble("i2", "sealed", 1, 1, 1)], lasts_s=60)
    found = {one.instance_id: one for one in await board.all()}
    assert found["i1"] == trouble("i1", "unavailable", 5, 10, 25, ok_s=30)
    assert found["i2"].outcome == "sealed"


async def test_what_went_well_in_one_process_before_it_failed_in_another_is_failing(redis: Redis) -> None:
    board = RedisTroubles(redis)
    await board.say("gateway", [trouble("i1", "unknown", 1, 10, 10, ok_s=20)], lasts_s=60)
    await board.say("worker", [trouble("i1", "unknown", 1, 30, 30)], lasts_s=60)
    assert [one.ok_s for one in await board.all()] == [None]


async def test_what_is_said_again_replaces_it_and_nothing_takes_it_back(redis: Redis) -> None:
    board = RedisTroubles(redis)
    await board.say("gateway", [trouble("i1", "unknown", 2, 10, 20)], lasts_s=60)
    await board.say("gateway", [trouble("i2", "unknown", 1, 10, 20)], lasts_s=60)
    assert [one.instance_id for one in await board.all()] == ["i2"]
    await board.say("gateway", [], lasts_s=60)
    assert await board.all() == []


async def test_the_dead_say_nothing_and_are_forgotten(redis: Redis) -> None:
    board = RedisTroubles(redis)
    await board.say("dead", [trouble("i1", "unknown", 2, 10, 20)], lasts_s=-1)
    assert await board.all() == []
    assert await redis.hlen(keys.TROUBLES) == 0  # type: ignore[misc]


async def test_a_process_says_what_fails_while_it_runs_and_nothing_afterwards(redis: Redis) -> None:
    registry, board = ProcessRegistry(redis, lambda: [trouble("i1", "unknown", 2, 10, 20)]), RedisTroubles(redis)
    async with registry.listed("worker", "127.0.0.1", 1):
        await until_true(board.all, within_s=5, what="it said what fails")
    assert await board.all() == []
