"""Which workers work, and so which of them looks after which partition.

Each says every second that it works. Who looks after what follows from the names alone (the highest hash of worker and
partition, rendezvous hashing), so that nobody has to agree on it, and a worker that comes or goes moves no partition
but its own. It is a division of labour, not a promise: where two look after one for a moment, the leases in the records
keep them apart; where nobody does, the next look does.
"""

import zlib
from collections.abc import Callable, Iterable

from gateway.store import keys
from gateway.store.redis import Executor, Script, command

SAY_EVERY_S = 0.9
_FORGOTTEN_MS = 2500
"""A worker that has not said it for so long is dead, or cut off from Redis."""

_WATCHED = (keys.WORKERS, keys.LEAVING, keys.LEAVING_ACCOUNTS, keys.FORMERS, keys.EXPIRING)


class WorkerRegistry:
    """One worker's part in it."""

    def __init__(self, redis: Executor, name: str, *, clock_us: Callable[[], int] | None = None) -> None:
        """Look after everything until others are heard of; `name` is nobody else's."""
        self._redis = redis
        self._name = name
        self._clock_us = clock_us
        self._enlist = Script(redis, "store/enlist_worker")
        self._workers = [name]
        self.mine = partitions_of(name, self._workers)

    async def say(self) -> bool:
        """Say that this worker works; returns whether something of tenants wants tidying.

        Raises:
            StoreUnavailable: Redis did not answer; whoever was known stays known.
        """
        now = "" if self._clock_us is None else self._clock_us()
        tidy, is_new, *found = await self._enlist(_WATCHED, (now, self._name, _FORGOTTEN_MS))
        told = {worker.decode() for worker in found}
        # Redis was away, or forgot in a failover what it was told: others, too, need a moment to say it again.
        workers = sorted(told.union(self._workers) if is_new else told)
        if workers != self._workers:
            self._workers, self.mine = workers, partitions_of(self._name, workers)
        return bool(tidy)

    async def leave(self) -> None:
        """Work no longer; others hear of it at once.

        Raises:
            StoreUnavailable: Redis did not answer; others find out.
        """
        await command(self._redis, "ZREM", keys.WORKERS, self._name)
        await command(self._redis, "PUBLISH", keys.SOONER, "workers")


def partitions_of(name: str, workers: Iterable[str]) -> frozenset[int]:
    """Return the partitions that one of some workers looks after."""
    every = {*workers, name}

    def weight(worker: str, number: int) -> tuple[int, str]:
        return zlib.crc32(f"{worker}/{number}".encode()), worker

    return frozenset(
        number for number in range(keys.PARTITIONS) if max(every, key=lambda one: weight(one, number)) == name
    )
