"""What the domain needs of the world, as Protocols whose docstrings state the promises."""

from collections.abc import Collection, Sequence
from typing import Protocol

from gateway.presence.model import Chat, Instance, Outcome, State, Target
from gateway.presence.steps import (
    Busy,
    ChatKey,
    Claim,
    Grant,
    Look,
    NothingShows,
    Overtaken,
    RefreshPolicy,
    Repeated,
    Report,
    Settled,
    Unclear,
    Why,
)


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

    async def in_use(self, partitions: Collection[int]) -> Collection[int]:
        """Return those of some partitions that are worth a look: the others have nothing, now. Never fails."""
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
