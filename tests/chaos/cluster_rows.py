"""The rows of the fault table that are played on a Valkey Cluster, and whom each of them may concern.

A chat lives on the primary that holds its partition; accounts, tokens and limits (`{t}`) live on one of the primaries,
which every command asks. So the chats of the other primaries are judged by themselves: what befalls one is no concern
of theirs, but that no command is admitted while the primary with `{t}` is the one that is away.
"""

import asyncio
import time
from collections.abc import Callable
from dataclasses import replace
from functools import partial

from clusters import Cluster, Node

from chaos.faults import Row, Strike
from chaos.load import Load
from chaos.site import Site
from chaos.stages import cluster_of_six, parted_cluster
from gateway.store import keys

_STOPPED_S = 8.0
_DOWN_S = 4.0

Choose = Callable[[Cluster], Node]


def with_tenants(cluster: Cluster) -> Node:
    """Choose the primary that knows accounts, tokens and limits."""
    return cluster.owner(keys.CHANGES)


def without_tenants(cluster: Cluster) -> Node:
    """Choose a primary that knows nothing but chats."""
    return cluster.others(with_tenants(cluster))[0]


def first(cluster: Cluster) -> Node:
    """Choose the one that has a machine of its own."""
    return cluster.nodes[0]


def killed(choose: Choose) -> Strike:
    """Kill a primary; once a replica has taken over it comes back, as a replica."""

    async def strike(site: Site, load: Load) -> float:
        cluster, gone = _struck(choose, site, load)
        down_s = await _replaced(cluster, gone, gone.kill)
        await asyncio.to_thread(cluster.heal)
        return down_s

    return strike


def stopped(choose: Choose) -> Strike:
    """Stop a primary for longer than it takes to be replaced; then it goes on as if it had never been away."""

    async def strike(site: Site, load: Load) -> float:
        cluster, gone = _struck(choose, site, load)
        began = time.monotonic()
        down_s = await _replaced(cluster, gone, gone.stop)
        await asyncio.sleep(began + _STOPPED_S - time.monotonic())
        await asyncio.to_thread(cluster.heal)
        return down_s

    return strike


async def parted(site: Site, load: Load) -> float:
    """Part a primary from all other nodes, but not from gateways and workers, whom it goes on answering."""
    assert site.network is not None
    cluster, gone = _struck(first, site, load)
    began = time.monotonic()
    down_s = await _replaced(cluster, gone, partial(site.network.cut, "left", "right"))
    await asyncio.sleep(began + _STOPPED_S - time.monotonic())
    site.network.mend("left", "right")
    await asyncio.to_thread(cluster.heal)
    return down_s


async def nothing(site: Site, load: Load) -> float:
    load.spared = frozenset(site.instances)
    return 0.0


async def slots_moved(site: Site, load: Load) -> float:
    """Move all slots of the primary with `{t}` to another one, and back."""
    cluster, source = _struck(with_tenants, site, load)
    target = cluster.others(source)[0]
    ranges = cluster.slots_of(source)
    for begin, end in ranges:
        await asyncio.to_thread(cluster.move_slots, begin, end, target)
    assert not cluster.slots_of(source)
    for begin, end in ranges:
        await asyncio.to_thread(cluster.move_slots, begin, end, source)
    return 0.0


async def all_down(site: Site, load: Load) -> float:
    """Kill every node, and start them all after a while."""
    assert site.cluster is not None
    began = time.monotonic()
    for node in site.cluster.nodes:
        node.kill()
    await asyncio.sleep(_DOWN_S)
    await asyncio.to_thread(site.cluster.heal)
    return time.monotonic() - began


def _struck(choose: Choose, site: Site, load: Load) -> tuple[Cluster, Node]:
    """Choose a primary, and let the load know whose chats are on others."""
    assert site.cluster is not None
    gone = choose(site.cluster)
    load.spared = frozenset(
        name
        for name, instance_id in site.instances.items()
        if site.cluster.owner(keys.queue(keys.partition(instance_id))) is not gone
    )
    return site.cluster, gone


async def _replaced(cluster: Cluster, gone: Node, befalls: Callable[[], None]) -> float:
    """Let it befall a primary, and return after how long all others know its successor."""
    theirs = next(queue for queue in map(keys.queue, range(keys.PARTITIONS)) if cluster.owner(queue) is gone)
    began = time.monotonic()
    befalls()
    await asyncio.to_thread(cluster.wait_for_failover, theirs, gone)
    return time.monotonic() - began


_ROW = Row(
    "",
    slots_moved,
    1.0,
    cluster_of_six,
    plus_downtime=True,
    refused_while_down=True,
    spares="all",
    per_second=40.0,  # some hundreds of spared chats: their p99 is more than their worst
)

ROWS = (
    replace(_ROW, name="Cluster: none", strike=nothing, bound_s=0.1, none_refused=True),
    replace(_ROW, name="Cluster: primary kill -9", strike=killed(without_tenants)),
    replace(_ROW, name="Cluster: primary with {t} kill -9", strike=killed(with_tenants), spares="pauses"),
    replace(_ROW, name="Cluster: primary stopped, 8 s", strike=stopped(without_tenants)),
    replace(_ROW, name="Cluster: primary with {t} stopped, 8 s", strike=stopped(with_tenants), spares="pauses"),
    replace(
        _ROW,
        name="Cluster: all slots of one moved",
        strike=slots_moved,
        bound_s=0.2,
        plus_downtime=False,
        none_refused=True,
    ),
    replace(_ROW, name="Cluster: down, 4 s", strike=all_down, some_refused=True, spares=""),
    replace(_ROW, name="Cluster: primary parted, 8 s", strike=parted, stage=parted_cluster, may_be_early=True),
)
