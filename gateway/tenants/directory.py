"""Accounts, instances and tokens in Redis: found, listed, and made whole or not at all."""

import json
import re
import secrets
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from redis.asyncio import Redis

from gateway.presence.errors import (
    AccountNotFound,
    ChangedMeanwhile,
    Conflict,
    InstanceNotFound,
    InvalidAccountName,
    QuotaExceeded,
    TokenNotFound,
    TokenQuotaExceeded,
)
from gateway.presence.model import Instance, Principal, Target
from gateway.store import keys
from gateway.store.redis import Script, command, store_errors
from gateway.tenants import tokens
from gateway.tenants.audit import CLI, entry
from gateway.tenants.cipher import Cipher
from gateway.tenants.moves import TRIES
from gateway.tenants.reading import as_text, read_row, read_rows
from gateway.tenants.rows import Row, Rows, Write, limit_fields, now, write
from gateway.tenants.sessions import Sessions
from gateway.tenants.views import AccountView, Limits, TokenView

_ID = re.compile(r"a[0-9a-f]{12}")
_CACHED = 10_000
_FOLLOWED = ("kind", "url", "session", "credential")
"""Of an account's row: what its instances' own records copy."""


@dataclass(frozen=True, slots=True)
class Created:
    """Something new and its token, which is shown this once."""

    id: str
    name: str
    token: str


