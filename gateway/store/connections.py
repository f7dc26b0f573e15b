"""What runs commands at an address of any kind: on the hot path, for one server alone, and to listen to channels."""

from collections.abc import AsyncIterator, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager

from redis.asyncio import Redis

from gateway.fast.cluster_pipeline import ClusterPipeline
from gateway.fast.pipeline import Pipeline
from gateway.store import cluster
from gateway.store.plain_cluster import PlainCluster
from gateway.store.redis import Executor, command, connection_pool, open_pipeline, open_plain, store_errors


def open_executor(
    url: str, redis: Redis, *, pipelined: bool, connect_timeout_s: float, timeout_s: float, max_connections: int
) -> AbstractAsyncContextManager[Executor]:
    """Open what runs the scripts of the hot path; it is not connected before its first use.

    Args:
        url: where to.
        redis: what the plain way shares the pool of, where that is one server's.
        pipelined: whether commands share packets, or are redis-py's own calls.
        connect_timeout_s: how long a server may take to accept.
        timeout_s: how long a command may take.
        max_connections: to each primary, on the plain way.
    """
    if not url.startswith(cluster.SCHEME):
        if not pipelined:
            return open_plain(redis)
        return open_pipeline(url, connect_timeout_s=connect_timeout_s, timeout_s=timeout_s)
    slots = cluster.SlotMap(cluster.Address.parse(url), connect_timeout_s=connect_timeout_s)
    if pipelined:
        return _closing(_cluster_pipeline(slots, connect_timeout_s, timeout_s))
    return _closing(
        PlainCluster(slots, connect_timeout_s=connect_timeout_s, timeout_s=timeout_s, max_connections=max_connections)
    )


def _cluster_pipeline(slots: cluster.SlotMap, connect_timeout_s: float, timeout_s: float) -> ClusterPipeline:
    def open_lane(place: cluster.Place) -> Pipeline:
        return Pipeline(lambda: slots.address.connection(place, connect_timeout_s), timeout_s=timeout_s)

    return ClusterPipeline(slots, open_lane, timeout_s=timeout_s, passes=cluster.is_left)


@asynccontextmanager
async def _closing(executor: ClusterPipeline | PlainCluster) -> AsyncIterator[Executor]:
    try:
        yield executor
    finally:
        await executor.close()


async def by_server(redis: Executor, keys: Sequence[str]) -> Sequence[tuple[Executor, list[str]]]:
    """Group keys by the server that holds them now, each group with what runs commands on that server alone.

    A key that nobody holds at this moment, as in a failover, may be in no group.

    Raises:
        StoreUnavailable: no server says who holds them.
    """
    if not isinstance(redis, ClusterPipeline | PlainCluster):
        return [(redis, list(keys))]
    async with store_errors():
        return await redis.by_server(keys)


async def are_absent(redis: Executor, keys: Sequence[str]) -> bool:
    """Whether no such key exists; False, unasked, where that would be a question for each: on a cluster.

    Raises:
        StoreUnavailable: Redis did not answer.
    """
    return not isinstance(redis, ClusterPipeline | PlainCluster) and not await command(redis, "EXISTS", *keys)


@asynccontextmanager
async def open_subscriber(url: str, *, connect_timeout_s: float) -> AsyncIterator[Redis]:
    """Open a client with one connection, to listen to channels; on a cluster, to any node that answers.

    It waits for a message as long as it takes. A server that was cut off looks like one with nothing to say: whoever
    listens must look by himself from time to time.
    """
    pool = connection_pool(url, connect_timeout_s=connect_timeout_s, timeout_s=None, max_connections=1, tag="")
    try:
        yield Redis(connection_pool=pool)
    finally:
        await pool.disconnect()
