"""Places for the wake-ups that one worker performs at once: no account holds more of them than are free."""

import asyncio
from collections.abc import Callable

from gateway.presence.shares import Shares
from gateway.presence.wakeups import WakeUpResult

LEAST_S = 1.0
"""For so long a wake-up that failed keeps its place: what fails at once would be tried as fast as there is CPU for it,
and an account may owe any number of pauses to an upstream that is down."""

_DONE = {"nothing", "refreshed", "paused"}


class Places(Shares):
    """Who performs how many; `freed` is called whenever a place is free again."""

    freed: Callable[[], None] = staticmethod(lambda: None)

    def give_back(self, owner: str) -> None:
        """Free a place."""
        super().give_back(owner)
        self.freed()

    def end(self, account_id: str, began_s: float, woken: WakeUpResult | None) -> None:
        """Free the place of a wake-up that began at `began_s` on the loop's clock; None where it broke off."""
        if woken is not None and woken.did in _DONE:
            self.give_back(account_id)
        else:
            asyncio.get_running_loop().call_at(began_s + LEAST_S, self.give_back, account_id)
