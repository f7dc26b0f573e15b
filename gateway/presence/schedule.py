"""When chats wake up, as one worker knows it, and whose turn it is where more wake up than there are places.

What Redis told a moment ago, so that nothing has to be asked of it until it is time. Nothing here is a promise: what is
wrong or forgotten, the next look at Redis puts right.
"""

import heapq
from collections import OrderedDict
from collections.abc import Callable

from gateway.presence.shares import Shares
from gateway.presence.steps import ChatKey

_SAME_S = 0.005
"""Two looks say the same instant a little differently."""


class Schedule:
    """Chats by when they wake up, in seconds of the local monotonic clock; those that should, in turns by account."""

    def __init__(self) -> None:
        """Know nothing yet."""
        self._at: dict[ChatKey, float] = {}
        self._heap: list[tuple[float, ChatKey, str]] = []
        self._ready: dict[str, OrderedDict[ChatKey, None]] = {}
        self._under_way: dict[ChatKey, tuple[float, str] | None] = {}

    def __len__(self) -> int:
        """How many chats are due, and wait for a place."""
        return sum(map(len, self._ready.values()))

    def learn(self, chat: ChatKey, at_s: float, account_id: str) -> None:
        """A chat wakes up then; what is ready, or under way, stays so until it ends."""
        if chat in self._under_way:
            self._under_way[chat] = at_s, account_id
            return
        if chat in self._ready.get(account_id, ()):
            return
        known_s = self._at.get(chat)
        if known_s is None or abs(known_s - at_s) > _SAME_S:
            self._at[chat] = at_s
            heapq.heappush(self._heap, (at_s, chat, account_id))

    def keep(self, stays: Callable[[ChatKey], bool]) -> None:
        """Forget all others: somebody else looks after them."""
        self._at = {chat: at_s for chat, at_s in self._at.items() if stays(chat)}
        for account_id, chats in list(self._ready.items()):
            self._ready[account_id] = OrderedDict.fromkeys(filter(stays, chats))

    @property
    def chats(self) -> list[ChatKey]:
        """Every chat that is known and not under way."""
        return [*self._at, *(chat for chats in self._ready.values() for chat in chats)]

    def next_s(self) -> float | None:
        """When the next chat wakes up, of those that are not ready yet."""
        while self._heap:
            at_s, chat, _ = self._heap[0]
            if self._at.get(chat) == at_s:
                return at_s
            heapq.heappop(self._heap)  # another time was learnt since
        return None

    def begin(self, now_s: float, shares: Shares) -> list[tuple[ChatKey, str]]:
        """Take places for chats that should wake up; returns each with its account, whose place it holds.

        Where there are more than places, whoever holds least comes first; of one account, what is the longest due.
        """
        while (at_s := self.next_s()) is not None and at_s <= now_s:
            _, chat, account_id = heapq.heappop(self._heap)
            del self._at[chat]
            self._ready.setdefault(account_id, OrderedDict())[chat] = None
        begun: list[tuple[ChatKey, str]] = []
        turns = sorted(self._ready, key=lambda account_id: shares.held.get(account_id, 0))
        while turns:
            turns = [account_id for account_id in turns if self._begin_one(account_id, shares, begun)]
        return begun

    def _begin_one(self, account_id: str, shares: Shares, begun: list[tuple[ChatKey, str]]) -> bool:
        """Begin one chat of an account; False where it has no more, or its share of the places."""
        chats = self._ready[account_id]
        if not chats:
            del self._ready[account_id]
            return False
        if not shares.take(account_id):
            return False
        chat, _ = chats.popitem(last=False)
        self._under_way[chat] = None
        begun.append((chat, account_id))
        return True

    def end(self, chat: ChatKey) -> bool:
        """A chat is under way no longer; returns whether it was learnt meanwhile when it wakes up next."""
        learnt = self._under_way.pop(chat, None)
        if learnt is not None:
            self.learn(chat, *learnt)
        return learnt is not None
