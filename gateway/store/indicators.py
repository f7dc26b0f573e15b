"""The chats' records in Redis: promise, settle, look, claim. Each is one script and one round trip."""

import time
from collections.abc import Callable, Collection, Coroutine, Sequence
from functools import lru_cache
from typing import Any

from gateway.presence.errors import StoreUnavailable
from gateway.presence.model import Chat, State
from gateway.presence.steps import (
    Busy,
    ChatKey,
    Claim,
    Grant,
    Look,
    NothingShows,
    Overtaken,
    RefreshPolicy,
    Repeated,
    Report,
    Settled,
    Unclear,
    Why,
)
from gateway.store import keys
from gateway.store.partitions import QUEUES, Partitions
from gateway.store.redis import Executor, Script
from gateway.store.replies import claimed, promised

_ASK_AT_MOST = 2

_LOOKED_AT = 4000
"""Chats of one partition that one look brings at the most: a few milliseconds of Redis' time."""

_SETTLED = Settled(lost_lease=False, late_ms=None)


class RedisIndicators:
    """`ports.Indicators` on Redis.

    Args:
        redis: the connections.
        lease_s: for how long one call may own a chat.
        echo_s: for how long after an unknown outcome an upstream may still act.
        patience_s: for how long a reply of Redis is awaited; what it runs later, nobody waits for.
        history_s: for how long it is known why an indicator ended; 0 keeps nothing of it.
        monotonic: the local clock.
        clock_us: replaces Redis' own clock in tests that run in virtual time.
    """

    def __init__(
        self,
        redis: Executor,
        *,
        lease_s: float,
        echo_s: float,
        patience_s: float,
        history_s: float = 0.0,
        monotonic: Callable[[], float] = time.monotonic,
        clock_us: Callable[[], int] | None = None,
    ) -> None:
        self._promise = Script(redis, "store/promise")
        self._settle = Script(redis, "store/settle", in_passing=True)
        self._refreshed = Script(redis, "store/refreshed", in_passing=True)
        self._look = Script(redis, "store/look")
        self._claim = Script(redis, "store/claim")
        self._replay = Script(redis, "store/replay")
        self._lease_ms = round(lease_s * 1000)
        self._echo_ms = round(echo_s * 1000)
        self._history_ms = round(history_s * 1000)
        self._patience_us = round(patience_s * 1_000_000)
        self._partitions = Partitions(redis, monotonic=monotonic, clock_us=clock_us)
        self._monotonic = monotonic
        self._clock_us = clock_us

    async def promise(
        self,
        key: ChatKey,
        op: State,
        duration_ms: int,
        *,
        owner: str,
        ticket: str | None,
        trace: str,
        refresh: RefreshPolicy,
        why: Why = "",
        ahead: bool = False,
    ) -> Grant | Busy | Overtaken | Repeated | NothingShows | Unclear:
        """Take the lease and arm a provisional pause (see `ports.Indicators.promise`)."""
        number = keys.partition(key.instance_id)
        clock = self._partitions.clocks[number]
        for _ in range(_ASK_AT_MOST):
            if not clock.is_known and not (await self.servers())[number]:
                raise StoreUnavailable
            asked_us = self._monotonic_us()
            # When nobody waits any more for what is asked now, on Redis' clock; never too early.
            ends_us = clock.at_most_us(asked_us) + self._patience_us
            words = (owner, ticket or "0", op, duration_ms, self._lease_ms, self._echo_ms, trace, ends_us, why)
            refresh_ms, life_ms, quiet_ms = _in_ms(refresh)
            verdict, *rest = await self._promise(
                (keys.record(key.instance_id, key.chat.jid),),
                (self._now(), *words, refresh_ms, life_ms, quiet_ms, int(ahead)),
            )
            if verdict != b"expired":
                # The lease surely ends then: it is counted from before the request.
                deadline_s = asked_us / 1_000_000 + self._lease_ms / 1000
                return promised(Grant(key, owner, op, deadline_s), verdict, rest)
            clock.doubt()  # it says that nobody waits any more, and we do
        raise StoreUnavailable

    def settle_command(
        self, grant: Grant, report: Report, duration_ms: int, why: Why = ""
    ) -> Coroutine[Any, Any, Settled]:
        """Record what became of a command's call (see `ports.Indicators.settle_command`)."""
        return self._settled(grant, report, duration_ms, -1, why)

    async def settle_wake(self, grant: Grant, report: Report, *, retry_ms: int | None) -> Settled:
        """Record what became of a refresh or a pause (see `ports.Indicators.settle_wake`)."""
        if grant.op is not State.PAUSED and report.result == "ok" and await self._is_refreshed(grant, report):
            return _SETTLED
        return await self._settled(grant, report, -1, -1 if retry_ms is None else retry_ms, "")

    async def _is_refreshed(self, grant: Grant, report: Report) -> bool:
        """Record a refresh that was sent; False where its lease is lost, which `settle` repairs."""
        refresh_ms, life_ms, _ = _in_ms(report.refresh)
        done = await self._refreshed(
            (keys.record(grant.key.instance_id, grant.key.chat.jid),),
            (self._now(), grant.owner, report.sent_ms_ago or 0, refresh_ms, life_ms),
        )
        return bool(done)

    async def look(self, partition: int, *, ahead_ms: int) -> Look:
        """Say what of a partition wakes up within the next while (see `ports.Indicators.look`)."""
        now_ms, may_rest, *found = await self._look(
            (QUEUES[partition],), (self._now(), ahead_ms, _LOOKED_AT, self._lease_ms)
        )
        due = []
        for chats_id, chats in zip(found[::2], found[1::2], strict=True):
            instance_id = chats_id.decode()
            for jid, at in zip(chats[::2], chats[1::2], strict=True):
                due.append((ChatKey(instance_id, Chat(jid.decode())), int(at) - now_ms))
        return Look(due, bool(may_rest))

    async def claim(self, chats: Sequence[ChatKey], *, owner: str) -> list[Claim | int | None]:
        """Take the leases of chats of one partition (see `ports.Indicators.claim`)."""
        deadline_s = self._deadline_s()
        words = [word for key in chats for word in (key.instance_id, key.chat.jid)]
        now_ms, *found = await self._claim(
            (QUEUES[self.partition(chats[0])],), (self._now(), owner, self._lease_ms, self._echo_ms, *words)
        )
        return [
            claimed(key, owner, deadline_s, told) if isinstance(told, list) else told - now_ms if told else None
            for key, told in zip(chats, found, strict=True)
        ]

    @staticmethod
    def partition(key: ChatKey) -> int:
        """Say in which partition a chat is."""
        return keys.partition(key.instance_id)

    async def in_use(self, partitions: Collection[int]) -> Collection[int]:
        """Return those of some partitions in which something may be (see `ports.Indicators.in_use`)."""
        return await self._partitions.in_use(partitions)

    async def servers(self) -> list[str]:
        """Name the server that answers for each partition (see `ports.Indicators.servers`)."""
        return await self._partitions.servers()

    async def replay(
        self, key: ChatKey, op: State, left_ms: int | None, *, ticket: str, refresh: RefreshPolicy
    ) -> bool:
        """Put back a command that the record does not know (see `ports.Indicators.replay`)."""
        refresh_ms, life_ms, quiet_ms = _in_ms(refresh)
        left = "" if left_ms is None else left_ms
        lost = await self._replay(
            (keys.record(key.instance_id, key.chat.jid),),
            (self._now(), ticket, op, left, refresh_ms, life_ms, self._echo_ms, quiet_ms),
        )
        return bool(lost)

    async def _settled(self, grant: Grant, report: Report, duration_ms: int, retry_ms: int, why: Why) -> Settled:
        refresh_ms, life_ms, quiet_ms = _in_ms(report.refresh)
        verdict, late_ms = await self._settle(
            (keys.record(grant.key.instance_id, grant.key.chat.jid),),
            (
                self._now(),
                grant.owner,
                grant.op,
                report.result,
                duration_ms,
                report.answered_ms_ago,
                -1 if report.sent_ms_ago is None else report.sent_ms_ago,
                refresh_ms,
                life_ms,
                self._echo_ms,
                retry_ms,
                grant.ticket or "0",
                self._answered_by_ms(grant, report) if duration_ms >= 0 else 0,
                why,
                quiet_ms,
                self._history_ms,
                report.outcome,
            ),
        )
        if verdict != b"lost" and late_ms < 0:
            return _SETTLED
        return Settled(lost_lease=verdict == b"lost", late_ms=late_ms if late_ms >= 0 else None)

    def _answered_by_ms(self, grant: Grant, report: Report) -> int:
        """When a command's call was answered at the latest, on Redis' clock: so long after its promise."""
        asked_s = grant.deadline_s - self._lease_ms / 1000
        after_ms = round((self._monotonic() - asked_s) * 1000) - report.answered_ms_ago
        return grant.promised_ms + min(after_ms, self._lease_ms)

    def _monotonic_us(self) -> int:
        return round(self._monotonic() * 1_000_000)

    def _deadline_s(self) -> float:
        """When a lease that we ask for now surely ends; counted from before the request, so never too late."""
        return self._monotonic() + self._lease_ms / 1000

    def _now(self) -> Any:
        return "" if self._clock_us is None else self._clock_us()


@lru_cache(maxsize=64)
def _in_ms(refresh: RefreshPolicy) -> tuple[int, int, int]:
    return round(refresh.refresh_s * 1000), round(refresh.life_s * 1000), round(refresh.quiet_s * 1000)
