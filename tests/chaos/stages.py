"""The sorts of site on which rows are played."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

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
