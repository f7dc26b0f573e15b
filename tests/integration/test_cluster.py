"""On a cluster, commands go where their keys are, and wait out what befalls one primary; the others pass by."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager, suppress
from dataclasses import dataclass, field
from typing import Any

import pytest
from clusters import Cluster, Node, start_cluster
from redis.asyncio import Redis
from redis.crc import key_slot
from redis.exceptions import NoScriptError, RedisError, ResponseError
from world import until

from gateway.presence.errors import StoreUnavailable
from gateway.settings import Redis as Address
from gateway.settings import Settings
from gateway.store.connections import by_server, open_executor, open_subscriber
from gateway.store.redis import Executor, command, open_redis
from gateway.store.replies import info
from gateway.wiring import open_services

KEYS = [f"pg:{{{number:02d}}}:x" for number in range(64)]
TENANTS = "pg:{t}:x"
READ = "return redis.call('GET', KEYS[1])"
COUNT = "return redis.call('INCR', KEYS[1])"

TIMEOUT_S = 10.0
"""Longer than a failover takes on a busy machine."""

ONE_SERVER = pytest.mark.one_server("says by its name what it is about")

UNTOUCHED_S = 0.5
"""What a call to a primary that nothing befalls may take on a busy machine; a failover takes thrice as long."""

Open = Callable[..., AbstractAsyncContextManager[Executor]]


@pytest.fixture(scope="module")
def six(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    with start_cluster(tmp_path_factory.mktemp("cluster") / "nodes", primaries=3, replicas=1) as cluster:
        yield cluster


@pytest.fixture
def cluster(six: Cluster) -> Iterator[Cluster]:
    yield six
    six.heal()
    six.flush()


@asynccontextmanager
async def pool(cluster: Cluster, *, timeout_s: float = TIMEOUT_S) -> AsyncIterator[Redis]:
    async with open_redis(cluster.url, connect_timeout_s=1, timeout_s=timeout_s, max_connections=8) as redis:
        yield redis


@pytest.fixture(params=[True, False], ids=["pipelined", "plain"])
def way(cluster: Cluster, request: pytest.FixtureRequest) -> Open:
    """Opens what runs commands, by one way and the other."""

    @asynccontextmanager
    async def opened(*, timeout_s: float = TIMEOUT_S) -> AsyncIterator[Executor]:
        async with (
            pool(cluster) as redis,
            open_executor(
                cluster.url,
                redis,
                pipelined=request.param,
                connect_timeout_s=1,
                timeout_s=timeout_s,
                max_connections=64,
            ) as executor,
        ):
            yield executor

    return opened


@dataclass
class Load:
    """Calls of one key after the other, and what became of each."""

    executor: Executor
    done: dict[str, int] = field(default_factory=lambda: dict.fromkeys(KEYS, 0))
    slowest_s: dict[str, float] = field(default_factory=lambda: dict.fromkeys(KEYS, 0.0))
    errors: list[Exception] = field(default_factory=list)
    stops: bool = False

    async def keep_calling(self, key: str) -> None:
        while not self.stops:
            began = time.monotonic()
            try:
                await self.executor.execute_command("EVAL", COUNT, 1, key)
            except (RedisError, OSError) as error:
                self.errors.append(error)
            self.done[key] += 1
            self.slowest_s[key] = max(self.slowest_s[key], time.monotonic() - began)
            await asyncio.sleep(0.01)

    def slowest(self, keys: list[str]) -> float:
        return max(self.slowest_s[key] for key in keys)

    async def until_each_was_called(self, times: int = 2) -> None:
        """Return when every key was called so many times more."""
        before = dict(self.done)
        await until(lambda: all(self.done[key] - before[key] >= times for key in KEYS), within_s=60)


@asynccontextmanager
async def under_load(executor: Executor) -> AsyncIterator[Load]:
    """Call every key for as long as the block lasts, and a little before and behind it."""
    load = Load(executor)
    async with asyncio.TaskGroup() as group:
        for key in KEYS:
            group.create_task(load.keep_calling(key))
        try:
            await load.until_each_was_called()
            load.slowest_s = dict.fromkeys(KEYS, 0.0)  # connections are made
            yield load
            await load.until_each_was_called()
        finally:
            load.stops = True


def keys_of(cluster: Cluster, node: Node) -> list[str]:
    return [key for key in KEYS if cluster.owner(key) is node]


async def test_a_command_goes_where_its_key_is(way: Open, cluster: Cluster) -> None:
    async with way() as executor:
        await asyncio.gather(*(executor.execute_command("SET", key, key) for key in KEYS))
        told = await asyncio.gather(*(executor.execute_command("EVAL", READ, 1, key) for key in KEYS))
        assert told == [key.encode() for key in KEYS]
        assert [cluster.owner(key).run("GET", key) for key in KEYS] == KEYS


async def test_replies_are_as_redis_sends_them_and_a_refusal_is_the_commands_own(way: Open) -> None:
    async with way() as executor:
        assert await executor.execute_command("HSET", "pg:{07}:h", "f", "1") in {0, 1}
        assert await executor.execute_command("HGETALL", "pg:{07}:h") == [b"f", b"1"]
        with pytest.raises(NoScriptError):
            await executor.execute_command("EVALSHA", "0" * 40, 1, KEYS[0])
        with pytest.raises(ResponseError, match="WRONGTYPE"):
            await executor.execute_command("GET", "pg:{07}:h")


async def test_each_server_is_asked_by_itself(way: Open, cluster: Cluster) -> None:
    async with way() as executor:
        found = {}
        for server, keys in await by_server(executor, KEYS):
            port = info(await command(server, "INFO", "server"))["tcp_port"]
            found[int(port)] = keys
        assert found == {node.port: keys_of(cluster, node) for node in cluster.nodes if keys_of(cluster, node)}


@ONE_SERVER
async def test_one_server_is_one_group(redis: Redis, pipeline: Executor) -> None:
    assert await by_server(redis, KEYS) == [(redis, KEYS)]
    assert await by_server(pipeline, KEYS) == [(pipeline, KEYS)]


async def test_slots_move_under_load_and_nobody_notices(way: Open, cluster: Cluster) -> None:
    async with way() as executor, under_load(executor) as load:
        source = cluster.owner(KEYS[7])
        for key in keys_of(cluster, source)[:5]:
            await asyncio.to_thread(cluster.move_slot, key, cluster.others(source)[0])
    assert load.errors == []
    assert load.slowest(KEYS) < UNTOUCHED_S


async def test_a_key_that_has_left_while_its_slot_is_on_its_way_is_asked_for_there(way: Open, cluster: Cluster) -> None:
    gone, here = "pg:{07}:gone", "pg:{07}:here"
    slot, source = key_slot(gone.encode()), cluster.owner(gone)
    target = cluster.others(source)[0]
    async with way() as executor:
        await executor.execute_command("MSET", gone, "1", here, "2")
        target.run("CLUSTER SETSLOT", slot, "IMPORTING", source.id)
        source.run("CLUSTER SETSLOT", slot, "MIGRATING", target.id)
        source.run("MIGRATE", "127.0.0.1", target.port, gone, 0, 1000)
        for _ in range(3):
            told = await asyncio.gather(*(executor.execute_command("EVAL", READ, 1, key) for key in (gone, here, gone)))
            assert told == [b"1", b"2", b"1"]

        # What needs both waits for the slot to be whole again.
        both = asyncio.ensure_future(executor.execute_command("MGET", here, gone))
        with suppress(TimeoutError):
            await asyncio.wait_for(asyncio.shield(both), 0.3)
        assert not both.done()
        source.run("MIGRATE", "127.0.0.1", target.port, here, 0, 1000)
        for node in (target, source, *cluster.others(source)):
            node.run("CLUSTER SETSLOT", slot, "NODE", target.id)
        assert await both == [b"2", b"1"]
        assert await executor.execute_command("GET", gone) == b"1"


async def test_a_primary_dies_under_load_and_its_commands_wait_for_its_successor(way: Open, cluster: Cluster) -> None:
    async with way() as executor, under_load(executor) as load:
        gone = cluster.owner(KEYS[0])
        theirs = keys_of(cluster, gone)
        gone.kill()
        await asyncio.to_thread(cluster.wait_for_failover, KEYS[0], gone)
    assert load.errors == []
    assert load.slowest(theirs) < TIMEOUT_S


@pytest.mark.parametrize("befalls", [Node.kill, Node.stop], ids=["killed", "cut off"])
async def test_nobody_waits_for_a_primary_that_is_away_but_who_needs_it(
    cluster: Cluster, befalls: Callable[[Node], None]
) -> None:
    async with pipelined(cluster) as executor, under_load(executor) as load:
        gone = cluster.owner(KEYS[0])
        theirs = keys_of(cluster, gone)
        began = time.monotonic()
        befalls(gone)
        await asyncio.to_thread(cluster.wait_for_failover, KEYS[0], gone)
        took_s = time.monotonic() - began
    assert load.errors == []
    assert load.slowest([key for key in KEYS if key not in theirs]) < UNTOUCHED_S
    # The silent one is doubted after a quarter of the timeout at the latest, and again and again.
    assert load.slowest(theirs) < took_s + TIMEOUT_S / 4 + 1


@asynccontextmanager
async def pipelined(cluster: Cluster, *, timeout_s: float = TIMEOUT_S) -> AsyncIterator[Executor]:
    async with (
        pool(cluster) as redis,
        open_executor(
            cluster.url, redis, pipelined=True, connect_timeout_s=1, timeout_s=timeout_s, max_connections=1
        ) as executor,
    ):
        yield executor


async def test_a_cluster_that_is_down_is_unavailable_within_the_timeout_and_serves_again_when_it_is_back(
    way: Open, cluster: Cluster
) -> None:
    async with way(timeout_s=1) as executor:
        await command(executor, "SET", KEYS[0], "before")
        for node in cluster.nodes:
            node.kill()
        for _ in range(3):
            began = time.monotonic()
            with pytest.raises(StoreUnavailable):
                await command(executor, "GET", KEYS[0])
            assert time.monotonic() - began < 2
        await asyncio.to_thread(cluster.heal)
        await served(lambda: command(executor, "SET", KEYS[0], "after"))
        assert await command(executor, "GET", KEYS[0]) == b"after"


async def served(call: Callable[[], Any]) -> None:
    """Call until it is served."""
    async with asyncio.timeout(10):
        while True:
            with suppress(StoreUnavailable):
                await call()
                return


async def test_who_finds_no_cluster_hears_of_it_within_the_timeout(cluster: Cluster, way: Open) -> None:
    for node in cluster.nodes:
        node.stop()
    async with way(timeout_s=0.5) as executor:
        began = time.monotonic()
        answers = await asyncio.gather(*(executor.execute_command("GET", key) for key in KEYS), return_exceptions=True)
        assert time.monotonic() - began < 1.5
        assert all(isinstance(answer, (RedisError, OSError)) for answer in answers)


# The pool for the keys of one tag


async def test_keys_of_one_tag_are_worked_on_as_on_one_server(cluster: Cluster) -> None:
    async with pool(cluster) as redis:
        assert await together(redis, ("SET", TENANTS, 1), ("INCR", TENANTS), ("GET", TENANTS)) == [True, 2, b"2"]
        assert [key async for key in redis.scan_iter("pg:{t}:*")] == [TENANTS.encode()]


async def together(redis: Redis, *commands: tuple[str | int, ...]) -> Any:
    """Run commands as one transaction."""
    async with redis.pipeline(transaction=True) as pipe:
        for words in commands:
            pipe.execute_command(*words)
        return await pipe.execute()


async def test_a_pool_follows_its_tag_to_another_primary(cluster: Cluster) -> None:
    async with pool(cluster) as redis:
        for _ in range(3):
            await asyncio.gather(*(redis.set(TENANTS, "x") for _ in range(8)))
            await asyncio.to_thread(cluster.move_slot, TENANTS, cluster.others(cluster.owner(TENANTS))[0])
            assert await asyncio.gather(*(redis.get(TENANTS) for _ in range(8))) == [b"x"] * 8
            assert await together(redis, ("GET", TENANTS)) == [b"x"]


@pytest.mark.parametrize("befalls", [Node.kill, Node.stop], ids=["killed", "cut off"])
async def test_a_pool_serves_again_as_soon_as_there_is_a_successor(
    cluster: Cluster, befalls: Callable[[Node], None]
) -> None:
    async with pool(cluster, timeout_s=1) as redis:
        await asyncio.gather(*(redis.set(TENANTS, "x") for _ in range(8)))
        gone = cluster.owner(TENANTS)
        befalls(gone)
        with pytest.raises((RedisError, OSError)):
            await redis.get(TENANTS)
        await asyncio.to_thread(cluster.wait_for_failover, TENANTS, gone)
        assert await asyncio.gather(*(redis.set(TENANTS, "y") for _ in range(16))) == [True] * 16


async def test_the_first_command_after_a_quiet_failover_is_served(cluster: Cluster) -> None:
    async with pool(cluster, timeout_s=1) as redis:
        await redis.set(TENANTS, "x")
        gone = cluster.owner(TENANTS)
        gone.stop()
        await asyncio.to_thread(cluster.wait_for_failover, TENANTS, gone)
        assert await redis.set(TENANTS, "y")


async def test_whose_chats_they_are_is_known_again_as_soon_as_there_is_a_successor(cluster: Cluster) -> None:
    async with open_services(Settings(redis=Address(url=cluster.url))) as services:
        account = await services.directory.create_account("acme")
        created = await services.directory.create_instance(account.id, "demo")
        for _ in range(2):
            assert (await services.directory.instance_by_id(created.id)).name == "demo"
            gone = cluster.owner(TENANTS)
            gone.stop()
            await asyncio.to_thread(cluster.wait_for_failover, TENANTS, gone)
            began = time.monotonic()
            assert (await services.directory.instance_by_id(created.id)).name == "demo"
            assert time.monotonic() - began < 1.5  # a command may take 2 s, and an eighth of that is silence
            await asyncio.to_thread(cluster.heal)


async def test_a_cluster_is_as_well_as_each_of_its_primaries(cluster: Cluster) -> None:
    tenants = cluster.owner(TENANTS)
    apart = cluster.others(tenants)[0]
    async with open_services(Settings(redis=Address(url=cluster.url))) as services:
        assert (await services.health.look()).memory_limit_bytes == 0
        apart.run("CONFIG SET maxmemory 100mb")
        tenants.run("CONFIG SET appendonly yes")
        try:
            health = await services.health.look()
        finally:
            apart.run("CONFIG SET maxmemory 0")
            tenants.run("CONFIG SET appendonly no")
    assert health.memory_limit_bytes == 100 * 1024 * 1024
    assert not health.aof_ok, "the others write no log"


# Channels


@asynccontextmanager
async def listening(url: str) -> AsyncIterator[Any]:
    async with open_subscriber(url, connect_timeout_s=1) as client, client.pubsub() as listener:
        await listener.subscribe("pg:sooner")
        assert (await listener.get_message(timeout=5))["type"] == "subscribe"
        yield listener


async def hears(listener: Any, executor: Executor, key: str) -> None:
    """Publish from a script on a key's primary until it is heard."""
    async with asyncio.timeout(20):
        while True:
            with suppress(RedisError, OSError):
                await executor.execute_command("EVAL", "return redis.call('PUBLISH', 'pg:sooner', KEYS[1])", 1, key)
                told = await listener.get_message(ignore_subscribe_messages=True, timeout=0.2)
                if told and told["data"] == key.encode():
                    return


