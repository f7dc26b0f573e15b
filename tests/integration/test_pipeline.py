"""Concurrent commands share packets, and nobody pays for what befalls another."""

import asyncio
import os
import signal
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from redis import Redis as SyncRedis
from redis.asyncio import Redis
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import NoScriptError, ResponseError
from valkeys import Running, start_valkey

from gateway.fast.pipeline import Pipeline
from gateway.store.redis import open_pipeline, open_plain

pytestmark = pytest.mark.one_server("the packets of one connection to one server; a cluster's are in test_cluster.py")


@pytest.fixture
def valkey(tmp_path: Path) -> Iterator[Running]:
    """A server of its own: these tests count its reads, cut its clients off and stop it."""
    with start_valkey(tmp_path / "valkey") as running:
        yield running


@pytest.fixture
async def redis(valkey: Running) -> AsyncIterator[Redis]:
    client: Redis = Redis.from_url(valkey.url, socket_timeout=5)
    yield client
    await client.aclose()


@pytest.fixture
async def pipeline(valkey: Running) -> AsyncIterator[Pipeline]:
    async with open_pipeline(valkey.url, connect_timeout_s=1, timeout_s=5) as opened:
        yield opened


async def test_commands_of_one_turn_travel_together_and_each_gets_its_answer(pipeline: Pipeline, redis: Redis) -> None:
    await pipeline.execute_command("PING")
    before = (await redis.info("stats"))["total_reads_processed"]
    answers = await asyncio.gather(*(pipeline.execute_command("INCRBY", f"k{n}", n) for n in range(200)))
    after = (await redis.info("stats"))["total_reads_processed"]
    assert answers == list(range(200))
    assert after - before < 20


async def test_the_plain_way_brings_the_same_replies(pipeline: Pipeline, redis: Redis) -> None:
    await redis.xadd("log", {"what": "made"})
    await pipeline.execute_command("HSET", "record", "until", "5")
    asked: list[tuple[str | int, ...]] = [
        ("XREVRANGE", "log", "+", "-", "COUNT", 1),
        ("HGETALL", "record"),
        ("GET", "nothing"),
        ("EVAL", "return {'go', 7, {KEYS[1], ARGV[1]}}", 1, "k", "v"),
        ("INFO", "replication"),
    ]
    async with open_plain(redis) as plain:
        for words in asked:
            assert await plain.execute_command(*words) == await pipeline.execute_command(*words), words


async def test_a_packet_that_is_large_enough_leaves_while_the_turn_goes_on(pipeline: Pipeline, valkey: Running) -> None:
    await pipeline.execute_command("PING")
    answers = [pipeline.execute_command("INCR", "n") for _ in range(30)]
    # No turn of the loop ends here, and yet Redis is at work.
    with SyncRedis.from_url(valkey.url, socket_timeout=5) as other:
        deadline = time.monotonic() + 10
        while int(other.get("n") or 0) < 12:
            assert time.monotonic() < deadline
    assert await asyncio.gather(*answers) == list(range(1, 31))


async def test_nothing_leaves_early_on_a_connection_that_is_ending(pipeline: Pipeline) -> None:
    await pipeline.execute_command("PING")
    assert pipeline._connection is not None
    pipeline._connection._transport.close()  # what the loop does where the server has closed; we are told a turn later
    answers = [pipeline.execute_command("ECHO", n) for n in range(24)]
    assert len(pipeline._waiting) == 24, "each still has both of its tries"
    assert await asyncio.gather(*answers) == [b"%d" % n for n in range(24)]


async def test_more_than_all_lanes_hold_is_answered_too(pipeline: Pipeline) -> None:
    answers = await asyncio.gather(*(pipeline.execute_command("ECHO", n) for n in range(3000)))
    assert answers == [b"%d" % n for n in range(3000)]


