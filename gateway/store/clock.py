"""How far Redis' clock is ahead of ours: what a request says of Redis' time before Redis has answered it."""


class RedisClock:
    """Redis' clock, seen from this process; microseconds. Unknown until it was looked at, and never guessed early."""

    def __init__(self) -> None:
        """Know nothing yet."""
        self._ahead_us: int | None = None

    @property
    def is_known(self) -> bool:
        """Whether it was looked at, and nothing has contradicted since."""
        return self._ahead_us is not None

    def at_most_us(self, monotonic_us: int) -> int:
        """Return what Redis' clock shows at the most, when ours shows this."""
        assert self._ahead_us is not None
        return monotonic_us + self._ahead_us

    def looked_at(self, redis_us: int, *, asked_us: int, answered_us: int) -> None:
        """Take a reading made between two instants of ours.

        A slow answer says little: what an earlier one said holds until it is contradicted.
        """
        least, most = redis_us - answered_us, redis_us - asked_us
        if self._ahead_us is None or not least <= self._ahead_us <= most:
            self._ahead_us = most

    def doubt(self) -> None:
        """Look again before the next use: it was set, or Redis is slow."""
        self._ahead_us = None
