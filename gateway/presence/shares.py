"""What is shared has a share for everybody: nobody may hold more of it than is free.

So one alone may hold half, and with places coming and going two hold a third each, three a quarter: as much as anybody
holds is free for whoever comes next. The rule needs no figure of its own, and nobody has to know how many share.
"""

import asyncio
from collections import Counter, OrderedDict, deque
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager


class Shares:
    """So many places, of which each owner holds some."""

    def __init__(self, places: int) -> None:
        """Begin with all of them free."""
        self.free = places
        self._held: Counter[str] = Counter()

    @property
    def held(self) -> Mapping[str, int]:
        """How many each owner holds who holds any."""
        return self._held

    def take(self, owner: str) -> bool:
        """Take a place, unless the owner would have more than others find free."""
        held = self._held.get(owner, 0)
        if held >= self.free:
            return False
        self.free -= 1
        self._held[owner] = held + 1
        return True

    def give_back(self, owner: str) -> None:
        """Free a place."""
        self.free += 1
        self._held[owner] -= 1
        if not self._held[owner]:
            del self._held[owner]


class Slots(Shares):
    """Places that may be waited for; owners who wait have their turns, however many wait in the name of each."""

    def __init__(self, places: int) -> None:
        """Begin with all of them free."""
        super().__init__(places)
        self._waiting: OrderedDict[str, deque[asyncio.Future[None]]] = OrderedDict()

    @asynccontextmanager
    async def slot(self, owner: str) -> AsyncIterator[None]:
        """Hold a place inside the block, and wait for it where the owner has its share."""
        await self.wait(owner)
        try:
            yield
        finally:
            self.give_back(owner)

    @property
    def is_idle(self) -> bool:
        """Whether nobody holds a place, or waits for one."""
        return not self._held and not self._waiting

    def take_next(self, owner: str) -> bool:
        """Take a place now, unless the owner has its share, or others wait in its name."""
        return owner not in self._waiting and self.take(owner)

    async def wait(self, owner: str) -> None:
        """Take a place as soon as the owner may have one more."""
        if self.take_next(owner):
            return
        turn = asyncio.get_running_loop().create_future()
        self._waiting.setdefault(owner, deque()).append(turn)
        try:
            await turn
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled():
                self.give_back(owner)  # it was granted while we were told to stop
            raise

    def give_back(self, owner: str) -> None:
        """Free a place, and grant it to the next owner who may have it."""
        super().give_back(owner)
        while self._waiting and self._grant():
            pass

    def _grant(self) -> bool:
        for owner in self._waiting:
            if self.take(owner):
                self._grant_to(owner)
                return True
        return False

    def _grant_to(self, owner: str) -> None:
        turns = self._waiting.pop(owner)
        turn = turns.popleft()
        if turns:
            self._waiting[owner] = turns
        if turn.done():
            super().give_back(owner)
        else:
            turn.set_result(None)