class RedisDirectory:
    """`ports.Directory` on Redis, and what an operator asks of it."""

    def __init__(
        self,
        redis: Redis,
        hasher: tokens.TokenHasher,
        cipher: Cipher,
        *,
        default_upstream: Target,
        instances_per_account: int,
        tokens_per_account: int = 20,
        sessions: Sessions | None = None,
        sessions_by_account: bool = True,
    ) -> None:
        self._redis = redis
        self.rows = Rows(hasher, cipher, default_upstream, sessions_by_account=sessions_by_account)
        self.sessions = sessions or Sessions(hasher)
        self._instances_per_account = instances_per_account
        self._tokens_per_account = tokens_per_account
        self._issue = Script(redis, "tenants/issue")
        self._create = Script(redis, "tenants/create")
        self._revoke = Script(redis, "tenants/revoke")
        self._decoded: dict[tuple[str, str], Instance] = {}

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
        while len(self._decoded) >= _CACHED:
            self._decoded.pop(next(iter(self._decoded)))
        self._decoded[instance_id, row["version"]] = instance
        return instance

    async def _row(self, instance_id: str, version: str) -> dict[str, str]:
        """Return the instance, or where it was when it kept its chats under this id."""
        row = await self._read(keys.instance(keys.instance_of(instance_id)))
        if row.get("version") == version:
            return row
        former = await self._read(keys.former(instance_id))
        return former if former.get("version") == version else row

    async def create_account(
        self,
        name: str,
        *,
        upstream: Target | None = None,
        by: str = CLI,
        **figures: int | None,
    ) -> Created:
        """Make an account and its first token; `figures` are limits of its own, by their names in `views.Limits`.

        Raises:
            Conflict: the name is taken.
            InvalidAccountName: it looks like an account's id.
        """
        if _ID.fullmatch(name):
            raise InvalidAccountName
        account_id, token = "a" + secrets.token_hex(6), tokens.make("account")
        fields = {"name": name, "status": "active", "created": now()}
        fields |= limit_fields(Limits(**figures)) | self.rows.upstream(upstream)
        writes = [write(keys.account(account_id), fields), *self.rows.token(token, "account", account_id, "", "")]
        told = entry(by, "account.create", account_id, account_id, name)
        await self._claim((keys.ACCOUNTS, ""), name, account_id, writes, [], told, "Account already exists")
        return Created(account_id, name, token)

    async def create_instance(
        self,
        account_id: str,
        name: str,
        *,
        upstream: Target | None = None,
        session: str = "",
        token: str | None = None,
        by: str = CLI,
    ) -> Created:
        """Make an instance and its token.

        Args:
            account_id: whose.
            name: unique within the account.
            upstream: where its session lives; without one the account's default, else the service's.
            session: how it is called where `upstream` is not given, as the operator says.
            token: the caller's own, else one is made.
            by: who does it, for the audit log.

        Raises:
            Conflict: the name, or the caller's own token, is taken, or another account uses the session.
            QuotaExceeded: the account has as many instances as it may.
            AccountNotFound: it is gone, or going.
        """
        for _ in range(TRIES):
            created = await self._create_instance(account_id, name, upstream, session, token, by)
            if created is not None:
                return created
        raise ChangedMeanwhile

    async def _create_instance(
        self, account_id: str, name: str, upstream: Target | None, session: str, token: str | None, by: str
    ) -> Created | None:
        """Make it; None where its account's upstream was changed at the same moment."""
        instance_id, token = "i" + secrets.token_hex(6), token or tokens.make("instance")
        row, account = self.rows.new_instance(name, session), await self._read(keys.account(account_id))
        if upstream is None:
            target, follows = self.rows.followed(row, account_id, account)
            seen = json.dumps([account.get(field, "") for field in _FOLLOWED])
        else:
            target, follows, seen = self.rows.own(row, upstream), "", ""
        used = self.sessions.key(target)
        fields = {
            "account": account_id,
            "status": "active",
            "version": secrets.token_hex(4),
            "created": now(),
            "uses": used,
        }
        writes = [
            write(keys.instance(instance_id), fields | row | self.rows.kept(target, follows, account)),
            *self.rows.token(token, "instance", account_id, instance_id, name),
        ]
        taken = [keys.token(self.rows.hash(token))]
        where = (keys.instances(account_id), keys.account(account_id))
        told = entry(by, "instance.create", instance_id, account_id, name)
        claim = (used, account_id, seen)
        done = await self._claim(where, name, instance_id, writes, taken, told, "Instance already exists", claim)
        return Created(instance_id, name, token) if done else None

    async def issue_token(self, account_id: str, *, name: str = "", by: str = CLI) -> Created:
        """Make one more token for an account.

        Raises:
            AccountNotFound: it is gone, or going.
            TokenQuotaExceeded: it has as many as it may.
        """
        token = tokens.make("account")
        token_id, writes = self.rows.token_id(token), self.rows.token(token, "account", account_id, "", name)
        told = entry(by, "token.issue", token_id, account_id, name)
        where = (keys.token(self.rows.hash(token)), keys.account(account_id))
        verdict = await self._issue(where, (self._tokens_per_account, json.dumps(writes), told))
        if verdict == b"gone":
            raise AccountNotFound
        if verdict == b"quota":
            raise TokenQuotaExceeded
        return Created(token_id, name, token)

    async def revoke_token(self, token_id: str, *, by: str = CLI) -> None:
        """Make a token invalid with the next request of every process; pauses that are owed still come.

        Raises:
            TokenNotFound: there is none with that id.
        """
        found = await self.token(token_id)
        told = entry(by, "token.revoke", token_id, found.account_id, found.name)
        if await self._revoke((), (token_id, told)) == b"gone":
            raise TokenNotFound

    async def identify(self, token_hash: str) -> Principal | None:
        """Say whose a token is without counting a request; None where it is not valid now."""
        row = await self._read(keys.token(token_hash))
        if not row or (await self._read(keys.account(row["account"]))).get("status") != "active":
            return None
        if "expires" in row and int(row["expires"]) <= await self._now_ms():
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
        rows = await self._read_all([keys.instance(instance_id) for instance_id in ids])
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

    async def account_of(self, chats_id: str) -> str:
        """Say whose the chats are that are kept under this id; '' where that has gone.

        Raises:
            StoreUnavailable: Redis did not answer.
        """
        found = await command(self._redis, "HGET", keys.instance(keys.instance_of(chats_id)), "account")
        return found.decode() if found else ""

    async def tokens(self, account_id: str) -> list[TokenView]:
        """List an account's tokens, those of its instances too, the oldest first."""
        hashes = list((await self._read(keys.account_tokens(account_id))).values())
        rows = await self._read_all([keys.token(token_hash) for token_hash in hashes])
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

    async def _claim(
        self,
        where: tuple[str, str],
        name: str,
        new_id: str,
        writes: Sequence[Write],
        taken: list[str],
        told: str,
        exists: str,
        session: tuple[str, str, str] = ("", "", ""),
    ) -> bool:
        """Take the step; False where what it was thought out by has changed."""
        most = self._instances_per_account
        words = (name, new_id, most, json.dumps(taken), json.dumps(writes), told, *session)
        verdict = await self._create(where, words)
        if verdict == b"gone":
            raise AccountNotFound
        if verdict == b"exists":
            raise Conflict(exists)
        if verdict == b"session":
            raise Conflict
        if verdict == b"taken":
            raise Conflict("Token already in use")
        if verdict == b"quota":
            raise QuotaExceeded
        return bool(verdict == b"ok")

    async def _read(self, key: str) -> dict[str, str]:
        return await read_row(self._redis, key)

    async def _read_all(self, wanted: Sequence[str]) -> list[dict[str, str]]:
        return await read_rows(self._redis, wanted)

    async def _now_ms(self) -> int:
        seconds, micros = await command(self._redis, "TIME")
        return int(seconds) * 1000 + int(micros) // 1000
