"""Circuit breakers: an upstream that stays silent is left alone for a while, except by pauses.

Libraries for this count exceptions around a call. Ours counts outcomes, lets every pause through as a probe, and
honours `Retry-After`, so it is its own forty lines.
"""

import time
from collections import OrderedDict
from collections.abc import Callable, Hashable
from dataclasses import dataclass

TRIPS_AFTER = 5
"""Consecutive failures that open the circuit."""

OPEN_S = 5.0
"""How long it stays open before one call may probe."""

_MOST_UNHEARD = 8
"""Calls under way to an upstream that hangs: enough to notice that it is back, few enough to leave room for others."""

_HANGS_AFTER_S = 1.0
"""Without a word for so long, while it was being called, it hangs."""

_MOST = 20_000


@dataclass(slots=True)
class Breaker:
    """One circuit: closed, open until `opens_at`, or half-open while one probe is under way."""

    failures: int = 0
    opens_at: float = 0.0
    under_way: int = 0
    unheard_since: float | None = None

    def has_room(self, now_s: float) -> bool:
        """Whether one more call may wait for an answer: only a few may where none has come for a while."""
        if self.under_way < _MOST_UNHEARD or self.unheard_since is None:
            return True
        return now_s - self.unheard_since < _HANGS_AFTER_S

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

    @property
    def is_closed(self) -> bool:
        """Whether nothing is wrong."""
        return self.failures < TRIPS_AFTER and self.opens_at == 0


class Breakers:
    """The breakers of every upstream, bounded; the one unused for longest is forgotten first."""

    def __init__(self, monotonic: Callable[[], float] = time.monotonic) -> None:
        """Start with every circuit closed."""
        self._of: OrderedDict[Hashable, Breaker] = OrderedDict()
        self.monotonic = monotonic

    def of(self, key: Hashable) -> Breaker:
        """Return the breaker of an upstream."""
        breaker = self._of.get(key)
        if breaker is None:
            breaker = self._of[key] = Breaker()
            if len(self._of) > _MOST:
                self._of.popitem(last=False)
        self._of.move_to_end(key)
        return breaker

    def open_count(self) -> int:
        """Count the circuits that are open now."""
        now_s = self.monotonic()
        return sum(breaker.opens_at > now_s for breaker in self._of.values())
