"""The chats' records in Redis: promise, settle, claim, sweep. Each is one script and one round trip."""

import time
from collections.abc import Callable, Coroutine
from typing import Any

from gateway.presence.errors import StoreUnavailable
from gateway.presence.model import Chat, State
from gateway.presence.ports import (
    Busy,
    ChatKey,
    Claim,
    Early,
    Grant,
    NothingShows,
    Overtaken,
    RefreshPolicy,
    Repeated,
    Report,
    Settled,
    Why,
)
from gateway.presence.shares import Shares
from gateway.store import keys
from gateway.store.clock import RedisClock
from gateway.store.redis import Executor, Script, command
from gateway.store.replies import claimed, info, promised

_OVERDUE_MS = 2000
_SWEEP_AT_MOST = 500
_ASK_AT_MOST = 2

_FIELDS_OF_A_CLAIM = 10
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
        self._settle = Script(redis, "store/settle")
        self._claim_one = Script(redis, "store/claim_one")
        self._claim_due = Script(redis, "store/claim_due")
        self._sweep = Script(redis, "store/sweep")
        self._replay = Script(redis, "store/replay")
        self._redis = redis
        self._lease_ms = round(lease_s * 1000)
        self._echo_ms = round(echo_s * 1000)
        self._history_ms = round(history_s * 1000)
        self._patience_us = round(patience_s * 1_000_000)
        self._clock = RedisClock()
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
    ) -> Grant | Busy | Overtaken | Repeated | NothingShows:
        """Take the lease and arm a provisional pause (see `ports.Indicators.promise`)."""
        for _ in range(_ASK_AT_MOST):
            if not self._clock.is_known:
                await self.server()
            asked_us = self._monotonic_us()
            # When nobody waits any more for what is asked now, on Redis' clock; never too early.
            ends_us = self._clock.at_most_us(asked_us) + self._patience_us
            words = (owner, ticket or "0", op, duration_ms, self._lease_ms, self._echo_ms, trace, ends_us, why)
            refresh_ms, life_ms, quiet_ms = _in_ms(refresh)
            verdict, *rest = await self._promise(
                keys.of_chat(key.instance_id, key.chat.jid), (self._now(), *words, refresh_ms, life_ms, quiet_ms)
            )
            if verdict != b"expired":
                # The lease surely ends then: it is counted from before the request.
                deadline_s = asked_us / 1_000_000 + self._lease_ms / 1000
                return promised(Grant(key, owner, op, deadline_s), verdict, rest)
            self._clock.doubt()  # it says that nobody waits any more, and we do
        raise StoreUnavailable

    def settle_command(
        self, grant: Grant, report: Report, duration_ms: int, why: Why = ""
    ) -> Coroutine[Any, Any, Settled]:
        """Record what became of a command's call (see `ports.Indicators.settle_command`)."""
        return self._settled(grant, report, duration_ms, -1, why)

    def settle_wake(self, grant: Grant, report: Report, *, retry_ms: int | None) -> Coroutine[Any, Any, Settled]:
        """Record what became of a refresh or a pause (see `ports.Indicators.settle_wake`)."""
        return self._settled(grant, report, -1, -1 if retry_ms is None else retry_ms, "")

    async def claim_one(self, key: ChatKey, generation: str, *, owner: str) -> Claim | Early | None:
        """Take the lease for a wake-up (see `ports.Indicators.claim_one`)."""
        deadline_s = self._deadline_s()
        verdict, *rest = await self._claim_one(
            keys.of_chat(key.instance_id, key.chat.jid),
            (self._now(), owner, generation, self._lease_ms, self._echo_ms),
        )
        if verdict == b"early":
            return Early(int(rest[0]))
        if verdict != b"go":
            return None
        return claimed(key, owner, deadline_s, rest)

    async def claim_due(self, most: int, *, owner: str, shares: Shares) -> list[Claim]:
        """Take the leases of what is due (see `ports.Indicators.claim_due`)."""
        deadline_s = self._deadline_s()
        held = [word for pair in shares.held.items() for word in pair]
        flat = await self._claim_due(
            ("", keys.OWED, keys.QUEUE),
            (self._now(), owner, most, self._lease_ms, self._echo_ms, shares.free, *held),
        )
        claims = []
        for at in range(0, len(flat), _FIELDS_OF_A_CLAIM):
            instance_id, jid, *rest = flat[at : at + _FIELDS_OF_A_CLAIM]
            claims.append(claimed(parse_key(instance_id.decode(), jid.decode()), owner, deadline_s, rest))
        return claims

    async def server(self) -> str:
        """Name the server that answers (see `ports.Indicators.server`)."""
        asked_us = self._monotonic_us()
        told = info(await command(self._redis, "INFO", "server", "replication"))
        if told["role"] != "master" or told.get("min_slaves_good_slaves") == "0":
            raise StoreUnavailable  # it takes no writes, and what it knows may be lost
        redis_us = int(self._now() or told["server_time_usec"])
        self._clock.looked_at(redis_us, asked_us=asked_us, answered_us=self._monotonic_us())
        return told["run_id"]

    async def replay(
        self, key: ChatKey, op: State, left_ms: int | None, *, ticket: str, refresh: RefreshPolicy
    ) -> bool:
        """Put back a command that the record does not know (see `ports.Indicators.replay`)."""
        refresh_ms, life_ms, quiet_ms = _in_ms(refresh)
        left = "" if left_ms is None else left_ms
        lost = await self._replay(
            keys.of_chat(key.instance_id, key.chat.jid),
            (self._now(), ticket, op, left, refresh_ms, life_ms, self._echo_ms, quiet_ms),
        )
        return bool(lost)

    async def sweep(self) -> int:
        """Arm again what is overdue although nobody works on it; returns how many records that were.

        Raises:
            StoreUnavailable: Redis did not answer.
        """
        return int(await self._sweep(("", keys.OWED, keys.QUEUE), (self._now(), _OVERDUE_MS, _SWEEP_AT_MOST)))

    async def _settled(self, grant: Grant, report: Report, duration_ms: int, retry_ms: int, why: Why) -> Settled:
        refresh_ms, life_ms, quiet_ms = _in_ms(report.refresh)
        verdict, late_ms = await self._settle(
            keys.of_chat(grant.key.instance_id, grant.key.chat.jid),
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


def _in_ms(refresh: RefreshPolicy) -> tuple[int, int, int]:
    return round(refresh.refresh_s * 1000), round(refresh.life_s * 1000), round(refresh.quiet_s * 1000)


def parse_key(instance_id: str, jid: str) -> ChatKey:
    """Rebuild a key from a job's arguments; what the gateway wrote is canonical already."""
    return ChatKey(instance_id, Chat(jid))
