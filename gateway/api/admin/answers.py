"""What the operator's API answers with when it succeeds, as values; their types are its description too."""

from typing import Annotated, Literal

from msgspec import Meta, Struct

from gateway.api.answers import ToldConnection, ToldInstance, ToldUpstream
from gateway.presence.model import ChatKind


class Named(Struct, frozen=True):
    """Something by its id and its name."""

    id: str
    name: str


class Session(Struct, frozen=True):
    """Who is asking; an operator is no account."""

    kind: Literal["operator", "account"]
    account: Named | None


class ToldKind(Struct, frozen=True):
    """Of what kind an account's default upstream is."""

    kind: str


class Account(Named, frozen=True):
    """A tenant; a figure of null is the settings', and so is an upstream of null."""

    status: str
    created: int
    per_minute: int | None
    creation_per_minute: int | None
    instances_quota: int | None
    account_per_minute: int | None
    tokens_quota: int | None
    instances: int
    tokens: int
    upstream: ToldKind | None


class OneAccount(Struct, frozen=True):
    """An account as it is now."""

    account: Account


class Accounts(Struct, frozen=True):
    """The accounts that the caller may see."""

    accounts: list[Account]


class NewAccount(OneAccount, frozen=True):
    """An account that was made, and its first token, which is shown this once."""

    token: str


class Token(Named, frozen=True):
    """A token without itself; instants are Unix seconds."""

    prefix: Annotated[str, Meta(description="How it begins; empty where the caller chose it.")]
    kind: Annotated[str, Meta(extra_json_schema={"enum": ["account", "instance"]})]
    instance: str | None
    created: int
    last_used: float | None
    expires: float | None


class Tokens(Struct, frozen=True):
    """An account's tokens, the oldest first."""

    tokens: list[Token]


class NewToken(Struct, frozen=True):
    """A token that was made."""

    token: Token
    secret: Annotated[str, Meta(description="The token itself, shown this once.")]


class Instance(ToldInstance, frozen=True):
    """An instance and where its session is."""

    upstream: ToldUpstream


class OneInstance(Struct, frozen=True):
    """An instance as it is now."""

    instance: Instance


class ListedInstance(Instance, frozen=True):
    """An instance with its connection."""

    connection: ToldConnection


class Instances(Struct, frozen=True):
    """An account's instances."""

    instances: list[ListedInstance]


class NewInstance(Instance, frozen=True):
    """An instance whose token is new."""

    token: str


class InstanceCreated(Struct, frozen=True):
    """An instance that was made; `secret` is its token again."""

    instance: NewInstance
    secret: str


class TokenRotated(NewToken, frozen=True):
    """An instance's new token."""

    instance: Instance


class Ended(Struct, frozen=True):
    """What is no more."""

    id: str
    status: Literal["deleted", "revoked"]


class EndedByName(Named, frozen=True):
    """What is no more, by its name too."""

    status: Literal["deleted"] = "deleted"


class AccountDeleted(Struct, frozen=True):
    """What was deleted."""

    account: EndedByName


class TokenRevoked(Struct, frozen=True):
    """What was revoked."""

    token: Ended


class InstanceDeleted(Struct, frozen=True):
    """What was deleted."""

    instance: EndedByName


class Capabilities(Struct, frozen=True):
    """What an upstream can do."""

    chats: Annotated[list[ChatKind], Meta(description="The kinds of chat that it reaches.")]
    phone_digits: Annotated[int, Meta(description="The longest phone number that it takes.")]
    recording: Annotated[bool, Meta(description="It has a recording indicator.")]
    blocks: Annotated[bool, Meta(description="Its call answers only when the indicator is over.")]
    own_timer: Annotated[bool, Meta(description="It pauses by itself after a delay that the call names.")]
    available_first: Annotated[bool, Meta(description="Its account must be available before anything shows.")]
    answer_s: Annotated[float, Meta(description="The longest that a healthy first answer takes.")]
    refresh_s: Annotated[float, Meta(description="How often a held indicator is re-sent.")]
    slice_s: Annotated[float, Meta(description="How long one call shows, where it blocks.")]


class Upstream(Struct, frozen=True):
    """A kind of upstream."""

    kind: Annotated[str, Meta(description="What `upstream.kind` takes.")]
    name: Annotated[str, Meta(description="What people call it.")]
    capabilities: Capabilities


class Upstreams(Struct, frozen=True):
    """Every kind of upstream that an instance may live on."""

    upstreams: list[Upstream]


class Used(Struct, frozen=True):
    """How much of this minute a token has used."""

    id: str
    limit: int
    used: int
    reset: int


class Usage(Struct, frozen=True):
    """The tokens that the caller may see."""

    tokens: list[Used]


class Entry(Struct, frozen=True):
    """Who changed what."""

    id: str
    at: float
    actor: str
    action: str
    subject: str
    detail: str


class Entries(Struct, frozen=True):
    """The latest changes, the newest first."""

    entries: list[Entry]


class Resealed(Struct, frozen=True):
    """How many credentials are under the newest key now."""

    resealed: int
    unreadable: Annotated[tuple[str, ...], Meta(description="The instances and accounts that no key opens.")]
