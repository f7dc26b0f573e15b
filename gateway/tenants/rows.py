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
from gateway.tenants.views import AccountView, Limits, TokenView

Row = Mapping[str, str]
Write = list[str]
"""A key, then fields and values in turn, as the scripts take it."""

_SHOWN_OF_TOKEN = 8
_OURS = re.compile(r"pg[ai]_")


class Rows:
    """Writes with the installation's pepper and keys."""

    def __init__(
        self,
        hasher: tokens.TokenHasher,
        cipher: Cipher,
        default_upstream: Target,
        *,
        sessions_by_account: bool = True,
    ) -> None:
        """Fill in `default_upstream` where neither an instance nor its account has one.

        There a new instance's session is called `<account>.<instance>`, or without `sessions_by_account` like it.
        """
        self.hash = hasher
        self._cipher = cipher
        self._default = default_upstream
        self._sessions_by_account = sessions_by_account

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
        return _upstream_fields(upstream, self._cipher.encrypt(upstream.credential))

    def reseal(self, sealed: str) -> str:
        """Encrypt a stored credential under the newest key, unless it is (see `Cipher.reseal`).

        Raises:
            CredentialUnreadable: no key opens it.
        """
        return self._cipher.reseal(sealed)

    def read_instance(self, instance_id: str, row: Row, account: Row) -> Instance:
        """Read an instance, or where it was; where an older version left its upstream open, it is its account's."""
        kept = self._read_target(row)
        if kept is None:
            target = self.followed(row, row["account"], account)[0]
        elif row.get("follows") == "service" and (kept.kind, kept.url) == (self._default.kind, self._default.url):
            # Its credential is in the settings, and perhaps nowhere else.
            target = replace(self._default, session=kept.session)
        else:
            target = replace(kept, session=kept.session or row["name"])
        target = replace(target, account_id=row["account"], instance_id=instance_id)
        return Instance(instance_id, row["account"], row["name"], target, int(row.get("moves", 0)))

    def new_instance(self, name: str, session: str) -> dict[str, str]:
        """Word what an instance without an upstream of its own has to say of its session's name."""
        fields = {"name": name} | ({"named": "account"} if self._sessions_by_account else {})
        return fields | ({"session_given": session} if session else {})

    def own(self, row: Row, upstream: Target) -> Target:
        """Name the session at an instance's own upstream: as was said, else like the instance."""
        return replace(upstream, session=upstream.session or row["name"])

    def has_own(self, row: Row) -> bool:
        """Whether an instance has an upstream of its own."""
        return bool(row.get("kind")) and not row.get("follows")

    def followed(self, row: Row, account_id: str, account: Row) -> tuple[Target, str]:
        """Work out where an instance without an upstream of its own lives, and whom it follows in that."""
        given, of_account = row.get("session_given", ""), self._read_target(account)
        if of_account is not None:
            return replace(of_account, session=given or of_account.session or row["name"]), "account"
        return replace(self._default, session=given or _session(row, account_id, account)), "service"

    def kept(self, target: Target, follows: str, account: Row) -> dict[str, str]:
        """Word where an instance lives, for its record; a credential that it shares with its account as it stands.

        Raises:
            EncryptionOff: there is a credential of its own, and no key is configured.
        """
        if not target.kind:
            return {}
        sealed = account.get("credential", "") if follows == "account" else self._sealed(target, follows)
        fields = _upstream_fields(target, sealed)
        return fields | {"follows": follows} if follows else fields

    def is_kept(self, row: Row, target: Target, follows: str) -> bool:
        """Whether an instance's record says already that it lives there."""
        stored = self._read_target(row)
        if stored is None:
            return not target.kind
        credential = "" if follows == "service" and not self._cipher.has_key else target.credential
        return row.get("follows", "") == follows and stored == replace(target, credential=credential)

    def former(self, row: Row, account: Row) -> dict[str, str]:
        """Word where an instance lives now, for when it has left."""
        place = {name: row[name] for name in (*UPSTREAM_FIELDS, "follows") if name in row}
        if not row.get("kind"):
            place = self.kept(*self.followed(row, row["account"], account), account)
        return {"account": row["account"], "name": row["name"], "moves": row.get("moves", "0")} | place

    def _sealed(self, target: Target, follows: str) -> str:
        if follows == "service" and not self._cipher.has_key:
            return ""  # it is in the settings
        return self._cipher.encrypt(target.credential)

    def _read_target(self, row: Row) -> Target | None:
        if not row.get("kind"):
            return None
        try:
            credential, sealed = self._cipher.decrypt(row.get("credential", "")), False
        except CredentialUnreadable:
            credential, sealed = "", True
        trusted, quiet = row.get("trusted") == "1", float(row["quiet"]) if row.get("quiet") else None
        return Target(row["kind"], row["url"], row.get("session", ""), credential, trusted, quiet, sealed)

    def read_account(self, account_id: str, row: Row, *, instances: int, tokens: int) -> AccountView:
        """Read an account; its credential stays closed."""
        limits = Limits(*(int(row[name]) if name in row else None for name in LIMITS))
        upstream = Target(row["kind"], row["url"], "") if row.get("kind") else None
        return AccountView(
            account_id, row["name"], row["status"], int(row["created"]), limits, upstream, instances, tokens
        )

    def read_token(self, token_hash: str, row: Row) -> TokenView:
        """Read a token's record."""
        return TokenView(
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


UPSTREAM_FIELDS = ("kind", "url", "session", "credential", "trusted", "quiet")
"""Where sessions live, in an account's row, an instance's, and that of where an instance was."""


def _upstream_fields(target: Target, sealed: str) -> dict[str, str]:
    quiet = "" if target.quiet_after_s is None else str(target.quiet_after_s)
    values = (target.kind, target.url, target.session, sealed, "1" if target.trusted else "0", quiet)
    return dict(zip(UPSTREAM_FIELDS, values, strict=True))


def _session(row: Row, account_id: str, account: Row) -> str:
    """Name a session on the service's upstream so that no other account's is called the same.

    What stands before the first dot is an account's name, or its id where its name has a dot itself; no name looks like
    an id. An instance of an older version keeps the name that it had.
    """
    if row.get("named") != "account":
        return row["name"]
    name = account.get("name", "")
    return f"{account_id if '.' in name else name}.{row['name']}"


LIMITS = tuple(field.name for field in dataclasses.fields(Limits))
"""An account's own figures, as its row and `views.Limits` name them."""


def limit_fields(limits: Limits) -> dict[str, str]:
    """Word the figures that an account has of its own."""
    given = {name: getattr(limits, name) for name in LIMITS}
    return {name: str(figure) for name, figure in given.items() if figure is not None}


def write(key: str, fields: Row) -> Write:
    """Word one hash for the scripts."""
    return [key, *flat(fields)]


def flat(fields: Row) -> list[str]:
    """Put fields and values in turn."""
    return [part for pair in fields.items() for part in pair]


def now() -> str:
    """Return this Unix second."""
    return str(int(time.time()))


def _seconds(ms: str | None) -> float | None:
    return int(ms) / 1000 if ms else None
