"""How accounts, instances and tokens are written down in Redis, and read back: tokens hashed, credentials encrypted."""

import dataclasses
import re
import time
from collections.abc import Mapping
from dataclasses import replace

from gateway.presence.model import Instance, Target
from gateway.store import keys
from gateway.tenants import tokens
from gateway.tenants.cipher import Cipher, CredentialUnreadable
from gateway.tenants.views import AccountFacts, Limits, TokenFacts

Row = Mapping[str, str]
Write = list[str]
"""A key, then fields and values in turn, as the scripts take it."""

_SHOWN_OF_TOKEN = 8
_OURS = re.compile(r"pg[ai]_")


class Rows:
    """Writes with the installation's pepper and keys."""

    def __init__(self, hasher: tokens.TokenHasher, cipher: Cipher, default_upstream: Target) -> None:
        """Fill in `default_upstream` where neither an instance nor its account has one."""
        self.hash = hasher
        self._cipher = cipher
        self._default = default_upstream

    def token_id(self, token: str) -> str:
        """Return the id by which a token is listed and revoked."""
        return "t" + self.hash(token)[:12]

    def token(self, token: str, kind: str, account_id: str, instance_id: str, name: str) -> list[Write]:
        """Word a token's record and every index that names it."""
        token_hash, token_id = self.hash(token), self.token_id(token)
        # Of a caller's own token nothing is shown: it may be short.
        prefix = token[:_SHOWN_OF_TOKEN] if _OURS.match(token) else ""
        fields = {"id": token_id, "kind": kind, "account": account_id, "name": name, "created": now(), "prefix": prefix}
        writes = [[keys.account_tokens(account_id), token_id, token_hash], [keys.TOKEN_IDS, token_id, token_hash]]
        if instance_id:
            fields["instance"] = instance_id
            writes.append([keys.instance_tokens(instance_id), token_id, token_hash])
        return [write(keys.token(token_hash), fields), *writes]

    def upstream(self, upstream: Target | None) -> dict[str, str]:
        """Word where sessions live, the credential encrypted.

        Raises:
            EncryptionOff: there is a credential and no key is configured.
        """
        if upstream is None:
            return {}
        return {
            "kind": upstream.kind,
            "url": upstream.url,
            "session": upstream.session,
            "credential": self._cipher.encrypt(upstream.credential),
            "trusted": "1" if upstream.trusted else "0",
            "quiet": "" if upstream.quiet_after_s is None else str(upstream.quiet_after_s),
        }

    def reseal(self, sealed: str) -> str:
        """Encrypt a stored credential under the newest key, unless it is (see `Cipher.reseal`).

        Raises:
            CredentialUnreadable: no key opens it.
        """
        return self._cipher.reseal(sealed)

    def read_instance(self, instance_id: str, row: Row, account: Row) -> Instance:
        """Read an instance; what it leaves open its account's upstream fills in, or the service's."""
        own = self._read_target(row) or self._read_target(account) or self._default
        session = own.session or row["name"]
        target = replace(own, session=session)
        return Instance(instance_id, row["account"], row["name"], target)

    def _read_target(self, row: Row) -> Target | None:
        if not row.get("kind"):
            return None
        try:
            credential, sealed = self._cipher.decrypt(row.get("credential", "")), False
        except CredentialUnreadable:
            credential, sealed = "", True
        trusted, quiet = row.get("trusted") == "1", float(row["quiet"]) if row.get("quiet") else None
        return Target(row["kind"], row["url"], row.get("session", ""), credential, trusted, quiet, sealed)

    def read_account(self, account_id: str, row: Row, *, instances: int, tokens: int) -> AccountFacts:
        """Read an account; its credential stays closed."""
        limits = Limits(*(int(row[name]) if name in row else None for name in LIMITS))
        upstream = Target(row["kind"], row["url"], "") if row.get("kind") else None
        return AccountFacts(
            account_id, row["name"], row["status"], int(row["created"]), limits, upstream, instances, tokens
        )

    def read_token(self, token_hash: str, row: Row) -> TokenFacts:
        """Read a token's record."""
        return TokenFacts(
            id=row["id"],
            name=row["name"],
            prefix=row.get("prefix", ""),
            kind=row["kind"],
            account_id=row["account"],
            instance_id=row.get("instance", ""),
            created_s=int(row["created"]),
            used_s=_seconds(row.get("used")),
            expires_s=_seconds(row.get("expires")),
            hash=token_hash,
        )


LIMITS = tuple(field.name for field in dataclasses.fields(Limits))
"""An account's own figures, as its row and `views.Limits` name them."""


def limit_fields(limits: Limits) -> dict[str, str]:
    """Word the figures that an account has of its own."""
    given = {name: getattr(limits, name) for name in LIMITS}
    return {name: str(figure) for name, figure in given.items() if figure is not None}


def write(key: str, fields: Row) -> Write:
    """Word one hash for the scripts."""
    return [key, *(part for pair in fields.items() for part in pair)]


def now() -> str:
    """Return this Unix second."""
    return str(int(time.time()))


def _seconds(ms: str | None) -> float | None:
    return int(ms) / 1000 if ms else None
