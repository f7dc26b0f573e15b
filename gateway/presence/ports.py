"""What the domain needs of the world, as Protocols whose docstrings state the promises."""

from dataclasses import dataclass
from typing import Literal, NamedTuple, Protocol

from gateway.presence.model import Chat, Instance, Outcome, State, Target
from gateway.presence.shares import Shares


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
        instance_version: '' where the instance has gone.
        account_id: whose share of the worker it takes; '' where nobody asked for that.
    """

    grant: Grant
    overdue_ms: int
    tries: int
    is_echo: bool
    trace: str
    why: Why
    instance_version: str
    account_id: str = ""


class Early(NamedTuple):
    """The wake-up came `wait_ms` before its time: this machine's clock is ahead of Redis'."""

    wait_ms: int


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
    ) -> Grant | Busy | Overtaken | Repeated | NothingShows:
        """Take the lease and arm a provisional pause.

        When a `Grant` returns, the chat will be paused even if this process dies now: no earlier than `duration_ms`
        from now, no later than that and one lease. Calling again with the same `owner` is safe. A negative `ticket`
        is a command that arrived so many microseconds ago. When `Repeated` returns, it will be paused `duration_ms`
        from now, and held until then. `NothingShows` answers a pause that is for a message.
        """
        ...

    async def settle_command(self, grant: Grant, report: Report, duration_ms: int, why: Why = "") -> Settled:
        """Record what became of a command's call, and arm what comes next."""
        ...

    async def settle_wake(self, grant: Grant, report: Report, *, retry_ms: int | None) -> Settled:
        """Record what became of a refresh or a pause; a failed pause is armed again in `retry_ms`, or given up."""
        ...

    async def claim_one(self, key: ChatKey, generation: str, *, owner: str) -> Claim | Early | None:
        """Take the lease for a wake-up; None where a newer command, or another worker, has taken over."""
        ...

    async def claim_due(self, most: int, *, owner: str, shares: Shares) -> list[Claim]:
        """Take the leases of up to `most` wake-ups that are due, the longest due first.

        What is due to an account that has its share of the places waits for a moment, and hides nothing of others.
        No other worker gets them before their leases end; whoever dies with them gives them back then. Calling again
        with the same `owner` returns what a lost reply held, and is the only way to get it sooner.
        """
        ...

    async def server(self) -> str:
        """Name the server that answers; a restarted one, or a replica that took over, has another name.

        One that takes no writes is as good as away.
        """
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
    """Who exists."""

    async def instance(self, instance_id: str, version: str) -> Instance | None:
        """Return the instance as of `version`, or None where it has gone; by its id, or by that of its chats.

        Raises:
            StoreUnavailable: Redis did not answer.
        """
        ...


class RestingAccounts(Protocol):
    """Accounts that are to be unavailable, since nothing has been shown for them for a while.

    Raises (all methods):
        StoreUnavailable: Redis did not answer; what was due stays due.
    """

    async def due(self) -> list[tuple[str, str]]:
        """Return the instances whose time has come, each with its version; no other process gets them for a while."""
        ...

    async def rested(self, instance_id: str, *, done: bool) -> None:
        """Record whether the upstream was told; where not, the instance is due again soon."""
        ...
