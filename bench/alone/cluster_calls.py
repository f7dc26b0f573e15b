"""What one script costs its caller on a cluster of three primaries here: our two ways, and redis-py's own client.

PYTHONPATH=tests:bench python -m alone.cluster_calls
"""

import asyncio
import hashlib
import tempfile
import time
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

from clusters import Cluster, start_cluster
from redis.asyncio import Redis
from redis.asyncio.cluster import ClusterNode, RedisCluster

from gateway.store.cluster import Address
from gateway.store.connections import open_executor

COUNT = "return redis.call('INCR', KEYS[1])"
SHA = hashlib.sha1(COUNT.encode(), usedforsecurity=False).hexdigest()
KEYS = [f"pg:{{{number:02d}}}:x" for number in range(64)]
CALLS = 5000
ROUNDS = 3

Run = Callable[..., Awaitable[Any]]


async def calls(run: Run, concurrency: int) -> tuple[float, float]:
    """Call from so many tasks at once; returns microseconds of wall clock and of this process's CPU, for each call."""

    async def one(first: int) -> None:
        for number in range(CALLS // concurrency):
            await run("EVALSHA", SHA, 1, KEYS[(first * 7 + number) % len(KEYS)])

    await asyncio.gather(*(one(first) for first in range(concurrency)))  # connections, and what is learned
    began_s, cpu_s = time.perf_counter(), time.process_time()
    await asyncio.gather(*(one(first) for first in range(concurrency)))
    return (time.perf_counter() - began_s) / CALLS * 1e6, (time.process_time() - cpu_s) / CALLS * 1e6


async def compare(cluster: Cluster) -> None:
    for node in cluster.nodes:
        node.run("SCRIPT LOAD", COUNT)
    async with AsyncExitStack() as stack:
        ways: dict[str, Run] = {}
        for name, pipelined in (("pipelined", True), ("plain", False)):
            opening = open_executor(
                cluster.url, Redis(), pipelined=pipelined, connect_timeout_s=1, timeout_s=5, max_connections=64
            )
            ways[name] = (await stack.enter_async_context(opening)).execute_command
        nodes = [ClusterNode(host, port) for host, port in Address.parse(cluster.url).nodes]
        theirs: RedisCluster = RedisCluster(startup_nodes=nodes, socket_timeout=5, socket_connect_timeout=1)
        stack.push_async_callback(theirs.aclose)
        ways["RedisCluster"] = theirs.execute_command
        for number in range(ROUNDS):
            for concurrency in (1, 50):
                for name, run in ways.items():
                    wall_us, cpu_us = await calls(run, concurrency)
                    print(f"{number} {name:13} {concurrency:3} at once: {wall_us:5.0f} us, {cpu_us:5.0f} us of CPU")


def main() -> None:
    with tempfile.TemporaryDirectory() as folder, start_cluster(Path(folder) / "nodes") as cluster:
        asyncio.run(compare(cluster))


if __name__ == "__main__":
    main()
