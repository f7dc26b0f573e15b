"""The audit log: who changed what, in one bounded Redis stream, written in the same step as the change."""

import json
from dataclasses import dataclass

from redis.asyncio import Redis

from gateway.store import keys
from gateway.store.redis import command

CLI = "cli"
OPERATOR = "operator"


@dataclass(frozen=True, slots=True)
class Entry:
    """One change: `actor` is `cli`, `operator` or an account's id; `at_s` is Unix seconds."""

    id: str
    at_s: float
    actor: str
    action: str
    subject: str
    account: str
    detail: str


def entry(actor: str, action: str, subject: str, account: str, detail: str = "") -> str:
    """Word one change for the scripts; nothing in it may be a secret."""
    return json.dumps([actor, action, subject, account, detail])


class RedisAudit:
    """Reads the log; only scripts write it."""

    def __init__(self, redis: Redis) -> None:
        self._redis = redis

    async def entries(self, count: int, *, account_id: str | None = None) -> list[Entry]:
        """Return the latest changes, the newest first; those of one account where it is named.

        Raises:
            StoreUnavailable: Redis did not answer.
        """
        found: list[Entry] = []
        before = "+"
        while len(found) < count:
            page = await command(self._redis, "XREVRANGE", keys.AUDIT, before, "-", "COUNT", _PAGE)
            found += [told for told in map(_read, page) if account_id in {None, told.account}]
            if len(page) < _PAGE:
                break
            before = "(" + page[-1][0].decode()
        return found[:count]

    async def newest(self) -> str:
        """Return the id of the latest change, '' where there was none: the same twice, nothing changed between."""
        page = await command(self._redis, "XREVRANGE", keys.AUDIT, "+", "-", "COUNT", 1)
        return page[0][0].decode() if page else ""


_PAGE = 200


def _read(raw: tuple[bytes, dict[bytes, bytes]]) -> Entry:
    stream_id, fields = raw[0].decode(), {name.decode(): value.decode() for name, value in raw[1].items()}
    return Entry(
        stream_id,
        int(stream_id.partition("-")[0]) / 1000,
        fields["actor"],
        fields["action"],
        fields["subject"],
        fields["account"],
        fields["detail"],
    )
