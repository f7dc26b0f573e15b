"""Clients that reach any key on one server or on a cluster, and ask or tell every server what has no key."""

from typing import Any, cast

import redis
import redis.asyncio
from redis.asyncio.cluster import ClusterNode as AsyncNode
from redis.asyncio.cluster import RedisCluster as AsyncCluster
from redis.cluster import ClusterNode, RedisCluster

from gateway.store import cluster

_TO_ALL = dict.fromkeys(("CLIENT KILL", "CONFIG SET", "FLUSHALL", "KEYS"), RedisCluster.PRIMARIES)
"""What redis-py's cluster client would ask of one node alone."""

_AS_STARTED: Any = ("min-replicas-to-write", 0, "maxmemory", 0, "appendonly", "no")
"""What tests set of a server that runs; one that misses replicas refuses to be emptied."""


class _Cluster(RedisCluster):
    COMMAND_FLAGS = RedisCluster.COMMAND_FLAGS | _TO_ALL


class _AsyncCluster(AsyncCluster):
    COMMAND_FLAGS = AsyncCluster.COMMAND_FLAGS | _TO_ALL


def open_everywhere(url: str) -> redis.asyncio.Redis:
    """Open a client for any key, to be closed by `async with`; what has no key goes to every primary."""
    if not url.startswith(cluster.SCHEME):
        return cast("redis.asyncio.Redis", redis.asyncio.Redis.from_url(url))
    nodes = [AsyncNode(*place) for place in cluster.Address.parse(url).nodes]
    # It has the same commands, and is no subclass.
    return cast("redis.asyncio.Redis", _AsyncCluster(startup_nodes=nodes))


def open_everywhere_sync(url: str) -> redis.Redis:
    """Open the same client for tests that have no loop."""
    if not url.startswith(cluster.SCHEME):
        return redis.Redis.from_url(url)
    nodes = [ClusterNode(*place) for place in cluster.Address.parse(url).nodes]  # type: ignore[no-untyped-call]
    return cast("redis.Redis", _Cluster(startup_nodes=nodes))


async def forget_everything(everywhere: redis.asyncio.Redis) -> None:
    """Have every server as if it had just been started."""
    await everywhere.config_set(*_AS_STARTED)
    await everywhere.flushall()


def forget_everything_sync(everywhere: redis.Redis) -> None:
    """Do the same without a loop."""
    everywhere.config_set(*_AS_STARTED)
    everywhere.flushall()
