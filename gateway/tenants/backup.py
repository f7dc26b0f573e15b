"""All tenant data as lines of JSON, and back: accounts, instances, tokens, audit; no indicator, and no clear secret.

Tokens are in it as hashes and credentials as they are encrypted, so a backup is only good with the same keys.
"""

import json
from collections.abc import AsyncIterator, Iterable
from typing import Any

from redis.asyncio import Redis

from gateway.presence.errors import BackupUnreadable, Conflict
from gateway.store import keys
from gateway.store.redis import command, store_errors
from gateway.store.upgrade import tenant_key
from gateway.tenants.audit import RedisAudit
from gateway.tenants.tokens import TokenHasher

FORMAT = "presence-gateway backup"
VERSION = 1

_ONE_KEY = (
    keys.ACCOUNTS,
    keys.TOKEN_IDS,
    keys.EXPIRING,
    keys.LEAVING,
    keys.LEAVING_ACCOUNTS,
    keys.FORMERS,
    keys.AUDIT,
    keys.AUDITED,
)
_PATTERNS = (
    keys.account("*"),
    keys.instance("*"),
    keys.former("*"),
    keys.session("*"),
    keys.token("*"),
    keys.audit("*"),
)
_TRIES = 5
_AT_ONCE = 500
_MARK = "presence-gateway"


class RedisBackup:
    """Reads everything that belongs to tenants, and writes it into an empty Redis."""

    def __init__(self, redis: Redis, hasher: TokenHasher) -> None:
        """Mark backups with what `hasher` makes of a fixed word, to tell another pepper."""
        self._redis = redis
        self._mark = hasher(_MARK)[:16]
        self._audit = RedisAudit(redis)

    async def lines(self) -> list[str]:
        """Return the backup: a head, a line for each key, a foot that proves it whole.

        Every change has a number. Where that is the same before the first and after the last read, what was read is
        one moment's state; otherwise it is read again.

        Raises:
            Conflict: things never stood still.
            StoreUnavailable: Redis did not answer.
        """
        for _ in range(_TRIES):
            before = await self._audit.version()
            body = [json.dumps(line) async for line in self._read()]
            if await self._audit.version() == before:
                head = {"format": FORMAT, "version": VERSION, "pepper": self._mark}
                return [json.dumps(head), *body, json.dumps({"end": len(body)})]
        raise Conflict("Accounts changed all the time while they were read; try again")

    async def restore(self, lines: Iterable[str], *, force: bool = False) -> int:
        """Write a backup back; returns how many keys. With `force`, in the place of what is there.

        An interrupted restore leaves a mark that `check` finds, and may be run again.

        Raises:
            BackupUnreadable: it is not whole, or not ours; nothing was written.
            Conflict: there is tenant data already.
        """
        rows = self._checked(lines)
        interrupted = await command(self._redis, "EXISTS", keys.RESTORING)
        there = [key async for key in self._keys()]
        if there and not force and not interrupted:
            raise Conflict("There are accounts in this Redis already; --force puts the backup in their place")
        await command(self._redis, "SET", keys.RESTORING, "1")
        for start in range(0, len(there), _AT_ONCE):
            await command(self._redis, "UNLINK", *there[start : start + _AT_ONCE])
        for start in range(0, len(rows), _AT_ONCE):
            async with store_errors(), self._redis.pipeline(transaction=True) as pipe:
                for row in rows[start : start + _AT_ONCE]:
                    _write(pipe, tenant_key(row["key"]), row)
                await pipe.execute()
        await command(self._redis, "INCR", keys.CHANGES)  # no process may repeat what it refused before
        await command(self._redis, "DEL", keys.RESTORING)
        return len(rows)

    def _checked(self, lines: Iterable[str]) -> list[dict[str, Any]]:
        try:
            head, *rows, foot = [json.loads(line) for line in lines if line.strip()]
        except ValueError:
            raise BackupUnreadable("This is no backup of a presence gateway, or it is cut short") from None
        if not all(isinstance(line, dict) for line in (head, *rows, foot)) or head.get("format") != FORMAT:
            raise BackupUnreadable("This is no backup of a presence gateway")
        if head.get("version") != VERSION:
            raise BackupUnreadable(f"This backup is of version {head.get('version')}; this gateway reads {VERSION}")
        if foot != {"end": len(rows)} or not all(_is_ours(row) for row in rows):
            raise BackupUnreadable("This backup is cut short or damaged")
        if head.get("pepper") != self._mark:
            raise BackupUnreadable("This backup was made under another pepper: no token in it would work here")
        return rows

    async def _keys(self) -> AsyncIterator[str]:
        async with store_errors():
            for key in _ONE_KEY:
                if await self._redis.exists(key):
                    yield key
            for pattern in _PATTERNS:
                async for found in self._redis.scan_iter(match=pattern, count=_AT_ONCE):
                    yield found.decode()

    async def _read(self) -> AsyncIterator[dict[str, Any]]:
        async for key in self._keys():
            kind = (await command(self._redis, "TYPE", key)).decode()
            read = _READ.get(kind)
            if read is not None:  # else it has gone between the scan and now
                value = await command(self._redis, read[0], key, *read[1])
                yield {"key": key, "type": kind, "value": _text(value)}


_READ: dict[str, tuple[str, tuple[str | int, ...]]] = {
    "hash": ("HGETALL", ()),
    "set": ("SMEMBERS", ()),
    "zset": ("ZRANGE", (0, -1, "WITHSCORES")),
    "stream": ("XRANGE", ("-", "+")),
}
"""How each type of key is read whole: the command, and what it wants behind the key."""


def _is_ours(row: dict[str, Any]) -> bool:
    key, kind, value = row.get("key"), row.get("type"), row.get("value")
    if not isinstance(key, str):
        return False
    key = tenant_key(key)  # a backup of 0.1.0 has the names of its time
    known = key in _ONE_KEY or key.startswith(tuple(p[:-1] for p in _PATTERNS))
    return known and kind in _READ and isinstance(value, dict if kind == "hash" else list)


def _write(pipe: Any, key: str, row: dict[str, Any]) -> None:
    value = row["value"]
    if not value:
        return
    match row["type"]:
        case "hash":
            pipe.hset(key, mapping=value)
        case "set":
            pipe.sadd(key, *value)
        case "zset":
            pipe.zadd(key, dict(zip(value[::2], value[1::2], strict=True)))
        case _:
            for stream_id, told in value:
                pipe.xadd(key, told, id=stream_id)


def _text(value: Any) -> Any:
    if isinstance(value, bytes):
        return value.decode()
    if isinstance(value, dict):
        return {_text(name): _text(item) for name, item in value.items()}
    if isinstance(value, (list, tuple, set, frozenset)):
        return [_text(item) for item in value]
    return value
