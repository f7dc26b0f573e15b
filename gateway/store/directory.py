"""Accounts, instances and tokens in Redis: made whole or not at all, tokens hashed, credentials encrypted."""

import json
import secrets
import time
from dataclasses import dataclass

from redis.asyncio import Redis

from gateway import tokens
from gateway.cipher import Cipher
from gateway.errors import Conflict, GatewayError, InstanceNotFound
from gateway.model import Instance, Target
from gateway.store import keys
from gateway.store.redis import Script, command, store_errors

_CACHED = 10_000


class QuotaExceeded(GatewayError):
    """The account has as many instances as it may."""

    status = 403
    message = "Account instance quota exceeded"


class AccountNotFound(GatewayError):
    """The operator named an account that does not exist."""

    status = 404
    message = "Account not found"


class TokenNotFound(GatewayError):
    """The operator named a token that does not exist."""

    status = 404
    message = "Token not found"


@dataclass(frozen=True, slots=True)
class Created:
    """Something new and its token, which is shown this once."""

    id: str
    name: str
    token: str


class RedisDirectory:
    """`ports.Directory` on Redis, and the operator's side of it."""

    def __init__(
        self,
        redis: Redis,
        hasher: tokens.TokenHasher,
        cipher: Cipher,
        *,
        default_upstream: Target,
        instances_per_account: int,
    ) -> None:
        self._redis = redis
        self._hash = hasher
        self._cipher = cipher
        self._default_upstream = default_upstream
        self._instances_per_account = instances_per_account
        self._create = Script(redis, "create")
        self._decoded: dict[tuple[str, str], Instance] = {}

    async def instance(self, instance_id: str, version: str) -> Instance | None:
        """Return the instance as of `version` (see `ports.Directory.instance`); decrypted once for each version."""
        if not version:
            return None
        known = self._decoded.get((instance_id, version))
        if known is not None:
            return known
        stored = await self._read(keys.instance(instance_id))
        if not stored:
            return None
        instance = self._decode(instance_id, stored)
        while len(self._decoded) >= _CACHED:
            self._decoded.pop(next(iter(self._decoded)))
        self._decoded[instance_id, stored["version"]] = instance
        return instance

    async def create_account(self, name: str, *, per_minute: int | None = None) -> Created:
        """Make an account and its first token.

        Raises:
            Conflict: the name is taken.
        """
        account_id, token = "a" + secrets.token_hex(6), tokens.make("account")
        fields = {"name": name, "status": "active", "created": _now()}
        if per_minute is not None:
            fields["per_minute"] = str(per_minute)
        writes = [_write(keys.account(account_id), fields), *self._token_writes(token, "account", account_id, "", "")]
        await self._claim(keys.ACCOUNTS, name, account_id, 0, writes, [], "Account already exists")
        return Created(account_id, name, token)

    async def create_instance(
        self, account_id: str, name: str, *, upstream: Target | None = None, token: str | None = None
    ) -> Created:
        """Make an instance and its token.

        Args:
            account_id: whose.
            name: unique within the account.
            upstream: where its session lives; without one the service's default, and the session is called `name`.
            token: the caller's own, else one is made.

        Raises:
            Conflict: the name, or the caller's own token, is taken.
            QuotaExceeded: the account has as many instances as it may.
        """
        instance_id, token = "i" + secrets.token_hex(6), token or tokens.make("instance")
        fields = {"account": account_id, "name": name, "version": secrets.token_hex(4), "created": _now()}
        fields |= self._upstream_fields(upstream)
        writes = [
            _write(keys.instance(instance_id), fields),
            *self._token_writes(token, "instance", account_id, instance_id, ""),
        ]
        most = self._instances_per_account
        taken = [keys.token(self._hash(token))]
        await self._claim(keys.instances(account_id), name, instance_id, most, writes, taken, "Instance already exists")
        return Created(instance_id, name, token)

    async def move_instance(self, instance_id: str, upstream: Target) -> None:
        """Point an instance at another upstream; every process sees it with its next request."""
        fields = self._upstream_fields(upstream) | {"version": secrets.token_hex(4)}
        await self._write_all([_write(keys.instance(instance_id), fields)])

    async def issue_token(self, account_id: str, *, name: str = "") -> Created:
        """Make one more token for an account."""
        token = tokens.make("account")
        writes = self._token_writes(token, "account", account_id, "", name)
        await self._write_all(writes)
        return Created(self._token_id(token), name, token)

    async def revoke_token(self, token_id: str) -> None:
        """Make a token invalid with the next request of every process.

        Raises:
            TokenNotFound: there is none with that id.
        """
        token_hash = await command(self._redis, "HGET", keys.token_ids(), token_id)
        if token_hash is None:
            raise TokenNotFound
        record = keys.token(token_hash.decode())
        account = await command(self._redis, "HGET", record, "account")
        async with store_errors(), self._redis.pipeline(transaction=True) as pipe:
            pipe.delete(record)
            pipe.hdel(keys.token_ids(), token_id)
            pipe.hdel(keys.account_tokens((account or b"").decode()), token_id)
            await pipe.execute()

    async def accounts(self) -> list[dict[str, str]]:
        """List every account with its id, name, status and limit."""
        index = await command(self._redis, "HGETALL", keys.ACCOUNTS)
        return [{"id": found.decode(), **await self._read(keys.account(found.decode()))} for found in index.values()]

    async def find_account(self, name: str) -> str:
        """Return the id of the account of that name (or id).

        Raises:
            AccountNotFound: there is none.
        """
        found = await command(self._redis, "HGET", keys.ACCOUNTS, name)
        if found is None and not await command(self._redis, "EXISTS", keys.account(name)):
            raise AccountNotFound
        return found.decode() if found else name

    async def instances(self, account_id: str) -> list[Instance]:
        """List an account's instances."""
        index = await command(self._redis, "HGETALL", keys.instances(account_id))
        stored = [(found.decode(), await self._read(keys.instance(found.decode()))) for found in index.values()]
        return [self._decode(instance_id, fields) for instance_id, fields in stored if fields]

    async def find_instance(self, account_id: str, name: str) -> Instance:
        """Return an account's instance by name.

        Raises:
            InstanceNotFound: it has none of that name.
        """
        found = await command(self._redis, "HGET", keys.instances(account_id), name)
        stored = await self._read(keys.instance(found.decode())) if found else {}
        if not found or not stored:
            raise InstanceNotFound
        return self._decode(found.decode(), stored)

    def _decode(self, instance_id: str, stored: dict[str, str]) -> Instance:
        """Fill in what the instance leaves to the service's default upstream, and decrypt its credential."""
        name, default = stored["name"], self._default_upstream
        if stored.get("kind"):
            credential = self._cipher.decrypt(stored.get("credential", ""))
            target = Target(stored["kind"], stored["url"], stored.get("session") or name, credential)
        else:
            target = Target(default.kind, default.url, name, default.credential)
        return Instance(instance_id, stored["account"], name, target)

    def _upstream_fields(self, upstream: Target | None) -> dict[str, str]:
        if upstream is None:
            return {}
        return {
            "kind": upstream.kind,
            "url": upstream.url,
            "session": upstream.session,
            "credential": self._cipher.encrypt(upstream.credential),
        }

    def _token_id(self, token: str) -> str:
        return "t" + self._hash(token)[:12]

    def _token_writes(self, token: str, kind: str, account_id: str, instance_id: str, name: str) -> list[list[str]]:
        token_hash, token_id = self._hash(token), self._token_id(token)
        fields = {"id": token_id, "kind": kind, "account": account_id, "name": name, "created": _now()}
        if instance_id:
            fields["instance"] = instance_id
        return [
            _write(keys.token(token_hash), fields),
            [keys.account_tokens(account_id), token_id, token_hash],
            [keys.token_ids(), token_id, token_hash],
        ]

    async def _claim(
        self, index: str, name: str, new_id: str, most: int, writes: list[list[str]], taken: list[str], exists: str
    ) -> None:
        verdict = await self._create((index,), (name, new_id, most, json.dumps(taken), json.dumps(writes)))
        if verdict == b"exists":
            raise Conflict(exists)
        if verdict == b"taken":
            raise Conflict("Token already in use")
        if verdict == b"quota":
            raise QuotaExceeded

    async def _write_all(self, writes: list[list[str]]) -> None:
        async with store_errors(), self._redis.pipeline(transaction=True) as pipe:
            for key, *pairs in writes:
                pipe.hset(key, items=pairs)
            await pipe.execute()

    async def _read(self, key: str) -> dict[str, str]:
        stored = await command(self._redis, "HGETALL", key)
        return {name.decode(): value.decode() for name, value in stored.items()}


def _write(key: str, fields: dict[str, str]) -> list[str]:
    return [key, *(part for pair in fields.items() for part in pair)]


def _now() -> str:
    return str(int(time.time()))
