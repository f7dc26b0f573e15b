"""Circuit breakers: an upstream that stays silent is left alone for a while, except by pauses, and holds few calls.

Libraries for this count exceptions around a call. Ours counts outcomes, lets every pause through as a probe, and
honours `Retry-After`, so it is its own few lines. Each account has breakers of its own: what befalls its calls, to an
origin that it shares with others too, says nothing about theirs.
"""

import time
from collections.abc import Callable, Hashable
from dataclasses import dataclass
from typing import Self

from cachetools import LRUCache

from gateway.presence.model import Outcome, Target

TRIPS_AFTER = 5
"""Consecutive failures that open the circuit."""

OPEN_S = 5.0
"""How long it stays open before one call may probe."""

_MOST_UNHEARD = 8
"""Calls under way to a session that hangs: enough to notice that it is back, few enough to leave room for others."""

_MOST_TO_SILENT = 32
"""Calls under way of one account to all sessions of one origin that hang. Those that answer are not counted."""

_HANGS_AFTER_S = 1.0
"""Without a word for so long, while it was being called, it hangs."""

_MOST = 20_000

_SILENT = {Outcome.UNKNOWN, Outcome.UNAVAILABLE}


@dataclass(slots=True)
class Breaker:
    """One circuit: closed, open until `opens_at`, or half-open while one probe is under way.

    A session's counts what is under way to it, an origin's what is under way to sessions of it that hang (`to_silent`).
    """

    failures: int = 0
    opens_at: float = 0.0
    under_way: int = 0
    to_silent: int = 0
    unheard_since: float | None = None

    def is_silent(self, now_s: float) -> bool:
        """Whether it was called and has said nothing for a while."""
        return self.unheard_since is not None and now_s - self.unheard_since >= _HANGS_AFTER_S

    def begins(self, now_s: float) -> None:
        """Count a call that goes out."""
        self.under_way += 1
        if self.unheard_since is None:
            self.unheard_since = now_s

    def ends(self, *, heard: bool) -> None:
        """Count it as over, whether or not there was an answer to it."""
        self.under_way -= 1
        if heard:
            self.unheard_since = None

    def admits(self, now_s: float) -> bool:
        """Whether a call may go out. The first one after the wait is the probe, and holds off the others."""
        if now_s < self.opens_at:
            return False
        if self.failures >= TRIPS_AFTER:
            self.opens_at = now_s + OPEN_S
        return True

    def succeeded(self) -> None:
        """Close the circuit."""
        self.failures, self.opens_at = 0, 0.0

    def failed(self, now_s: float) -> None:
        """Count a failure, and open the circuit where it was one too many."""
        self.failures += 1
        if self.failures >= TRIPS_AFTER:
            self.opens_at = now_s + OPEN_S

    def holds_off(self, until_s: float) -> None:
        """Stay open until the instant that the upstream asked for."""
        self.opens_at = max(self.opens_at, until_s)


class Passage:
    """One call that was let through; as a block, it is under way. Left without a word, nothing was heard of it."""

    def __init__(self, origin: Breaker, session: Breaker, monotonic: Callable[[], float]) -> None:
        self._origin, self._session, self._monotonic = origin, session, monotonic
        self._to_silent = session.is_silent(monotonic())
        self._heard = False

    def __enter__(self) -> Self:
        self._session.begins(self._monotonic())
        self._origin.to_silent += self._to_silent
        return self

    def __exit__(self, *_: object) -> None:
        self._origin.to_silent -= self._to_silent
        self._session.ends(heard=self._heard)

    def answered(self, hold_off_s: float = 0.0) -> None:
        """The upstream answered, whatever it said; it may ask to be left alone for a while."""
        self._heard = True
        self._origin.succeeded()
        self._session.succeeded()
        if hold_off_s:
            self._session.holds_off(self._monotonic() + hold_off_s)

    def ended(self, outcome: Outcome) -> None:
        """There was no answer to read.

        An origin that cannot be reached is down for all; silence may be one session's own, and stops no other.
        """
        self._heard = outcome not in _SILENT
        if outcome is Outcome.UNAVAILABLE:
            self._origin.failed(self._monotonic())
        elif outcome in {Outcome.UNKNOWN, Outcome.GARBLED}:
            self._session.failed(self._monotonic())


class Breakers:
    """The breakers of every upstream, bounded; the one unused for longest is forgotten first."""

    def __init__(self, monotonic: Callable[[], float] = time.monotonic) -> None:
        """Start with every circuit closed."""
        self._of: LRUCache[Hashable, Breaker] = LRUCache(_MOST)
        self._monotonic = monotonic

    def enter(self, target: Target, *, is_pause: bool) -> Passage | None:
        """Let a call to an upstream through, or not; a pause passes an open circuit, but nothing one that hangs."""
        key = (target.account_id, target.url)
        origin, session = self._get(key), self._get((*key, target.credential, target.session))
        now_s = self._monotonic()
        if not _has_room(origin, session, now_s):
            # It hangs. Each call would hold a place of this process until its timeout, and others would wait for one.
            return None
        if not (origin.admits(now_s) and session.admits(now_s)) and not is_pause:
            return None
        return Passage(origin, session, self._monotonic)

    def is_open(self, target: Target) -> bool:
        """Whether calls to an upstream, pauses apart, are held off now."""
        now_s, key = self._monotonic(), (target.account_id, target.url)
        circuits = (self._of.get(key), self._of.get((*key, target.credential, target.session)))
        return any(breaker is not None and breaker.opens_at > now_s for breaker in circuits)

    def open_count(self) -> int:
        """Count the circuits that are open now."""
        now_s = self._monotonic()
        return sum(breaker.opens_at > now_s for breaker in self._of.values())

    def _get(self, key: Hashable) -> Breaker:
        try:
            return self._of[key]
        except KeyError:
            breaker = self._of[key] = Breaker()
            return breaker


def _has_room(origin: Breaker, session: Breaker, now_s: float) -> bool:
    """Whether one more call may wait for an answer: only a few may where none has come for a while."""
    if not session.is_silent(now_s):
        return True
    return session.under_way < _MOST_UNHEARD and origin.to_silent < _MOST_TO_SILENT
