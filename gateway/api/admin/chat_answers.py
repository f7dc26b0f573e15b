"""What the operator's API tells of chats and of what fails, as values; their types are its description too."""

from typing import Annotated

from msgspec import Meta, Struct

from gateway.api.answers import ToldUpstream
from gateway.upstreams.doctor import Finding

_ENDED_BY = ["time", "pause", "message", "natural", "replaced"]


class Place(Struct, frozen=True):
    """Which chat, and on which instance."""

    instance: str
    account: str | None
    chat: Annotated[str, Meta(description="The chat's id: the same for the same chat, and no number.")]
    number: Annotated[str, Meta(description="Its number, masked.")]


class Shown(Place, frozen=True):
    """What a chat shows or showed; instants are Unix seconds."""

    state: str
    since: float


class Indicator(Shown, frozen=True):
    """What a chat shows, and for how many seconds its pause is overdue."""

    ends: float | None
    overdue_s: float


class End(Shown, frozen=True):
    """What a chat showed, and what ended it."""

    ended: float
    by: Annotated[str, Meta(description="What ended it.", extra_json_schema={"enum": _ENDED_BY})]


class Owed(Struct, frozen=True):
    """How many chats wait for a wake-up, and how late the oldest is."""

    owed: int
    oldest_overdue_s: float


class Indicators(Owed, frozen=True):
    """What shows now, what ended lately, how many chats wait for a wake-up, and how late the oldest is."""

    indicators: list[Indicator]
    ended: list[End]


class Showing(Struct, frozen=True):
    """What a chat of the history shows now."""

    state: str
    since: float
    ends: float | None
    overdue_s: float
    why: Annotated[str, Meta(description="Why its pause is late; empty where it is not.")]


class Told(Struct, frozen=True):
    """What became of one thing that a chat was told; instants are Unix seconds."""

    state: str
    since: float
    ended: float
    by: Annotated[
        str,
        Meta(
            description="What ended it; `failed`: it never showed; `abandoned`: its pause was given up.",
            extra_json_schema={"enum": [*_ENDED_BY, "failed", "abandoned"]},
        ),
    ]
    asked: Annotated[float | None, Meta(description="Until when it was asked for.")]
    sent: Annotated[float | None, Meta(description="When the upstream was last told to show it.")]
    tries: Annotated[int, Meta(description="How often its pause failed before.")]
    sure: Annotated[bool, Meta(description="The upstream said that it acted.")]
    reason: Annotated[str, Meta(description="Why it came to nothing; empty where it did not.")]


class Chat(Place, frozen=True):
    """A chat, what it shows now and what it was told, the newest first."""

    instance_id: str | None
    showing: Showing | None
    told: list[Told]


class History(Struct, frozen=True):
    """What chats show and were told within the last `history_s` seconds; `more` is how many are left out."""

    history_s: float
    showing: int
    chats: list[Chat]
    more: int


class FoundChat(Struct, frozen=True):
    """The id of a chat."""

    chat: str


class Number(Struct, frozen=True):
    """The JID of a chat."""

    number: str


class PausedChat(Struct, frozen=True):
    """What a chat shows now."""

    state: str


class Diagnosis(Struct, frozen=True):
    """Why a presence did not show, in one sentence, and everything that was looked at."""

    answer: str
    findings: list[Finding]


class Trouble(Struct, frozen=True):
    """An instance whose calls failed lately; instants are Unix seconds."""

    account: str
    instance: str
    instance_id: str
    upstream: ToldUpstream
    reason: Annotated[str, Meta(description="What became of the last call that failed, in words.")]
    failed: Annotated[int, Meta(description="Calls that failed since the first of them.")]
    since: float
    last: float
    ok: Annotated[float | None, Meta(description="When a call went well after the last failure.")]
    open: Annotated[bool, Meta(description="A circuit breaker leaves it alone now.")]


class Troubles(Owed, frozen=True):
    """What needs a person; what is wrong with the installation itself only the operator is told."""

    problems: list[str]
    upstreams: list[Trouble]
