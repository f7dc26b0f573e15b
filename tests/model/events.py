"""What happens in the simulated world, and what may go wrong in it."""

from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Literal, NamedTuple

from gateway.presence.model import Outcome, State
from gateway.presence.steps import ChatKey


@dataclass(eq=False)
class Command:
    """One call of a client, and what became of it. Instants are seconds of virtual time."""

    n: int
    chat: ChatKey
    state: State
    seconds: int
    sent_at: float
    node: str = ""
    ran_at: float | None = None  # its first step in Redis
    granted_at: float | None = None  # the first time, where a reply was lost
    answered_at: float | None = None  # the upstream's answer, as the gateway saw it
    outcome: Outcome | None = None
    done_at: float | None = None
    result: str = ""  # 'shown', 'overtaken', an error's name, or '' where its process died
    died_at: float | None = None
    disturbed: bool = False
    is_natural: bool = False  # no end was asked for
    is_message: bool = False  # a message was sent: it ends what shows
    late_s: float = 0.0  # for so long nobody reported that
    is_repeat: bool = False  # it called nobody, since the chat shows it already
    is_refused: bool = False  # its caller was not admitted
    is_bare: bool = False  # told without a promise, because Redis did not answer

    def __str__(self) -> str:
        return f"command {self.n} {self.state} {self.seconds}s on {self.chat.instance_id}/{self.chat.chat.user}"

    @property
    def over_at(self) -> float | None:
        return self.done_at if self.died_at is None else self.died_at


@dataclass(eq=False)
class Telling:
    """One call to an upstream."""

    n: int
    chat: ChatKey
    state: State
    by: Command | None  # None: a wake-up
    asked_at: float  # when the code asked for it
    sent_at: float = 0.0  # later, where the process was stopped in between
    claimed_at: float = 0.0
    applied_at: list[float] = field(default_factory=list)
    answered_at: float | None = None
    outcome: Outcome | None = None


@dataclass(eq=False)
class Wake:
    """One wake-up that a worker performs."""

    user: str
    claimed_at: float


CURRENT: ContextVar[Command | Wake | None] = ContextVar("current", default=None)


def name_of(doing: Command | Wake | None) -> str:
    if isinstance(doing, Command):
        return f"command {doing.n}"
    return f"wake {doing.user}" if isinstance(doing, Wake) else "?"


How = Literal["down", "stopped", "failover", "cut"]
"""How a primary is away."""


class StoreFault(NamedTuple):
    """One primary is away from `since` to `to`.

    `down`: it restarts with its log, which lacks what is not logged; `failover`: a replica takes over that lacks the
    latest writes too; `stopped`: it goes on where it was; `cut`: it lives, and nobody reaches it. `copied_s`: so long
    before, its log was rewritten, or its replica synchronised, and so got what is neither logged nor replicated.
    """

    since: float
    to: float
    how: How
    store: int
    copied_s: float | None = None


class Move(NamedTuple):
    """An instance's partition moves to the other primary: a copy at `since`, what is written meanwhile, and `to`."""

    since: float
    to: float
    instance: str


class Disturbance(NamedTuple):
    """Something goes wrong, for these instances, or for all."""

    since: float
    to: float
    instances: frozenset[str] | None = None


@dataclass
class Faults:
    """How likely each fault is at each step, and the windows in which something is down."""

    kill_gateway: float = 0.0
    kill_worker: float = 0.0
    stall_gateway: float = 0.0
    stall_worker: float = 0.0
    stall_command: float = 0.0  # only while a command is under way
    stall_s: tuple[float, float] = (7, 30)
    most_kills: int = 3
    lost_request: float = 0.0
    lost_reply: float = 0.0
    silent: float = 0.0  # of the lost ones: nothing comes until the timeout
    lost_notice: float = 0.0
    refused: float = 0.0  # how many callers are not admitted
    latency_s: tuple[float, float] = (0.0002, 0.001)  # one way to a store
    store: list[StoreFault] = field(default_factory=list)
    moves: list[Move] = field(default_factory=list)
    upstream: list[tuple[float, float, str, str]] = field(default_factory=list)  # from, to, how, instance
    workers_down: list[tuple[float, float]] = field(default_factory=list)
    leaves: list[tuple[float, str]] = field(default_factory=list)  # when a worker is told to stop; another begins soon
    clock: list[tuple[float, float, int]] = field(default_factory=list)  # when a primary's clock is set, by how much
    homes: dict[str, int] = field(default_factory=dict)  # instance -> the primary that has its chats at first
    skew_s: float = 0.0  # how far the second primary's clock is ahead of the first's
    until: float = 1e9  # no fault begins after this
    down_at_claim: float = 0.0  # for so long, from some step of a wake-up, before or after Redis ran it
    kill_at: tuple[str, int, str] | None = None  # crash point: process, its k-th I/O, 'before' | 'after'
    restart_s: tuple[float, float] = (0.5, 3.0)
