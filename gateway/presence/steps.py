"""What the steps of a promise are asked with, and what they answer."""

from dataclasses import dataclass
from typing import Literal, NamedTuple

from gateway.presence.model import Chat, State


class ChatKey(NamedTuple):
    """One chat of one instance: what a promise is kept for."""

    instance_id: str
    chat: Chat


class Grant(NamedTuple):
    """The lease on a chat: its owner alone may call the upstream.

    Attributes:
        key: the chat.
        owner: a name that nobody else has.
        op: what the upstream is to be told.
        deadline_s: when the lease ends, on the local monotonic clock.
        sent_ms_ago: when the upstream was last told to show something, or None where that is long ago.
        ticket: a command's place among the chat's commands; '' for a wake-up.
        promised_ms: when a command's promise was made, on Redis' clock.
        shows: what the chat shows while a command is under way.
    """

    key: ChatKey
    owner: str
    op: State
    deadline_s: float
    sent_ms_ago: int | None = None
    ticket: str = ""
    promised_ms: int = 0
    shows: State | None = None


class Busy(NamedTuple):
    """Another call to this chat is under way, for `lease_ms` more at the most; `ticket` keeps our place."""

    ticket: str
    lease_ms: int


@dataclass(frozen=True, slots=True)
class Overtaken:
    """A newer command for this chat arrived while we waited."""


class Repeated(NamedTuple):
    """The chat shows it already, and was sent it so lately that only its end had to move."""

    ticket: str


class Unclear(NamedTuple):
    """More than a plain promise would have to be made, and its caller is not admitted yet; nothing was changed."""


class NothingShows(NamedTuple):
    """There is nothing that a message could end."""


Why = Literal["", "natural", "message"]
"""What ends an indicator, where that is not a time that was asked for: none was asked for, or a message was sent."""


class Claim(NamedTuple):
    """What a wake-up must tell the upstream now.

    Attributes:
        grant: the lease under which to tell it; `grant.op` is a refresh, or the pause.
        overdue_ms: how long ago the pause was due; 0 for a refresh.
        tries: how often this pause failed before.
        is_echo: the indicator was paused already, and this repeats it.
        trace: the `traceparent` of the command that made the promise, or ''.
        why: what a pause is for, where it is not for its time.
    """

    grant: Grant
    overdue_ms: int
    tries: int
    is_echo: bool
    trace: str
    why: Why


class Look(NamedTuple):
    """What of a partition wakes up soon.

    Attributes:
        due: each chat, and in how many milliseconds it wakes up; those that should have already are negative.
        may_rest: whether accounts of the partition are to be made unavailable now.
    """

    due: list[tuple[ChatKey, int]]
    may_rest: bool


class RefreshPolicy(NamedTuple):
    """How an indicator is held on one kind of upstream, in seconds.

    Attributes:
        refresh_s: from one telling to the next.
        life_s: how long a telling surely shows; a pause due within it needs no further one.
        one_at_a_time: a telling lasts until the next, and must not be overlapped by another.
        quiet_s: so long after an instance's last indicator its account is made unavailable; 0 for never.
    """

    refresh_s: float
    life_s: float
    one_at_a_time: bool = False
    quiet_s: float = 0.0


class Report(NamedTuple):
    """What became of one telling.

    Attributes:
        result: whether the upstream acted.
        refresh: how the indicator is held from here.
        answered_ms_ago: how long ago the upstream answered; a duration counts from then.
        sent_ms_ago: how long ago it was told; None where the telling before this one is still under way.
        outcome: what became of it in a word, for people; '' where nobody was called.
    """

    result: Literal["ok", "failed", "unknown"]
    refresh: RefreshPolicy
    answered_ms_ago: int
    sent_ms_ago: int | None
    outcome: str = ""


class Settled(NamedTuple):
    """What `settle` recorded.

    Attributes:
        lost_lease: the call took longer than its lease, and the record was repaired.
        late_ms: how late a delivered pause reached the upstream, or None where none was delivered.
    """

    lost_lease: bool
    late_ms: int | None
