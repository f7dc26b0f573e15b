"""A command that is read before its caller is admitted, so that its promise travels with the admission."""

from collections.abc import Callable
from dataclasses import dataclass

from aiohttp import web

from gateway.api.bodies import PresenceCommand
from gateway.presence.model import Instance
from gateway.presence.service import Begun, Presence


class Places:
    """How many commands may be under way in this process; as a block, one of them is.

    Whoever is still `entering` is counted apart: a Redis that hangs holds them up, and must not keep out a pause that
    needs no Redis.
    """

    def __init__(self, most: int) -> None:
        """Begin with all of them free."""
        self._most = most
        self._under_way = 0
        self.entering = 0

    @property
    def are_taken(self) -> bool:
        """Whether nobody else may come in now."""
        return self._under_way >= self._most

    @property
    def are_promised(self) -> bool:
        """Whether those who are entering will take all that are left."""
        return self._under_way + self.entering >= self._most

    def __enter__(self) -> None:
        self._under_way += 1

    def __exit__(self, *failure: object) -> None:
        self._under_way -= 1


@dataclass(frozen=True, slots=True)
class Opening:
    """A command that was read and its promise; as a block, it is entering, and a place is kept for it."""

    command: PresenceCommand
    begun: Begun
    presence: Presence
    places: Places

    def take_back(self) -> None:
        """Undo its promise, which nobody will keep."""
        self.presence.take_back(self.begun)

    def __enter__(self) -> None:
        self.places.entering += 1

    def __exit__(self, *failure: object) -> None:
        self.places.entering -= 1


Opener = Callable[[web.Request, Instance], Opening | None]
"""Opens a command to the instance that its caller was admitted to before; None where it has to wait for its turn."""
