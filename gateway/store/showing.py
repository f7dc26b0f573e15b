"""What chats show right now, and how much is owed: read for people, never on the way of a command."""

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass

from gateway.store import keys
from gateway.store.health import RedisHealth
from gateway.store.redis import Executor, Script, command

MOST = 500
"""No list for people is longer."""

_AT_ONCE = 200


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

    def __init__(self, redis: Executor, health: RedisHealth) -> None:
        self._redis = redis
        self._health = health
        self._showing = Script(redis, "store/showing")

    async def of(self, instance_ids: Sequence[str], *, most: int = MOST) -> list[Indicator]:
        """Return what shows on some instances, the newest first, `most` at the most.

        Raises:
            StoreUnavailable: Redis did not answer.
        """
        found: list[Indicator] = []
        for start in range(0, len(instance_ids), _AT_ONCE):
            some = instance_ids[start : start + _AT_ONCE]
            every = await asyncio.gather(*(self._showing((keys.chats(one),), (most,)) for one in some))
            for instance_id, flat in zip(some, every, strict=True):
                found += [_read(instance_id, flat[place : place + 4]) for place in range(0, len(flat), 4)]
        return sorted(found, key=lambda shown: shown.since_s, reverse=True)[:most]

    async def owed(self, instance_ids: Sequence[str] | None = None) -> tuple[int, float]:
        """Return how many chats wait for a wake-up, and for how long (seconds) the oldest of them is overdue.

        Of all instances, or of some.
        """
        if instance_ids is None:
            backlog = await self._health.backlog()
            return backlog.owed, backlog.oldest_overdue_s
        now_ms = time.time() * 1000
        owed, oldest_ms = 0, now_ms
        for start in range(0, len(instance_ids), _AT_ONCE):
            some = [keys.chats(one) for one in instance_ids[start : start + _AT_ONCE]]
            owed += sum(await asyncio.gather(*(command(self._redis, "ZCARD", key) for key in some)))
            firsts = await asyncio.gather(*(command(self._redis, "ZRANGE", key, 0, 0, "WITHSCORES") for key in some))
            oldest_ms = min([oldest_ms, *(float(first[1]) for first in firsts if first)])
        return owed, (now_ms - oldest_ms) / 1000


def _read(instance_id: str, raw: list[bytes]) -> Indicator:
    chat, state, since_ms, until_ms = (value.decode() for value in raw)
    ends_s = int(until_ms) / 1000 if until_ms != "0" else None
    return Indicator(instance_id, chat, state, int(since_ms) / 1000, ends_s)
