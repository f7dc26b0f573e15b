"""What is wanted of a chat: by a command, ahead of its caller's admission, or by what arrived while Redis was away."""

from dataclasses import dataclass
from typing import NamedTuple

from gateway.presence.calls import in_ms
from gateway.presence.errors import StoreUnavailable
from gateway.presence.model import State
from gateway.presence.ports import Indicators
from gateway.presence.steps import Busy, ChatKey, Grant, RefreshPolicy, Why


class Wanted(NamedTuple):
    """What a command wants of its chat: what to show, for how long, and what ends it where that is not a time."""

    op: State
    lasts_ms: int
    why: Why = ""


PAUSE = Wanted(State.PAUSED, 0)
MESSAGE = Wanted(State.PAUSED, 0, "message")


@dataclass(slots=True)
class Ahead:
    """A promise that was made before its caller was admitted."""

    _grant: Grant
    _wanted: Wanted
    is_used: bool = False

    def use(self) -> tuple[Grant, Wanted]:
        """Take it, once."""
        self.is_used = True
        return self._grant, self._wanted


@dataclass(slots=True)
class Late:
    """What arrived while Redis was away, and its place among the chat's commands once it has one."""

    key: ChatKey
    wanted: Wanted
    arrived_s: float
    owner: str
    ticket: str | None = None

    async def promise(self, indicators: Indicators, refresh: RefreshPolicy, now_s: float) -> Grant | None:
        """Promise it as of when it arrived; None where nothing is left to do.

        Raises:
            StoreUnavailable: Redis did not answer, or another call to the chat is under way: to be tried again.
        """
        ticket = self.ticket or f"-{in_ms((now_s - self.arrived_s) * 1000) + 1}"
        op, lasts_ms, why = self.wanted
        answer = await indicators.promise(
            self.key, op, lasts_ms, owner=self.owner, ticket=ticket, trace="", refresh=refresh, why=why
        )
        if isinstance(answer, Busy):
            self.ticket = answer.ticket  # its place in the line: an age says it less exactly the next time
            raise StoreUnavailable
        return answer if isinstance(answer, Grant) else None
