"""How a worker finds its work: it looks at what wakes up soon, sleeps until then, and claims it when it is time.

A look at a partition tells what of it wakes up within the next while. No promise wakes up sooner than workers look
again, but for what must be done at once, of which they are told (`told`). So nothing is asked of Redis in vain, and a
pause is late by a timer, not by a poll.
"""

import asyncio
from collections.abc import Callable, Coroutine, Iterable
from typing import Any

from gateway.presence import ids
from gateway.presence.errors import StoreUnavailable
from gateway.presence.places import Places
from gateway.presence.ports import Directory, Indicators
from gateway.presence.schedule import Schedule
from gateway.presence.steps import ChatKey, Claim
from gateway.presence.wakeups import WakeUpResult
from workers.asking import Asking
from workers.watch import Watch

LOOK_EVERY_S = 0.9
"""Sooner than a promise can wake up whose making was not told (`SOON` in `waking.lua`)."""

_AHEAD_MS = 1200
"""A look that is late finds nothing overdue."""

_TOGETHER_S = 0.004
"""Between two claims, or a notice and its look: what comes in between is done in one go."""

_TICK_S = 0.001
"""What the event loop's clock can tell apart."""

_AGAIN_S = 0.1
"""Between two tries at a server that does not answer."""

_CHANGE_S = 0.03
"""For so long what was claimed waits for word of the latest change: chats are on other servers than tenants, and what
is remembered of those will do where theirs is slow or away."""


