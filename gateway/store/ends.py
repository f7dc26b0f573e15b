"""What became of indicators: why they ended, or never showed. Read for people, never on the way of a command."""

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from gateway.store import keys
from gateway.store.redis import Executor, command

MOST = 100
"""No list of ends is longer."""

MOST_TOLD = 500
"""Nor any of all that chats were told."""

_AT_ONCE = 100
_OF_INSTANCE = 400
"""More than is kept of one instance (`settle.lua`)."""

_NOT_SHOWN = {"failed", "abandoned"}


@dataclass(frozen=True, slots=True)
class End:
    """What became of one indicator; instants are Unix seconds.

    Attributes:
        instance_id: under which id of chats it was kept.
        chat: the JID.
        state: what showed, or was asked for.
        since_s: when it began to show; of what never did, when it was asked for.
        ended_s: when it was over.
        by: time, pause, message, natural or replaced; of a command that came to nothing `failed`, of a pause that
            never reached the upstream `abandoned`.
        asked_s: until when it was asked for; None where no end was.
        sent_s: when the upstream was last told to show it; None where that is not known.
        tries: how often its pause failed before.
        is_sure: False where the upstream's answer did not say whether it acted.
        outcome: what became of the call that failed, in a word; '' where nobody was called.
    """

    instance_id: str
    chat: str
    state: str
    since_s: float
    ended_s: float
    by: str
    asked_s: float | None = None
    sent_s: float | None = None
    tries: int = 0
    is_sure: bool = True
    outcome: str = ""

    @property
    def is_end(self) -> bool:
        """Whether something showed and was ended."""
        return self.by not in _NOT_SHOWN


class RedisEnds:
    """Reads what settlements noted in the last `history_s` seconds; 0 is nothing."""

    def __init__(self, redis: Executor, *, history_s: float) -> None:
        self._redis = redis
        self.history_s = history_s
        self._history_ms = round(history_s * 1000)

    async def of(self, instance_ids: Sequence[str], *, most: int = MOST) -> list[End]:
        """Return the last ends on some instances, the newest first, `most` at the most.

        Raises:
            StoreUnavailable: Redis did not answer.
        """
        return await self._newest(instance_ids, most, ends_only=True)

    async def told(self, instance_ids: Sequence[str], *, most: int = MOST_TOLD) -> list[End]:
        """Return those and what came to nothing too, the newest first.

        Raises:
            StoreUnavailable: Redis did not answer.
        """
        return await self._newest(instance_ids, most, ends_only=False)

    async def _newest(self, instance_ids: Sequence[str], most: int, *, ends_only: bool) -> list[End]:
        if not self._history_ms:
            return []
        oldest_ms = round(time.time() * 1000) - self._history_ms
        found: list[End] = []
        for start in range(0, len(instance_ids), _AT_ONCE):
            read = await self._read(instance_ids[start : start + _AT_ONCE], oldest_ms)
            found += [one for one in read if one.is_end or not ends_only]
            found = sorted(found, key=lambda end: end.ended_s, reverse=True)[:most]
            if len(found) == most:  # only what is newer can still come among them
                oldest_ms = round(found[-1].ended_s * 1000)
        return found

    async def _read(self, instance_ids: Sequence[str], oldest_ms: int) -> list[End]:
        streams = await asyncio.gather(
            *(
                command(self._redis, "XREVRANGE", keys.ends(one), "+", oldest_ms, "COUNT", _OF_INSTANCE)
                for one in instance_ids
            )
        )
        return [
            _end(instance_id, entry_id, fields)
            for instance_id, entries in zip(instance_ids, streams, strict=True)
            for entry_id, fields in entries
        ]


def _end(instance_id: str, entry_id: bytes, flat: Sequence[bytes]) -> End:
    ended_ms, fields = int(entry_id.partition(b"-")[0]), dict(zip(flat[::2], flat[1::2], strict=True))
    chat, state, by = (fields[name].decode() for name in (b"chat", b"state", b"by"))
    more = _outcome if by in _NOT_SHOWN else _details
    told = fields.get(b"told", b"").decode()
    return End(instance_id, chat, state, int(fields[b"since"]) / 1000, ended_ms / 1000, by, **more(told))


def _outcome(told: str) -> dict[str, Any]:
    return {"outcome": told}


def _details(told: str) -> dict[str, Any]:
    """Read what `settle.lua` says of an end in one field; an older version said nothing."""
    if not told:
        return {}
    asked_ms, sent_ms, tries, unsure = map(int, told.split())
    asked_s, sent_s = asked_ms / 1000 or None, sent_ms / 1000 or None
    return {"asked_s": asked_s, "sent_s": sent_s, "tries": tries, "is_sure": not unsure}
