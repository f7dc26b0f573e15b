"""Accounts, instances and tokens in Redis: found and listed."""

from collections.abc import Iterable

from cachetools import FIFOCache
from redis.asyncio import Redis

from gateway.presence.errors import AccountNotFound, InstanceNotFound, TokenNotFound
from gateway.presence.model import Instance, Principal
from gateway.store import keys
from gateway.store.redis import Executor, command, store_errors
from gateway.tenants.reading import as_text, read_row, read_rows
from gateway.tenants.rows import Row, Rows
from gateway.tenants.views import AccountView, TokenView

_CACHED = 10_000
_ACCOUNTS = 100_000
"""Instances whose account is remembered: it never changes."""


class Lookups:
    """Reads; changes nothing."""

    def __init__(self, redis: Redis, rows: Rows, executor: Executor | None = None) -> None:
        self._redis = redis
        self._executor = executor or redis
        self.rows = rows
        self._decoded: FIFOCache[tuple[str, str], Instance] = FIFOCache(_CACHED)
        self._keepers: FIFOCache[str, tuple[str | None, Instance]] = FIFOCache(_CACHED)
        self._accounts: FIFOCache[str, str] = FIFOCache(_ACCOUNTS)

    async def instance(self, instance_id: str, version: str) -> Instance | None:
        """Return the instance as of `version` (see `ports.Directory.instance`); decrypted once for each version."""
        if not version:
            return None
        known = self._decoded.get((instance_id, version))
        if known is not None:
            return known
        row = await self._row(instance_id, version)
        if not row:
            return None
        instance = self.rows.read_instance(keys.instance_of(instance_id), row, await self._account_of(row))
        self._decoded[instance_id, row["version"]] = instance
        return instance

    async def _row(self, instance_id: str, version: str) -> dict[str, str]:
        """Return the instance, or where it was when it kept its chats under this id."""
        row = await self._read(keys.instance(keys.instance_of(instance_id)))
        if row.get("version") == version:
            return row
        former = await self._read(keys.former(instance_id))
        return former if former.get("version") == version else row

    async def identify(self, token_hash: str) -> Principal | None:
        """Say whose a token is without counting a request; None where it is not valid now."""
        row = await self._read(keys.token(token_hash))
        if not row or (await self._read(keys.account(row["account"]))).get("status") != "active":
            return None
        if "expires" in row:
            seconds, micros = await command(self._redis, "TIME")
            if int(row["expires"]) <= int(seconds) * 1000 + int(micros) // 1000:
                return None
        kind = "account" if row["kind"] == "account" else "instance"
        return Principal(kind, row["account"], row.get("instance"))  # type: ignore[arg-type]

    async def accounts(self) -> list[AccountView]:
        """List every account that is not leaving, by name."""
        ids = (await self._read(keys.ACCOUNTS)).values()
        found = [await self._account(account_id) for account_id in ids]
        return sorted((view for view in found if view), key=lambda view: view.name)

    async def account(self, account_id: str) -> AccountView:
        """Return one account.

        Raises:
            AccountNotFound: there is none, or it is leaving.
        """
        view = await self._account(account_id)
        if view is None or view.status == "deleting":
            raise AccountNotFound
        return view

    async def find_account(self, name: str) -> str:
        """Return the id of the account of that name (or id).

        Raises:
            AccountNotFound: there is none.
        """
        found = await command(self._redis, "HGET", keys.ACCOUNTS, name)
        return found.decode() if found else (await self.account(name)).id

    async def instances(self, account_id: str) -> list[Instance]:
        """List an account's instances, by name."""
        ids = (await self._read(keys.instances(account_id))).values()
        account = await self._read(keys.account(account_id))
        rows = await read_rows(self._redis, [keys.instance(instance_id) for instance_id in ids])
        found = [
            self.rows.read_instance(instance_id, row, account)
            for instance_id, row in zip(ids, rows, strict=True)
            if row
        ]
        return sorted(found, key=lambda instance: instance.name)

    async def find_instance(self, account_id: str, name: str) -> Instance:
        """Return an account's instance by name.

        Raises:
            InstanceNotFound: it has none of that name.
        """
        found = await command(self._redis, "HGET", keys.instances(account_id), name)
        return await self.instance_by_id(found.decode() if found else "")

    async def instance_by_id(self, instance_id: str) -> Instance:
        """Return any account's instance.

        Raises:
            InstanceNotFound: there is none of that id, or it is leaving.
        """
        row = await self._read(keys.instance(instance_id))
        if row.get("status") != "active":
            raise InstanceNotFound
        return self.rows.read_instance(instance_id, row, await self._account_of(row))

    async def find_by_id(self, chats_id: str) -> Instance | None:
        """Return who keeps, or kept, its chats under this id, one that is leaving too; None where it has gone."""
        instance_id = keys.instance_of(chats_id)
        version = await command(self._redis, "HGET", keys.instance(instance_id), "version")
        return await self.instance(instance_id, version.decode()) if version else None

    async def latest_change(self) -> str:
        """Return the number of the latest change (see `ports.Directory.latest_change`)."""
        return (await command(self._executor, "GET", keys.CHANGES) or b"").decode()

    async def keeper(self, chats_id: str, change: str | None) -> Instance | None:
        """Return who keeps chats under this id, as of a change (see `ports.Directory.keeper`)."""
        known = self._keepers.get(chats_id)
        if known is not None and (change is None or known[0] == change):
            return known[1]
        instance = await self.instance(chats_id, await self._version_of(chats_id))
        if instance is not None:
            self._keepers[chats_id] = change, instance
        return instance

    async def _version_of(self, chats_id: str) -> str:
        """Return the version of who keeps these chats: where an instance was before, or the instance; '' neither."""
        former = await command(self._executor, "HGET", keys.former(chats_id), "version")
        if former:
            return str(former.decode())
        version, moves = await command(
            self._executor, "HMGET", keys.instance(keys.instance_of(chats_id)), "version", "moves"
        )
        is_here = (moves or b"").decode() == chats_id.partition("~")[2]
        return version.decode() if version and is_here else ""

    async def account_of(self, chats_id: str) -> str:
        """Say whose the chats are that are kept under this id (see `ports.Directory.account_of`)."""
        instance_id = keys.instance_of(chats_id)
        known = self._accounts.get(instance_id)
        if known is None:
            found = await command(self._executor, "HGET", keys.instance(instance_id), "account")
            known = found.decode() if found else ""
            if known:
                self._accounts[instance_id] = known
        return known

    async def tokens(self, account_id: str) -> list[TokenView]:
        """List an account's tokens, those of its instances too, the oldest first."""
        hashes = list((await self._read(keys.account_tokens(account_id))).values())
        rows = await read_rows(self._redis, [keys.token(token_hash) for token_hash in hashes])
        found = [self.rows.read_token(token_hash, row) for token_hash, row in zip(hashes, rows, strict=True) if row]
        return sorted(found, key=lambda token: (token.created_s, token.id))

    async def token(self, token_id: str) -> TokenView:
        """Return one token.

        Raises:
            TokenNotFound: there is none of that id.
        """
        found = await command(self._redis, "HGET", keys.TOKEN_IDS, token_id)
        row = await self._read(keys.token(found.decode())) if found else {}
        if not row:
            raise TokenNotFound
        return self.rows.read_token(found.decode(), row)

    async def chats_ids(self, account_ids: Iterable[str]) -> list[str]:
        """Return under what all instances of some accounts keep their chats."""
        async with store_errors(), self._redis.pipeline(transaction=False) as pipe:
            for account_id in account_ids:
                pipe.hvals(keys.instances(account_id))
            ids = [found.decode() for held in await pipe.execute() for found in held]
            for instance_id in ids:
                pipe.hget(keys.instance(instance_id), "moves")
            moves = await pipe.execute()
        return [f"{one}~{moved.decode()}" if moved else one for one, moved in zip(ids, moves, strict=True)]

    async def _account(self, account_id: str) -> AccountView | None:
        async with store_errors(), self._redis.pipeline(transaction=True) as pipe:
            pipe.hgetall(keys.account(account_id))
            pipe.hlen(keys.instances(account_id))
            pipe.hlen(keys.account_tokens(account_id))
            row, instances, held = await pipe.execute()
        return self.rows.read_account(account_id, as_text(row), instances=instances, tokens=held) if row else None

    async def _account_of(self, row: Row) -> Row:
        """Return the account's row where an instance leaves its upstream to it."""
        return {} if row.get("kind") else await self._read(keys.account(row["account"]))

    async def _read(self, key: str) -> dict[str, str]:
        # Not by the pool, of which each connection finds out by itself that its primary is away.
        return await read_row(self._executor, key)