class Rounds:
    """The rounds of one worker."""

    def __init__(
        self,
        indicators: Indicators,
        directory: Directory,
        places: Places,
        watch: Watch,
        *,
        mine: Callable[[], Iterable[int]],
        begin: Callable[[Coroutine[Any, Any, None]], object],
        perform: Callable[[Claim, str | None], Coroutine[Any, Any, WakeUpResult | None]],
        rest: Callable[[int], Coroutine[Any, Any, None]],
        beat: Callable[[], Coroutine[Any, Any, bool]],
        tidy: Callable[[], Coroutine[Any, Any, None]],
    ) -> None:
        """Look after the partitions that are `mine`.

        Args:
            indicators: what Redis knows.
            directory: whose chats they are.
            places: where wake-ups are performed, each in its account's share.
            watch: who keeps an eye on this.
            mine: says which partitions, now.
            begin: runs a wake-up beside others.
            perform: does what was claimed.
            rest: makes accounts of a partition unavailable whose time has come.
            beat: is called with each look at all; says whether to tidy. Others' partitions may be `mine` after it.
            tidy: tidies what tenants left.
        """
        self._indicators, self._directory = indicators, directory
        self._places, self._watch = places, watch
        self._mine, self._begin, self._perform, self._rest = mine, begin, perform, rest
        self._beat, self._tidy = beat, tidy
        self._loop = asyncio.get_running_loop()
        self._schedule = Schedule()
        self._news = asyncio.Event()
        self._look_s = self._claim_s = self._loop.time()
        self._looking, self._soon, self._resting = set[int](), set[int](), set[int]()
        self._asking = Asking(self._news.set)
        self._owners: dict[ChatKey, str] = {}
        self._is_closed = False
        places.freed = self._freed

    async def once(self) -> None:
        """Sleep until something is to be done, and begin it.

        Raises:
            Exception: what went wrong beside, and nobody expected.
        """
        await self._sleep()
        self._asking.check()
        now_s = self._loop.time()
        if now_s >= self._look_s:
            self._look_s = now_s + LOOK_EVERY_S
            self._look_at_all()
        if now_s >= self._claim_s:
            self._claim(now_s)
        elif len(self._schedule):
            self._loop.call_later(_TOGETHER_S, self._news.set)  # a place came free just after a claim

    def told(self, partition: int | None) -> None:
        """Something of a partition, or of any, wakes up sooner than the next look."""
        if partition is None:
            self._look_s = 0.0
            self._news.set()
        elif partition in self._mine():
            self._look_soon(partition, _TOGETHER_S)

    async def close(self) -> None:
        """Begin nothing more, and wait for what was asked."""
        self._is_closed = True
        await self._asking.close()

    async def _sleep(self) -> None:
        """Sleep until the next chat wakes up, the next look, or news."""
        next_s = self._schedule.next_s()
        until_s = self._look_s if next_s is None else min(self._look_s, max(next_s, self._claim_s))
        wait_s = until_s - self._loop.time()
        if wait_s <= 0:
            return
        timer = self._loop.call_later(max(wait_s, _TICK_S), self._news.set)
        await self._news.wait()
        timer.cancel()
        self._news.clear()

    def _look_at_all(self) -> None:
        mine = set(self._mine())
        self._asking.begin(self._say(mine))
        partition = self._indicators.partition
        if any(partition(chat) not in mine for chat in self._schedule.chats):
            self._schedule.keep(lambda chat: partition(chat) in mine)
            self._owners = {chat: owner for chat, owner in self._owners.items() if partition(chat) in mine}
        self._asking.begin(self._look_at(mine))

    async def _say(self, mine: set[int]) -> None:
        """Say that we work; what another worker left to us is looked at now."""
        wants_tidying = await self._beat()
        await self._look_at(set(self._mine()) - mine)
        if wants_tidying:
            await self._tidy()

    async def _look_at(self, partitions: set[int]) -> None:
        used = set(await self._indicators.in_use(partitions))
        if partitions and not used:
            self._watch.saw()
        for partition in used - self._looking - self._soon:
            self._asking.begin(self._look(partition))

    async def _look(self, partition: int) -> None:
        self._looking.add(partition)
        try:
            look = await self._indicators.look(partition, ahead_ms=_AHEAD_MS)
            now_s = self._loop.time()
            whose = {one: await self._directory.account_of(one) for one in {chat.instance_id for chat, _ in look.due}}
            for chat, in_ms in look.due:
                self._schedule.learn(chat, now_s + in_ms / 1000, whose[chat.instance_id])
        except StoreUnavailable as error:
            self._watch.missed(error)
            self._look_soon(partition, _AGAIN_S)
            return
        finally:
            self._looking.discard(partition)
        self._watch.saw()
        if look.due:
            self._news.set()
        if look.may_rest and partition not in self._resting:
            self._resting.add(partition)
            self._asking.begin(self._make_rest(partition))

    def _look_soon(self, partition: int, in_s: float) -> None:
        """Look at a partition in a moment, once for all that is told of it meanwhile."""
        if partition not in self._soon:
            self._soon.add(partition)
            self._loop.call_later(in_s, self._look_now, partition)

    def _look_now(self, partition: int) -> None:
        self._soon.discard(partition)
        if not self._is_closed:
            self._asking.begin(self._look(partition))

    async def _make_rest(self, partition: int) -> None:
        try:
            await self._rest(partition)
        finally:
            self._resting.discard(partition)

    def _claim(self, now_s: float) -> None:
        """Claim what wakes up now, as far as there are places: one call for each partition, and name to ask under."""
        begun = self._schedule.begin(now_s, self._places)
        if not begun:
            return
        self._claim_s = now_s + _TOGETHER_S
        together: dict[tuple[int, str], list[tuple[ChatKey, str]]] = {}
        for chat, account_id in begun:
            # Asked again under the same name: what a lost reply held comes with the next.
            owner = self._owners.pop(chat, "")
            together.setdefault((self._indicators.partition(chat), owner), []).append((chat, account_id))
        change = self._asking.begin(self._latest_change())
        for (_, owner), some in together.items():
            self._asking.begin(self._claim_some(some, owner or ids.fresh(), change))

    async def _latest_change(self) -> str | None:
        """Return the latest change; None where Redis does not say: what is remembered will do."""
        try:
            return await self._directory.latest_change()
        except StoreUnavailable:
            return None

    async def _claim_some(self, some: list[tuple[ChatKey, str]], owner: str, change: asyncio.Task[str | None]) -> None:
        try:
            claims = await self._indicators.claim([chat for chat, _ in some], owner=owner)
        except StoreUnavailable as error:
            self._watch.missed(error)
            for chat, account_id in some:
                self._owners[chat] = owner
                self._let_go(chat, account_id, _AGAIN_S)
            return
        if not change.done():  # where both were asked of one server, it is
            await asyncio.wait({change}, timeout=_CHANGE_S)
        as_of = change.result() if change.done() else None
        for (chat, account_id), claim in zip(some, claims, strict=True):
            if isinstance(claim, Claim):
                self._begin(self._do(claim, as_of, account_id))
            else:
                self._let_go(chat, account_id, None if claim is None else max(claim, 1) / 1000)

    def _let_go(self, chat: ChatKey, account_id: str, again_s: float | None) -> None:
        """Give a place back; the chat wakes up after so long, or not at all."""
        self._schedule.end(chat)
        self._places.give_back(account_id)
        if again_s is not None:
            self._schedule.learn(chat, self._loop.time() + again_s, account_id)
            self._news.set()

    async def _do(self, claim: Claim, change: str | None, account_id: str) -> None:
        began_s, done = self._loop.time(), None
        try:
            done = await self._perform(claim, change)
        finally:
            if self._schedule.end(claim.grant.key):
                self._news.set()
            self._places.end(account_id, began_s, done)

    def _freed(self) -> None:
        """A place is free: for a chat that waits for one."""
        if len(self._schedule):
            self._news.set()