async def test_one_command_that_fails_fails_alone(pipeline: Pipeline) -> None:
    await pipeline.execute_command("SET", "text", "x")
    answers: list[object] = await asyncio.gather(
        pipeline.execute_command("ECHO", "a"),
        pipeline.execute_command("INCR", "text"),
        pipeline.execute_command("EVALSHA", "0" * 40, 0),
        pipeline.execute_command("ECHO", "b"),
        return_exceptions=True,
    )
    assert (answers[0], answers[3]) == (b"a", b"b")
    assert isinstance(answers[1], ResponseError)
    assert isinstance(answers[2], NoScriptError)


async def test_a_connection_that_died_while_idle_costs_nobody_an_answer(pipeline: Pipeline, redis: Redis) -> None:
    await asyncio.gather(*(pipeline.execute_command("PING") for _ in range(3)))
    await redis.client_kill_filter(_type="normal", skipme=True)
    assert await asyncio.gather(*(pipeline.execute_command("ECHO", n) for n in range(50))) == [
        b"%d" % n for n in range(50)
    ]


async def test_nobody_waits_longer_than_the_timeout_for_a_server_that_is_stopped(valkey: Running) -> None:
    async with open_pipeline(valkey.url, connect_timeout_s=0.2, timeout_s=0.3) as pipeline:
        await pipeline.execute_command("PING")
        os.kill(valkey.pid, signal.SIGSTOP)
        try:
            # More than all lanes take at once: who waits for a lane waits no longer than the others.
            async with asyncio.timeout(5):
                answers = await asyncio.gather(
                    *(pipeline.execute_command("PING") for _ in range(2000)), return_exceptions=True
                )
            assert {type(answer) for answer in answers} == {TimeoutError}
        finally:
            os.kill(valkey.pid, signal.SIGCONT)
        # Replies to what was given up never reach anybody else.
        assert await pipeline.execute_command("ECHO", "after") == b"after"


async def test_a_server_that_was_silent_for_too_long_still_answers_who_waits_and_is_then_let_go(
    valkey: Running, redis: Redis
) -> None:
    await redis.ping()
    async with open_pipeline(valkey.url, connect_timeout_s=1, timeout_s=1) as pipeline:
        await pipeline.execute_command("PING")
        os.kill(valkey.pid, signal.SIGSTOP)
        try:
            early = pipeline.execute_command("ECHO", "early")
            await asyncio.sleep(0.6)
            late = pipeline.execute_command("ECHO", "late")
            with pytest.raises(TimeoutError):
                await early
        finally:
            os.kill(valkey.pid, signal.SIGCONT)
        assert await late == b"late"
        assert await pipeline.execute_command("ECHO", "new") == b"new"
        ours_and_its = 2
        async with asyncio.timeout(10):
            while len(await redis.client_list()) != ours_and_its:
                await pipeline.execute_command("BLPOP", "nothing", 0.1)


async def test_a_caller_that_leaves_takes_no_other_answer_along(pipeline: Pipeline) -> None:
    async def echo(word: str) -> object:
        return await pipeline.execute_command("ECHO", word)

    await pipeline.execute_command("PING")
    leaving, staying = asyncio.create_task(echo("nobody")), asyncio.create_task(echo("somebody"))
    await asyncio.sleep(0)
    leaving.cancel()
    assert await staying == b"somebody"


async def test_without_a_server_every_caller_hears_of_it(tmp_path: Path) -> None:
    async with open_pipeline(f"unix://{tmp_path}/nobody.sock", connect_timeout_s=0.2, timeout_s=0.5) as pipeline:
        answers = await asyncio.gather(*(pipeline.execute_command("PING") for _ in range(3)), return_exceptions=True)
    assert all(isinstance(answer, Exception) for answer in answers)


async def test_who_comes_after_the_end_is_told_so_and_opens_no_connection(valkey: Running, redis: Redis) -> None:
    async with open_pipeline(valkey.url, connect_timeout_s=1, timeout_s=5) as pipeline:
        await pipeline.execute_command("PING")
    before = (await redis.info("stats"))["total_connections_received"]
    with pytest.raises(RedisConnectionError):
        await pipeline.execute_command("PING")
    assert (await redis.info("stats"))["total_connections_received"] == before
