"""Carries data over: from the names that 0.1.0 gave its keys to those of today, and from one Redis to another.

Nothing of the gateway may run meanwhile. Every step may be repeated: what was carried is removed where it came from
when it is there, and not before, so that an upgrade that was broken off goes on when it is run again.
"""

from collections.abc import AsyncIterator

from redis.asyncio import Redis

from gateway.store import keys
from gateway.store.redis import Executor, command, store_errors

_OLD = "pg:"
_NEW = "pg:{"
_RECORD, _CHATS, _ENDS = "pg:c:", "pg:chats:", "pg:ends:"
_OWED, _LATE, _QUIET = "pg:owed", "pg:late", "pg:quiet"
_INDEXES = ("pg:accounts", "pg:tokens", "pg:changes")
"""Carried last: while they are there, the upgrade is not over."""

_GONE = ("pg:queue", "pg:processes", "pg:t:", "pg:q:", _CHATS, _OWED, _LATE, _QUIET)
"""What is told by other keys, or over before anybody starts again."""

_ARQ = "arq:"
_AT_ONCE = 500


def tenant_key(old: str) -> str:
    """Return what a key of tenants is called today that 0.1.0 called `old`."""
    return old if old.startswith(_NEW) else keys.NONE + old.removeprefix(_OLD)


async def is_old(redis: Redis, url: str) -> bool:
    """Whether data of 0.1.0 are here, at `url`, that were not carried over; 0.1.0 knew no cluster.

    Raises:
        StoreUnavailable: Redis did not answer.
    """
    return not url.startswith("cluster:") and bool(await command(redis, "EXISTS", *_INDEXES, _OWED))


class Upgrade:
    """From one server to wherever the installation keeps its data, which may be the same."""

    def __init__(self, source: Redis, target: Executor, *, is_same: bool) -> None:
        """Carry from `source` to `target`; where they are the same, old names are removed on the way."""
        self._source = source
        self._target = target
        self._is_same = is_same

    async def run(self) -> int:
        """Carry everything; returns how many keys.

        Raises:
            StoreUnavailable: one of the two did not answer; run it again.
        """
        late = dict(await self._scores(_LATE))
        owed = dict(await self._scores(_OWED))
        last: list[str] = []
        count = 0
        async for key in self._keys():
            if key in _INDEXES:
                last.append(key)
            elif key.startswith(_RECORD):
                count += await self._carry_record(key, owed.get(key), late.get(key))
            elif key.startswith(_ENDS):
                count += await self._carry(key, keys.ends(key.removeprefix(_ENDS)))
            elif not key.startswith((*_GONE, _ARQ)):
                count += await self._carry(key, key if key.startswith(_NEW) else tenant_key(key))
        for instance_id, at_ms in await self._scores(_QUIET):
            await command(self._target, "ZADD", keys.resting(keys.partition(instance_id)), at_ms, instance_id)
        if self._is_same:
            await self._remove_what_is_gone()
        for key in last:
            count += await self._carry(key, tenant_key(key))
        return count

    async def _carry_record(self, key: str, at_ms: float | None, late_ms: float | None) -> int:
        instance_id, _, jid = key.removeprefix(_RECORD).partition(":")
        new, number = keys.record(instance_id, jid), keys.partition(instance_id)
        carried = await self._carry(key, new, keeps=True)
        if at_ms is not None:
            await command(self._target, "ZADD", keys.chats(instance_id), at_ms, jid)
            await command(self._target, "ZADD", keys.queue(number), "LT", at_ms, instance_id)
        if late_ms is not None:
            await command(self._target, "ZADD", keys.late(number), late_ms, new)
        if self._is_same:
            await command(self._source, "UNLINK", key)
        return carried

    async def _carry(self, key: str, new: str, *, keeps: bool = False) -> int:
        """Write a key's copy, under the name that it has from now on; returns whether it was there."""
        if self._is_same and key == new:
            return 0
        left_ms, dump = await command(self._source, "PTTL", key), await command(self._source, "DUMP", key)
        if dump is None:
            return 0
        await command(self._target, "RESTORE", new, max(left_ms, 0), dump, "REPLACE")
        if self._is_same and not keeps:
            await command(self._source, "UNLINK", key)
        return 1

    async def _remove_what_is_gone(self) -> None:
        gone = [key async for key in self._keys() if key.startswith((*_GONE, _ARQ))]
        for start in range(0, len(gone), _AT_ONCE):
            await command(self._source, "UNLINK", *gone[start : start + _AT_ONCE])

    async def _keys(self) -> AsyncIterator[str]:
        async with store_errors():
            for pattern in (_OLD + "*", _ARQ + "*"):
                async for key in self._source.scan_iter(match=pattern, count=_AT_ONCE):
                    yield key.decode()

    async def _scores(self, key: str) -> list[tuple[str, float]]:
        """Return the members of a sorted set of 0.1.0, and their scores."""
        if await command(self._source, "TYPE", key) != b"zset":
            return []
        async with store_errors():
            found = await self._source.zrange(key, 0, -1, withscores=True)
        return [(member.decode(), score) for member, score in found]