async def test_what_a_script_on_any_primary_publishes_is_heard(cluster: Cluster) -> None:
    async with pipelined(cluster) as executor, listening(cluster.url) as listener:
        for key in KEYS:
            await hears(listener, executor, key)


async def test_a_listener_goes_to_another_node_when_its_own_dies(cluster: Cluster) -> None:
    async with pipelined(cluster) as executor, listening(cluster.url) as listener:
        await hears(listener, executor, KEYS[1])
        next(node for node in cluster.nodes if node.port == listener.connection.port).kill()
        await hears(listener, executor, KEYS[2])


async def test_a_listener_does_not_stay_with_a_node_that_is_cut_off(cluster: Cluster) -> None:
    async with open_subscriber(cluster.url, connect_timeout_s=1) as client:
        for node in cluster.nodes[1:]:
            node.stop()
        alone = cluster.nodes[0]
        await asyncio.to_thread(wait_until_cut_off, alone)
        with pytest.raises(RedisError, match="no node"):
            await client.ping()


def wait_until_cut_off(node: Node) -> None:
    deadline = time.monotonic() + 20
    while "cluster_state:fail" not in node.run("CLUSTER INFO"):
        assert time.monotonic() < deadline
        time.sleep(0.05)


@ONE_SERVER
async def test_one_server_is_listened_to_by_the_same_call(redis: Redis, redis_url: str) -> None:
    async with listening(redis_url) as listener:
        await redis.publish("pg:sooner", "now")
        assert (await listener.get_message(timeout=5))["data"] == b"now"
