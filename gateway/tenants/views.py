"""What may be told of accounts and tokens: everything but secrets."""

from dataclasses import dataclass

from gateway.presence.model import Target


@dataclass(frozen=True, slots=True)
class Limits:
    """An account's own figures; None where the settings' count."""

    per_minute: int | None = None
    creation_per_minute: int | None = None
    instances_quota: int | None = None
    account_per_minute: int | None = None
    tokens_quota: int | None = None


@dataclass(frozen=True, slots=True)
class AccountView:
    """A tenant; `status` is `active`, `suspended` or `deleting`, `created_s` Unix seconds."""

    id: str
    name: str
    status: str
    created_s: int
    limits: Limits
    upstream: Target | None
    instances: int
    tokens: int


@dataclass(frozen=True, slots=True)
class TokenView:
    """A token without itself; instants are Unix seconds."""

    id: str
    name: str
    prefix: str
    kind: str
    account_id: str
    instance_id: str
    created_s: int
    used_s: float | None
    expires_s: float | None
    hash: str
