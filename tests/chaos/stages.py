"""The sorts of site on which rows are played."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from functools import partial
from pathlib import Path

from clusters import start_cluster

from chaos.disk import SmallDisk
from chaos.network import Network
from chaos.site import Site

Stage = Callable[[Path], AbstractContextManager[Site]]
"""Plans a site in a folder, and takes down afterwards what it stood on.

Raises:
    NotPermitted: this machine does not let us build that.
"""

_LEFT = ("primary", "g1", "w1")
_RIGHT = ("replica1", "replica2", "sentinel1", "sentinel2", "sentinel3", "g2", "w2")
_FENCED = ("--min-replicas-to-write", "1", "--min-replicas-max-lag", "1")


_INSTANCES = 24
"""So many that every primary holds some."""

_SIX = partial(start_cluster, primaries=3, replicas=1, appendonly="yes", appendfsync="always")


@contextmanager
def one_redis(folder: Path) -> Iterator[Site]:
    yield Site(folder)


@contextmanager
def replicas(folder: Path) -> Iterator[Site]:
    yield Site(folder, sentinel=True)


@contextmanager
def small_disk(folder: Path) -> Iterator[Site]:
    with SmallDisk(folder / "redis") as disk:
        site = Site(folder)
        site.disk = disk
        yield site


@contextmanager
def far_redis(folder: Path) -> Iterator[Site]:
    with Network("redis") as network:
        yield Site(folder, network=network, machines={"redis": "redis"})


@contextmanager
def two_sides(folder: Path) -> Iterator[Site]:
    """The primary with a gateway and a worker here; the replicas, the sentinels and the other two there."""
    machines = dict.fromkeys(_LEFT, "left") | dict.fromkeys(_RIGHT, "right")
    with Network("left", "right") as network:
        yield Site(folder, sentinel=True, network=network, machines=machines, redis_options=_FENCED)


@contextmanager
def cluster_of_six(folder: Path) -> Iterator[Site]:
    """Three primaries with a replica each, which keep their roles whoever holds how many slots."""
    with _SIX(folder / "nodes", cluster_allow_replica_migration="no") as cluster:
        yield Site(folder, cluster=cluster, instances=_INSTANCES)


@contextmanager
def parted_cluster(folder: Path) -> Iterator[Site]:
    """The first primary here, all other nodes there; gateways and workers reach both."""
    with Network("left", "right") as network:
        left, right = ((network.address(side), network.inside(side)) for side in ("left", "right"))
        machines = [left, *[right] * 5]
        with _SIX(folder / "nodes", machines=machines) as cluster:
            yield Site(folder, network=network, cluster=cluster, instances=_INSTANCES)
