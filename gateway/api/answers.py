"""What the public API answers with when it succeeds, as values; their types are its description too."""

from typing import Literal

from msgspec import UNSET, Struct, UnsetType

from gateway.upstreams.base import Connection


class Said(Struct, frozen=True):
    """A sentence for people."""

    message: str


class PresenceSent(Said, frozen=True):
    """What was made of a presence command; `duration` is the effective one."""

    chat_jid: str
    state: str
    duration: int
    hold: bool | UnsetType = UNSET


class Total(Struct, frozen=True):
    """How many are listed."""

    total: int


class Indicator(Struct, frozen=True):
    """What a chat shows; instants are Unix seconds, and `ends` is null where there is no end."""

    chat: str
    state: str
    since: float
    ends: float | None


class Indicators(Said, frozen=True):
    """The indicators of an instance, the newest first."""

    indicators: list[Indicator]
    meta: Total


class ToldUpstream(Struct, frozen=True):
    """Where a session is, without its credential; a tenant is not told the address of an operator's own upstream."""

    kind: str
    url: str | None
    session: str


class ToldConnection(Struct, frozen=True):
    """What an instance's session was like a moment ago."""

    state: Connection


class ToldInstance(Struct, frozen=True):
    """What every answer tells of an instance."""

    id: str
    name: str
    status: str


class ListedInstance(ToldInstance, frozen=True):
    """An instance with its connection."""

    connection: ToldConnection


class Instances(Said, frozen=True):
    """The caller's instances."""

    instances: list[ListedInstance]
    meta: Total


class InstanceWithToken(ToldInstance, frozen=True):
    """An instance whose token is new, and shown this once."""

    token: str


class NewInstance(InstanceWithToken, frozen=True):
    """An instance that was made."""

    upstream: ToldUpstream


class NewToken(Struct, frozen=True):
    """The same token again, at the place where other clients look for it."""

    token: str


class InstanceCreated(Said, frozen=True):
    """What was made."""

    instance: NewInstance
    data: NewToken


class TokenRotated(Said, frozen=True):
    """The new token, and for how many seconds the old one stays valid."""

    instance: InstanceWithToken
    data: NewToken
    grace: int


class DeletedInstance(Struct, frozen=True):
    """An instance that is no more."""

    name: str
    status: Literal["deleted"] = "deleted"


class InstanceDeleted(Said, frozen=True):
    """What was deleted."""

    instance: DeletedInstance
