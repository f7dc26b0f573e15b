"""What the domain needs of the world, as Protocols whose docstrings state the promises."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple, Protocol

from gateway.presence.model import Chat, Instance, Outcome, State, Target


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


class Indicators(Protocol):
    """The chats' records. Every method is one atomic step, durable when it returns.

    Raises (all methods):
        StoreUnavailable: Redis did not answer; the step may or may not have happened.
    """

    async def promise(
        self,
        key: ChatKey,
        op: State,
        duration_ms: int,
        *,
        owner: str,
        ticket: str | None,
        trace: str,
        refresh: RefreshPolicy,
        why: Why = "",
        ahead: bool = False,
    ) -> Grant | Busy | Overtaken | Repeated | NothingShows | Unclear:
        """Take the lease and arm a provisional pause.

        When a `Grant` returns, the chat will be paused even if this process dies now: no earlier than `duration_ms`
        from now, no later than that and one lease. Calling again with the same `owner` is safe. A negative `ticket`
        is a command that arrived so many microseconds ago. When `Repeated` returns, it will be paused `duration_ms`
        from now, and held until then. `NothingShows` answers a pause that is for a message. `ahead` of its caller's
        admission, only a plain promise is made, which can be rolled back without a trace; `Unclear` answers what would
        be another.
        """
        ...

    async def settle_command(self, grant: Grant, report: Report, duration_ms: int, why: Why = "") -> Settled:
        """Record what became of a command's call, and arm what comes next."""
        ...

    async def settle_wake(self, grant: Grant, report: Report, *, retry_ms: int | None) -> Settled:
        """Record what became of a refresh or a pause; a failed pause is armed again in `retry_ms`, or given up."""
        ...

    async def look(self, partition: int, *, ahead_ms: int) -> Look:
        """Say what of a partition wakes up within the next while."""
        ...

    async def claim(self, chats: Sequence[ChatKey], *, owner: str) -> list[Claim | int | None]:
        """Take the leases of chats of one partition that wake up now.

        For each: what to tell its upstream; or, where it is not its time, in how many milliseconds it wakes up; or None
        where nothing is left to do.
        No other worker gets them before their leases end; whoever dies with them gives them back then. Calling again
        with the same `owner` returns what a lost reply held, and is the only way to get it sooner.
        """
        ...

    async def servers(self) -> list[str]:
        """Name the server that answers for each partition, '' where none does.

        A restarted one, or a replica that took over, has another name. One that takes no writes is as good as away.
        """
        ...

    @staticmethod
    def partition(key: ChatKey) -> int:
        """Say in which partition a chat is."""
        ...

    async def replay(
        self, key: ChatKey, op: State, left_ms: int | None, *, ticket: str, refresh: RefreshPolicy
    ) -> bool:
        """Put back a command that the record does not know; False where it does, or knows a newer one."""
        ...


class Upstreams(Protocol):
    """The WhatsApp HTTP APIs."""

    async def send(self, target: Target, chat: Chat, state: State, *, timeout_s: float) -> Outcome:
        """Tell the upstream once. Never raises for anything that an upstream does; answers within `timeout_s`."""
        ...

    def refresh_policy(self, target: Target) -> RefreshPolicy:
        """Return how a held indicator is re-sent to this kind of upstream."""
        ...

    async def rest(self, target: Target, *, timeout_s: float) -> Outcome:
        """Tell the upstream once that the account is unavailable; `UNSUPPORTED` where it cannot be told."""
        ...


class Directory(Protocol):
    """Who exists.

    Raises (all methods):
        StoreUnavailable: Redis did not answer, and what is remembered does not say it.
    """

    async def latest_change(self) -> str:
        """Return the number of the latest change to accounts and instances: the same twice, nothing changed between."""
        ...

    async def keeper(self, chats_id: str, change: str | None) -> Instance | None:
        """Return who keeps chats under this id, as of a change; None where it has gone.

        With None for the change, whatever is remembered will do: Redis does not say what is the latest.
        """
        ...

    async def account_of(self, chats_id: str) -> str:
        """Say whose the chats are that are kept under this id; '' where that has gone."""
        ...


class RestingAccounts(Protocol):
    """Accounts that are to be unavailable, since nothing has been shown for them for a while.

    Raises (all methods):
        StoreUnavailable: Redis did not answer; what was due stays due.
    """

    async def due(self, partition: int) -> list[str]:
        """Return the instances of a partition whose time has come; no other process gets them for a while."""
        ...

    async def rested(self, instance_id: str, *, done: bool) -> None:
        """Record whether the upstream was told; where not, the instance is due again soon."""
        ...
