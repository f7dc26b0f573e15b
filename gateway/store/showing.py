"""What chats show right now, and how much is owed: read for people, never on the way of a command."""

import time
from collections.abc import Sequence
from dataclasses import dataclass

from redis.asyncio import Redis

from gateway.store import keys
from gateway.store.redis import Script, store_errors

MOST = 500
"""No list for people is longer."""

_AT_ONCE = 200
_OWED_AT_MOST = 5000
"""Chats of one instance that are counted; an operator's total counts all."""


@dataclass(frozen=True, slots=True)
class Indicator:
    """One indicator that shows; instants are Unix seconds, `ends_s` None where no end was asked for."""

    instance_id: str
    chat: str
    state: str
    since_s: float
    ends_s: float | None

    def overdue_s(self, now_s: float) -> float:
        """Return for how long its pause has been due."""
        return 0.0 if self.ends_s is None else max(0.0, now_s - self.ends_s)


class RedisShowing:
    """Reads the chats' records without touching them."""

    def __init__(self, redis: Redis) -> None:
        self._redis = redis
        self._showing = Script(redis, "store/showing")

    async def of(self, instance_ids: Sequence[str], *, most: int = MOST) -> list[Indicator]:
        """Return what shows on some instances, the newest first, `most` at the most.

        Raises:
            StoreUnavailable: Redis did not answer.
        """
        found: list[Indicator] = []
        for start in range(0, len(instance_ids), _AT_ONCE):
            flat = await self._showing((), (most, *instance_ids[start : start + _AT_ONCE]))
            found += [_read(flat[place : place + 5]) for place in range(0, len(flat), 5)]
        return sorted(found, key=lambda shown: shown.since_s, reverse=True)[:most]

    async def owed(self, instance_ids: Sequence[str] | None = None) -> tuple[int, float]:
        """Return how many chats wait for a wake-up, and for how long (seconds) the oldest of them is overdue.

        Of all instances, or of some. What an instance owes is told by its chats, in steps of one round trip.
        """
        if instance_ids is None:
            async with store_errors(), self._redis.pipeline(transaction=False) as pipe:
                pipe.zcard(keys.OWED)
                pipe.zrange(keys.OWED, 0, 0, withscores=True)
                count, oldest = await pipe.execute()
            return count, max(0.0, time.time() - oldest[0][1] / 1000) if oldest else 0.0
        async with store_errors(), self._redis.pipeline(transaction=False) as pipe:
            for instance_id in instance_ids:
                pipe.zrangebyscore(keys.chats(instance_id), "+inf", "+inf", 0, _OWED_AT_MOST)
            chats = await pipe.execute()
        records = [
            keys.record(instance_id, jid.decode())
            for instance_id, jids in zip(instance_ids, chats, strict=True)
            for jid in jids
        ]
        if not records:
            return 0, 0.0
        async with store_errors():
            due = [score for score in await self._redis.zmscore(keys.OWED, records) if score is not None]
        return len(due), max(0.0, time.time() - min(due) / 1000) if due else 0.0


def _read(raw: list[bytes]) -> Indicator:
    instance_id, chat, state, since_ms, until_ms = (value.decode() for value in raw)
    ends_s = int(until_ms) / 1000 if until_ms != "0" else None
    return Indicator(instance_id, chat, state, int(since_ms) / 1000, ends_s)
