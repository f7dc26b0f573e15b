"""Changes to what is there: an account's limits and status; tokens rotated and expired; keys rotated."""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Literal

from redis.asyncio import Redis

from gateway.presence.errors import AccountNotFound, InstanceNotFound, TokenNotFound, TokenQuotaExceeded
from gateway.presence.model import Instance
from gateway.store import keys
from gateway.store.redis import Script, command
from gateway.tenants import tokens
from gateway.tenants.audit import CLI, RedisAudit, entry
from gateway.tenants.cipher import CredentialUnreadable
from gateway.tenants.directory import Created
from gateway.tenants.reading import refuse
from gateway.tenants.rows import Rows, Write
from gateway.tenants.views import TokenView

MAX_GRACE_S = 86_400
"""An old token lives at most a day beside its successor."""

MOST_LIVE_TOKENS = 10
"""Of one instance: where more are in their grace time, those that were replaced first die first."""

_EXPIRED_AT_ONCE = 200


@dataclass(frozen=True, slots=True)
class Resealed:
    """What `reseal` did; `unreadable` are the instances and accounts whose credential no listed key opens."""

    count: int
    unreadable: tuple[str, ...]


class RedisTenancy:
    """The operator's pen. Every method is one step with its line in the audit log, safe to repeat."""

    def __init__(
        self, redis: Redis, rows: Rows, *, tokens_per_account: int = 20, clock_us: Callable[[], int] | None = None
    ) -> None:
        """Take `clock_us` in the place of Redis' own clock in tests that run in virtual time."""
        self._redis = redis
        self._rows = rows
        self._tokens_per_account = tokens_per_account
        self._clock_us = clock_us
        self._change = Script(redis, "tenants/change")
        self._rotate = Script(redis, "tenants/rotate")
        self._expire = Script(redis, "tenants/expire")
        self._reseal = Script(redis, "tenants/reseal")
        self._audit = RedisAudit(redis)

    async def set_status(self, account_id: str, status: Literal["active", "suspended"], *, by: str = CLI) -> None:
        """Suspend an account, or let it work again; every process sees it with its next request.

        Raises:
            AccountNotFound: it is gone, or going.
        """
        action = "account.suspend" if status == "suspended" else "account.resume"
        await self._change_account(account_id, {"status": status}, entry(by, action, account_id, account_id))

    async def set_limits(self, account_id: str, figures: Mapping[str, int | None], *, by: str = CLI) -> None:
        """Give an account figures of its own by their names in `rows.LIMITS`; None goes back to the settings'.

        Raises:
            AccountNotFound: it is gone, or going.
        """
        fields = {name: None if figure is None else str(figure) for name, figure in figures.items()}
        detail = ", ".join(f"{name} {'default' if value is None else value}" for name, value in fields.items())
        await self._change_account(account_id, fields, entry(by, "account.limits", account_id, account_id, detail))

    async def rotate_token(self, old: TokenView, *, grace_s: int = 0, by: str = CLI) -> Created:
        """Replace one token; the old one stays valid for the grace time. One of an instance's replaces all of them.

        Raises:
            TokenNotFound: it is gone, or was replaced already.
            InstanceNotFound: it was an instance's, which is gone, or going.
            TokenQuotaExceeded: there is no room for both; without a grace time there always is.
        """
        if old.kind == "instance":
            return await self._rotate_all_of(old.instance_id, old.account_id, old.name, grace_s, by)
        token = tokens.make("account")
        writes = self._rows.token(token, "account", old.account_id, "", old.name)
        told = entry(by, "token.rotate", old.id, old.account_id, f"grace {grace_s} s")
        where = (keys.token(self._rows.hash(token)), keys.NONE, keys.NONE, keys.account(old.account_id))
        verdict = await self._rotate(where, self._rotation(grace_s, old.id, writes, told))
        refuse(verdict, gone=TokenNotFound, quota=TokenQuotaExceeded)
        return Created(self._rows.token_id(token), old.name, token)

    async def rotate_instance_token(self, instance: Instance, *, grace_s: int = 0, by: str = CLI) -> Created:
        """Replace an instance's token; the old ones stay valid for the grace time, `MOST_LIVE_TOKENS` in all.

        Raises:
            InstanceNotFound: it is gone, or going.
        """
        return await self._rotate_all_of(instance.id, instance.account_id, instance.name, grace_s, by)

    async def _rotate_all_of(self, instance_id: str, account_id: str, name: str, grace_s: int, by: str) -> Created:
        token = tokens.make("instance")
        writes = self._rows.token(token, "instance", account_id, instance_id, name)
        told = entry(by, "instance.token", instance_id, account_id, f"grace {grace_s} s")
        where = (
            keys.token(self._rows.hash(token)),
            keys.instance_tokens(instance_id),
            keys.instance(instance_id),
            keys.account(account_id),
        )
        refuse(await self._rotate(where, self._rotation(grace_s, "", writes, told)), gone=InstanceNotFound)
        return Created(self._rows.token_id(token), name, token)

    def _rotation(self, grace_s: int, old_id: str, writes: list[Write], told: str) -> tuple[str | int, ...]:
        limits = (MOST_LIVE_TOKENS, self._tokens_per_account)
        return (self._now(), grace_s * 1000, old_id, json.dumps(writes), told, *limits)

    async def expire_tokens(self) -> int:
        """Clear away tokens whose grace time is over; returns how many."""
        return int(await self._expire((keys.EXPIRING,), (self._now(), _EXPIRED_AT_ONCE)))

    async def reseal(self, *, by: str = CLI) -> Resealed:
        """Encrypt every credential under the newest key, online; what was interrupted goes on where it stood."""
        resealed, unreadable = 0, []
        for what in (keys.instance, keys.account, keys.former):
            async for key in self._redis.scan_iter(match=what("*"), count=500):
                try:
                    resealed += await self._reseal_one(key.decode())
                except CredentialUnreadable:
                    unreadable.append(key.decode().removeprefix(what("")))
        # The change itself was every single one above; this is the line that tells of it.
        await self._audit.note(by, "keys.rotate", "", "", f"{resealed} credentials")
        return Resealed(resealed, tuple(sorted(unreadable)))

    async def _reseal_one(self, key: str) -> int:
        if await command(self._redis, "TYPE", key) != b"hash":
            return 0
        sealed = await command(self._redis, "HGET", key, "credential")
        if not sealed:
            return 0
        anew = self._rows.reseal(sealed.decode())
        return int(await self._reseal((key,), (sealed, anew))) if anew != sealed.decode() else 0

    async def _change_account(self, account_id: str, fields: Mapping[str, str | None], told: str) -> None:
        given = [part for name, value in fields.items() if value is not None for part in (name, value)]
        dropped = [name for name, value in fields.items() if value is None]
        words = (json.dumps(given), json.dumps(dropped), told)
        refuse(await self._change((keys.account(account_id),), words), gone=AccountNotFound)

    def _now(self) -> int | str:
        return "" if self._clock_us is None else self._clock_us()
