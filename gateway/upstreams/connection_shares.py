"""Each account's share of a pool's connections: of all of them, and of those to one origin.

Many accounts may have sessions at one origin. Without a share, the calls of one that hang would take every connection
there is to it, and the calls of the others would wait for one until they fail.
"""

import asyncio
import sys
from collections.abc import Hashable

from gateway.presence.shares import Slots


class ConnectionShares:
    """Counts who has how many connections of a pool."""

    def __init__(self, most: int, most_per_origin: int) -> None:
        """Share out as many as the pool opens; 0 is any number, as aiohttp counts."""
        self._all = Slots(most or sys.maxsize)
        self._most_per_origin = most_per_origin or sys.maxsize
        self._of_origin: dict[Hashable, Slots] = {}

    async def take(self, account_id: str, origin: Hashable, within_s: float) -> None:
        """Take one, and wait for it where the account has its share.

        Raises:
            TimeoutError: none came free within `within_s`.
        """
        here = self._of_origin.get(origin)
        if here is None:
            here = self._of_origin[origin] = Slots(self._most_per_origin)
        if here.take_next(account_id):
            if self._all.take_next(account_id):
                return
            here.give_back(account_id)
        try:
            async with asyncio.timeout(within_s):
                await self._wait(account_id, here)
        finally:
            self._forget_if_idle(origin)

    def give_back(self, account_id: str, origin: Hashable) -> None:
        """Free one."""
        self._all.give_back(account_id)
        self._of_origin[origin].give_back(account_id)
        self._forget_if_idle(origin)

    def _forget_if_idle(self, origin: Hashable) -> None:
        if (here := self._of_origin.get(origin)) is not None and here.is_idle:
            del self._of_origin[origin]

    async def _wait(self, account_id: str, here: Slots) -> None:
        await here.wait(account_id)
        try:
            await self._all.wait(account_id)
        except asyncio.CancelledError:
            here.give_back(account_id)
            raise
