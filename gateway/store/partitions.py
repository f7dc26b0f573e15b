"""The partitions as servers hold them: who answers for each, by which clock, and whether anything is in them at all."""

import asyncio
import time
from collections.abc import Callable, Collection, Sequence
from contextlib import suppress

from gateway.presence.errors import StoreUnavailable
from gateway.store import keys
from gateway.store.clock import RedisClock
from gateway.store.connections import are_absent, by_server
from gateway.store.redis import Executor, command
from gateway.store.replies import info

QUEUES = [keys.queue(number) for number in range(keys.PARTITIONS)]
_NUMBER = {queue: number for number, queue in enumerate(QUEUES)}


class Partitions:
    """All of them, by number; `clocks` has the clock of each one's server, as it was last seen."""

    def __init__(
        self,
        redis: Executor,
        *,
        monotonic: Callable[[], float] = time.monotonic,
        clock_us: Callable[[], int] | None = None,
    ) -> None:
        """Read the local clock from `monotonic`; `clock_us` replaces Redis' own in tests that run in virtual time."""
        self._redis = redis
        self.clocks = [RedisClock() for _ in range(keys.PARTITIONS)]
        self._monotonic = monotonic
        self._clock_us = clock_us

    async def in_use(self, numbers: Collection[int]) -> Collection[int]:
        """Return those in which something may wake up, or rest: none where one server has all, and nothing is in any.

        One command then, where a look is a script for each. Never fails: whoever looks at them finds out.
        """
        names = [name for number in numbers for name in (QUEUES[number], keys.resting(number))]
        with suppress(StoreUnavailable):
            if names and await are_absent(self._redis, names):
                return ()
        return numbers

    async def servers(self) -> list[str]:
        """Name the server that answers for each partition (see `ports.Indicators.servers`)."""
        names = [""] * keys.PARTITIONS
        with suppress(StoreUnavailable):
            groups = await by_server(self._redis, QUEUES)
            await asyncio.gather(*(self._ask(server, held, names) for server, held in groups))
        return names

    async def _ask(self, server: Executor, held: Sequence[str], names: list[str]) -> None:
        """Ask one server for its name and its clock, on behalf of the partitions whose queues it holds."""
        asked_us = self._monotonic_us()
        try:
            told = info(await command(server, "INFO", "server", "replication"))
        except StoreUnavailable:
            return
        if told["role"] != "master" or told.get("min_slaves_good_slaves") == "0":
            return  # it takes no writes, and what it knows may be lost
        answered_us = self._monotonic_us()
        redis_us = int(told["server_time_usec"]) if self._clock_us is None else self._clock_us()
        for number in map(_NUMBER.__getitem__, held):
            self.clocks[number].looked_at(redis_us, asked_us=asked_us, answered_us=answered_us)
            names[number] = told["run_id"]

    def _monotonic_us(self) -> int:
        return round(self._monotonic() * 1_000_000)
