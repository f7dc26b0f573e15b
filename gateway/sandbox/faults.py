"""How the sandbox fails on demand: which fault stands for an instance; `playing` plays it over HTTP."""

import asyncio
from enum import StrEnum
from typing import Annotated, Any, Self

import msgspec

from gateway.presence.model import State

ALL = "*"
"""A fault of this instance strikes every instance that has none of its own."""


class Kind(StrEnum):
    """A way to fail, and what it does in one line."""

    about: str

    def __new__(cls, word: str, about: str) -> Self:
        """Make a member that is its word on the wire and carries its line."""
        kind = str.__new__(cls, word)
        kind._value_ = word
        kind.about = about
        return kind

    NONE = "none", "works: clears the instance's fault"
    HANG = "hang", "never answers while the fault stands; nothing applied"
    SLOW = "slow", "applies at once, answers after `delay` (3 s)"
    LATE = "late", "applies only after `delay` (3 s), then answers, even if the client left long ago"
    RESET = "reset", "aborts the TCP connection; nothing applied"
    LOST_REPLY = "lost_reply", "applies, then aborts the TCP connection without an answer"
    STATUS = "status", "answers `status` (500); nothing applied; a 429 carries Retry-After: 1"
    NOT_CONNECTED = (
        "not_connected",
        "answers 503, the session is not connected, and says so when probed; nothing applied",
    )
    UNKNOWN_NUMBER = "unknown_number", "answers 400, unknown number; nothing applied"
    UNSUPPORTED = "unsupported", "answers 501; nothing applied"
    UNAUTHORIZED = "unauthorized", "answers 401; nothing applied"
    GARBAGE = "garbage", "answers 200 with a HTML page, as a captive proxy would; nothing applied"
    HUGE = "huge", "answers 200 with a body of 10 MB; nothing applied"
    REDIRECT = "redirect", "answers 302 to itself; nothing applied"
    SLOW_BYTES = "slow_bytes", "answers 200, then one byte every `delay` (1 s) while the fault stands; nothing applied"


_DELAY_S = {Kind.SLOW: 3.0, Kind.LATE: 3.0, Kind.SLOW_BYTES: 1.0}


class Fault(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """An order to fail.

    Attributes:
        instance: whose presences fail, or `*`.
        kind: how (`fault` on the wire).
        count: how many presences fail before the fault is spent; None is all.
        delay: seconds, where the kind has a delay.
        status: what the kind `status` answers.
        state: only presences of this state fail; None is any.
    """

    instance: Annotated[str, msgspec.Meta(min_length=1, max_length=100)]
    kind: Kind = msgspec.field(name="fault")
    count: Annotated[int, msgspec.Meta(ge=1)] | None = None
    delay: Annotated[float, msgspec.Meta(ge=0, le=3600)] | None = None
    status: Annotated[int, msgspec.Meta(ge=200, le=599)] = 500
    state: State | None = None

    @property
    def delay_s(self) -> float:
        """The ordered delay, or the kind's own."""
        return _DELAY_S.get(self.kind, 0.0) if self.delay is None else self.delay


class Standing:
    """A fault in force: how often it struck, and what the calls that hang in it wait for."""

    def __init__(self, fault: Fault, closing: asyncio.Event) -> None:
        """Take the event that ends even what clearing the fault does not."""
        self.fault = fault
        self.struck = 0
        self.cleared = asyncio.Event()
        self.closing = closing

    @property
    def spent(self) -> bool:
        """Whether as many presences failed as were ordered to; calls that hang in it hang on."""
        return self.struck == self.fault.count

    def strikes(self, state: State) -> bool:
        """Whether a presence of this state fails now."""
        return not self.spent and self.fault.state in {None, state}

    def listed(self) -> dict[str, Any]:
        """Say what stands, as it was ordered, and how often it struck."""
        return {**msgspec.to_builtins(self.fault), "delay": self.fault.delay_s, "struck": self.struck}


class Faults:
    """The faults in force: at most one per instance, and one for all the others."""

    def __init__(self) -> None:
        self._standing: dict[str, Standing] = {}
        self._closing = asyncio.Event()

    def order(self, fault: Fault) -> None:
        """Put a fault in force in place of the instance's former one, whose hanging calls end."""
        former = self._standing.pop(fault.instance, None)
        if former is not None:
            former.cleared.set()
        if fault.kind is not Kind.NONE:
            self._standing[fault.instance] = Standing(fault, self._closing)

    def strike(self, instance: str, state: State) -> Standing | None:
        """Count one presence against the fault that strikes it; None: it works."""
        if not self._standing:
            return None
        for standing in self._of(instance):
            if standing.strikes(state):
                standing.struck += 1
                return standing
        return None

    def is_connected(self, instance: str) -> bool:
        """Whether the instance's session, were it probed now, is connected."""
        return all(standing.fault.kind is not Kind.NOT_CONNECTED for standing in self._of(instance)[:1])

    def listed(self) -> list[dict[str, Any]]:
        """List what is in force; a spent fault is not."""
        return [standing.listed() for standing in self._standing.values() if not standing.spent]

    def clear(self) -> None:
        """End every fault, and the calls that hang in them; what is on its way in a late call still arrives."""
        for standing in self._standing.values():
            standing.cleared.set()
        self._standing.clear()

    def close(self) -> None:
        """End every fault and every call, late ones too: the server is going down."""
        self._closing.set()
        self.clear()

    def _of(self, instance: str) -> list[Standing]:
        """What is in force for an instance, its own before everybody's."""
        found = [self._standing[name] for name in (instance, ALL) if name in self._standing]
        return [standing for standing in found if not standing.spent]
