"""Why indicators ended: read for people, never on the way of a command."""

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass

from gateway.store import keys
from gateway.store.redis import Executor, command

MOST = 100
"""No list of ends is longer."""

_AT_ONCE = 100


@dataclass(frozen=True, slots=True)
class End:
    """One indicator that ended; instants are Unix seconds, `by` is time, pause, message, natural or replaced."""

    instance_id: str
    chat: str
    state: str
    since_s: float
    ended_s: float
    by: str


class RedisEnds:
    """Reads what settlements noted in the last `history_s` seconds; 0 is nothing."""

    def __init__(self, redis: Executor, *, history_s: float) -> None:
        self._redis = redis
        self._history_ms = round(history_s * 1000)

    async def of(self, instance_ids: Sequence[str], *, most: int = MOST) -> list[End]:
        """Return the last ends on some instances, the newest first, `most` at the most.

        Raises:
            StoreUnavailable: Redis did not answer.
        """
        if not self._history_ms:
            return []
        oldest_ms = round(time.time() * 1000) - self._history_ms
        found: list[End] = []
        for start in range(0, len(instance_ids), _AT_ONCE):
            found += await self._read(instance_ids[start : start + _AT_ONCE], oldest_ms, most)
            found = sorted(found, key=lambda end: end.ended_s, reverse=True)[:most]
            if len(found) == most:  # only what is newer can still come among them
                oldest_ms = round(found[-1].ended_s * 1000)
        return found

    async def _read(self, instance_ids: Sequence[str], oldest_ms: int, most: int) -> list[End]:
        streams = await asyncio.gather(
            *(command(self._redis, "XREVRANGE", keys.ends(one), "+", oldest_ms, "COUNT", most) for one in instance_ids)
        )
        return [
            _end(instance_id, entry_id, fields)
            for instance_id, entries in zip(instance_ids, streams, strict=True)
            for entry_id, fields in entries
        ]


def _end(instance_id: str, entry_id: bytes, flat: Sequence[bytes]) -> End:
    ended_ms, fields = int(entry_id.partition(b"-")[0]), dict(zip(flat[::2], flat[1::2], strict=True))
    chat, state, by = (fields[name].decode() for name in (b"chat", b"state", b"by"))
    return End(instance_id, chat, state, int(fields[b"since"]) / 1000, ended_ms / 1000, by)
