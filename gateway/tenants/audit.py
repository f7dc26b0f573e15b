"""The audit log: who changed what, written in the same step as the change, in streams that are each bounded.

What an account does stands in its own stream, what the operator does in the operator's; what the operator does to an
account stands in that account's too. The operator sees all of them merged, an account sees its own.
"""

import heapq
import json
from dataclasses import dataclass

from redis.asyncio import Redis

from gateway.store import keys
from gateway.store.redis import Script, command, store_errors
from gateway.tenants.reading import as_text

CLI = "cli"
OPERATOR = "operator"

LINES_OF_OPERATOR = 10_000
LINES_OF_ACCOUNT = 1_000

_AT_ONCE = 16

_Line = tuple[bytes, dict[bytes, bytes]]


@dataclass(frozen=True, slots=True)
class Entry:
    """One change: `actor` is `cli`, `operator` or an account's id, `at_s` Unix seconds, `number` its place."""

    id: str
    at_s: float
    actor: str
    action: str
    subject: str
    account: str
    detail: str
    number: int


def entry(actor: str, action: str, subject: str, account: str, detail: str = "", *, for_operator: str = "") -> str:
    """Word one change for the scripts; nothing in it may be a secret.

    `for_operator` stands in the operator's stream in the place of `detail`, which the account sees.
    """
    words = [actor, action, subject, account, detail, for_operator, LINES_OF_OPERATOR, LINES_OF_ACCOUNT]
    return json.dumps(words)


class RedisAudit:
    """Reads the log, and writes what changes no record; every other line is written by the change's own script."""

    def __init__(self, redis: Redis) -> None:
        self._redis = redis
        self._note = Script(redis, "tenants/note")

    async def note(self, actor: str, action: str, subject: str, account: str, detail: str) -> None:
        """Write down an act; it is on record when this returns.

        Raises:
            StoreUnavailable: Redis did not answer.
        """
        await self._note((keys.CHANGES,), (entry(actor, action, subject, account, detail),))

    async def entries(self, count: int, *, account_id: str | None = None) -> list[Entry]:
        """Return the latest changes, the newest first; those that one account may see where it is named.

        Raises:
            StoreUnavailable: Redis did not answer.
        """
        if account_id is not None:
            return await self._latest(keys.audit(account_id), count)
        found = await self._latest(keys.AUDIT, count)
        # Whose last change is older than all that is wanted can add nothing, and those are looked at last.
        accounts = await command(self._redis, "ZREVRANGE", keys.AUDITED, 0, count - 1, "WITHSCORES")
        by_last_change = list(zip(accounts[::2], accounts[1::2], strict=True))
        for start in range(0, len(by_last_change), _AT_ONCE):
            some = by_last_change[start : start + _AT_ONCE]
            least_ms = _ms(found[-1].id) if len(found) >= count else 0
            if float(some[0][1]) < least_ms:
                break
            found = await self._merge(found, [account.decode() for account, _ in some], count, least_ms)
        return found

    async def version(self) -> int:
        """Return the number of the latest change: the same twice, nothing changed between."""
        return int(await command(self._redis, "GET", keys.CHANGES) or 0)

    async def _latest(self, key: str, count: int) -> list[Entry]:
        page = await command(self._redis, "XREVRANGE", key, "+", "-", "COUNT", count)
        return [_read(line) for line in page]

    async def _merge(self, found: list[Entry], accounts: list[str], count: int, least_ms: int) -> list[Entry]:
        """Put the accounts' own changes among those found; what was done to them is there already."""
        async with store_errors(), self._redis.pipeline(transaction=False) as pipe:
            for account in accounts:
                pipe.xrevrange(keys.audit(account), "+", str(least_ms), count=count)
            pages: list[list[_Line]] = await pipe.execute()
        own = (told for page in pages for told in map(_read, page) if told.actor == told.account)
        return heapq.nlargest(count, [*found, *own], key=lambda told: told.number)


def _read(line: _Line) -> Entry:
    stream_id, fields = line[0].decode(), as_text(line[1])
    return Entry(
        stream_id,
        _ms(stream_id) / 1000,
        fields["actor"],
        fields["action"],
        fields["subject"],
        fields["account"],
        fields["detail"],
        # Before 0.2.0 there was one stream, in which the time is order enough.
        int(fields.get("number", _ms(stream_id) * 1000)),
    )


def _ms(stream_id: str) -> int:
    return int(stream_id.partition("-")[0])
