"""Looks for what should not be: records that nothing names, names of nothing, deletions and restores left undone."""

import asyncio
import time
from collections.abc import AsyncIterator, Iterator

from redis.asyncio import Redis

from gateway.store import keys
from gateway.store.redis import Executor, command, store_errors
from gateway.tenants.reading import read_row

_STUCK_S = 1800.0
"""A deletion waits for its last pause, which is given up after ten minutes by default."""

_AT_ONCE = 500

Row = dict[str, str]


class RedisChecker:
    """Reads everything that belongs to tenants; changes nothing."""

    def __init__(self, redis: Redis, executor: Executor) -> None:
        """Read tenants in `redis`, chats wherever `executor` finds them."""
        self._redis = redis
        self._executor = executor

    async def problems(self) -> list[str]:
        """Return one sentence for each thing that is wrong, none where all is well.

        Raises:
            StoreUnavailable: Redis did not answer.
        """
        accounts, instances = await self._rows("account"), await self._rows("instance")
        names, ids = await read_row(self._redis, keys.ACCOUNTS), await read_row(self._redis, keys.TOKEN_IDS)
        formers, held = await self._rows("former"), await self._rows("token")
        return [
            *_restoring(await command(self._redis, "EXISTS", keys.RESTORING)),
            *_accounts(accounts, names, await self._members(keys.LEAVING_ACCOUNTS)),
            *_instances(instances, accounts, await self._members(keys.LEAVING)),
            *[problem async for problem in self._indexes(accounts, instances, held)],
            *_formers(formers, await self._members(keys.FORMERS)),
            *_sessions(await self._rows("session"), _places(instances) | formers),
            *_tokens(held, accounts, instances, ids),
            *_owed(await self._owing(), _places(instances) | formers),
        ]

    async def _indexes(
        self, accounts: dict[str, Row], instances: dict[str, Row], held: dict[str, Row]
    ) -> AsyncIterator[str]:
        for key in [key async for key in self._redis.scan_iter(match=keys.account("*:*"), count=_AT_ONCE)]:
            account_id, what = key.decode().removeprefix(keys.account("")).split(":")
            index = await read_row(self._redis, key.decode())
            if account_id not in accounts:
                yield f"the {what} of account {account_id} are listed, but there is no such account"
            known = instances if what == "instances" else held
            for name, named in index.items():
                if named not in known:
                    yield f"account {account_id} lists {what[:-1]} {name}, which does not exist"
        for instance_id, row in instances.items():
            listed = await command(self._redis, "HGET", keys.instances(row["account"]), row["name"])
            if row.get("status") == "active" and (listed or b"").decode() != instance_id:
                yield f"instance {instance_id} ({row['name']}) is not listed by its account"

    async def _rows(self, what: str) -> dict[str, Row]:
        """Return the records of a kind by their ids; a key with one more part is an index of one of them."""
        prefix = f"{keys.NONE}{what}:"
        async with store_errors():
            found = [key.decode() async for key in self._redis.scan_iter(match=prefix + "*", count=_AT_ONCE)]
        ids = [key.removeprefix(prefix) for key in found]
        return {one: await read_row(self._redis, prefix + one) for one in ids if ":" not in one}

    async def _owing(self) -> set[str]:
        """Return under which ids chats are kept that owe something."""
        queues = await asyncio.gather(
            *(command(self._executor, "ZRANGE", keys.queue(number), 0, -1) for number in range(keys.PARTITIONS))
        )
        return {chats_id.decode() for queue in queues for chats_id in queue}

    async def _members(self, key: str) -> set[str]:
        return {member.decode() for member in await command(self._redis, "SMEMBERS", key)}


def _restoring(mark: int) -> Iterator[str]:
    if mark:
        yield "a restore was interrupted; run it again"


def _accounts(accounts: dict[str, Row], index: Row, leaving: set[str]) -> Iterator[str]:
    for name, account_id in index.items():
        if account_id not in accounts:
            yield f"the name {name} is taken by account {account_id}, which does not exist"
    for account_id, row in accounts.items():
        if row.get("status") == "deleting":
            if account_id not in leaving:
                yield f"account {account_id} is half deleted, and nothing finishes it"
        elif index.get(row.get("name", "")) != account_id:
            yield f"account {account_id} has no name that leads to it"


def _instances(instances: dict[str, Row], accounts: dict[str, Row], leaving: set[str]) -> Iterator[str]:
    for instance_id, row in instances.items():
        if row.get("account") not in accounts:
            yield f"instance {instance_id} belongs to no account"
        if row.get("status") == "deleting":
            if instance_id not in leaving:
                yield f"instance {instance_id} is half deleted, and nothing finishes it"
            elif time.time() - int(row["deleted"]) / 1000 > _STUCK_S:
                yield f"instance {instance_id} has been leaving for half an hour; does a worker run?"
        elif not row.get("name") or not row.get("version"):
            yield f"instance {instance_id} is only half there"


def _places(instances: dict[str, Row]) -> dict[str, Row]:
    """Return the instances by the ids of their chats."""
    return {f"{one}~{row['moves']}" if "moves" in row else one: row for one, row in instances.items()}


def _formers(formers: dict[str, Row], leaving: set[str]) -> Iterator[str]:
    for chats_id in formers.keys() - leaving:
        yield f"where instance {chats_id} was before it moved is still written down, and nothing forgets it"


def _sessions(sessions: dict[str, Row], places: dict[str, Row]) -> Iterator[str]:
    used = {(row["uses"], chats_id): row["account"] for chats_id, row in places.items() if row.get("uses")}
    held = {(session, chats_id): owner for session, users in sessions.items() for chats_id, owner in users.items()}
    for session, chats_id in held.keys() - used.keys():
        yield f"a session is kept for instance {chats_id}, which does not use it ({session})"
    for session, chats_id in used.keys() - held.keys():
        yield f"instance {chats_id} uses a session that is not kept for it ({session})"
    for users in sessions.values():
        if len(set(users.values())) > 1:
            yield f"accounts {' and '.join(sorted(set(users.values())))} use one session: {', '.join(sorted(users))}"


def _tokens(held: dict[str, Row], accounts: dict[str, Row], instances: dict[str, Row], ids: Row) -> Iterator[str]:
    for token_id, token_hash in ids.items():
        if token_hash not in held:
            yield f"token {token_id} is listed, but does not exist"
    for token_hash, row in held.items():
        token_id = row.get("id", "without an id")
        if ids.get(token_id) != token_hash:
            yield f"token {token_id} cannot be found by its id"
        if row.get("account") not in accounts or accounts[row["account"]].get("status") == "deleting":
            yield f"token {token_id} opens an account that is gone"
        if row.get("kind") == "instance" and instances.get(row.get("instance", ""), {}).get("status") != "active":
            yield f"token {token_id} opens an instance that is gone"


def _owed(owing: set[str], places: dict[str, Row]) -> Iterator[str]:
    for instance_id in sorted(owing - places.keys()):
        yield f"pauses are owed for instance {instance_id}, which is gone"
