"""Accounts, instances and tokens in Redis, made whole or not at all; `lookups` finds and lists them."""

import json
import re
import secrets
from collections.abc import Sequence
from dataclasses import dataclass

from redis.asyncio import Redis

from gateway.presence.errors import (
    AccountNotFound,
    ChangedMeanwhile,
    Conflict,
    InvalidAccountName,
    QuotaExceeded,
    TokenNotFound,
    TokenQuotaExceeded,
)
from gateway.presence.model import Target
from gateway.store import keys
from gateway.store.redis import Executor, Script
from gateway.tenants import tokens
from gateway.tenants.audit import CLI, entry
from gateway.tenants.cipher import Cipher
from gateway.tenants.lookups import Lookups
from gateway.tenants.moves import TRIES
from gateway.tenants.reading import refuse
from gateway.tenants.rows import Rows, Write, limit_fields, now, write
from gateway.tenants.sessions import Sessions
from gateway.tenants.views import Limits

_ID = re.compile(r"a[0-9a-f]{12}")
_FOLLOWED = ("kind", "url", "session", "credential")
"""Of an account's row: what its instances' own records copy."""


@dataclass(frozen=True, slots=True)
class Created:
    """Something new and its token, which is shown this once."""

    id: str
    name: str
    token: str


class RedisDirectory(Lookups):
    """`ports.Directory` on Redis, and what an operator makes there."""

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
        executor: Executor | None = None,
    ) -> None:
        rows = Rows(hasher, cipher, default_upstream, sessions_by_account=sessions_by_account)
        super().__init__(redis, rows, executor)
        self.sessions = sessions or Sessions(hasher)
        self._instances_per_account = instances_per_account
        self._tokens_per_account = tokens_per_account
        self._issue = Script(redis, "tenants/issue")
        self._create = Script(redis, "tenants/create")
        self._revoke = Script(redis, "tenants/revoke")

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
        await self._claim((keys.ACCOUNTS, keys.NONE), name, account_id, writes, [], told, "Account already exists")
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
        refuse(verdict, gone=AccountNotFound, quota=TokenQuotaExceeded)
        return Created(token_id, name, token)

    async def revoke_token(self, token_id: str, *, by: str = CLI) -> None:
        """Make a token invalid with the next request of every process; pauses that are owed still come.

        Raises:
            TokenNotFound: there is none with that id.
        """
        found = await self.token(token_id)
        told = entry(by, "token.revoke", token_id, found.account_id, found.name)
        refuse(await self._revoke((keys.TOKEN_IDS,), (token_id, told)), gone=TokenNotFound)

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
        refuse(
            verdict,
            gone=AccountNotFound,
            exists=Conflict(exists),
            session=Conflict,
            taken=Conflict("Token already in use"),
            quota=QuotaExceeded,
        )
        return bool(verdict == b"ok")
