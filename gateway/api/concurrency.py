"""How many commands may be under way at once in this process: of all accounts, and of any one."""

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager

from gateway.presence.errors import Overloaded


class ConcurrencyLimit:
    """Bounds what is under way, so that whoever is let in is answered in time, and no account takes the room of all."""

    def __init__(self, most: int, most_of_account: int) -> None:
        """Begin with nothing under way."""
        self._most = most
        self._most_of_account = most_of_account
        self._under_way = 0
        self._of_account: Counter[str] = Counter()

    @contextmanager
    def place(self, account_id: str) -> Iterator[None]:
        """Be under way inside the block.

        Raises:
            Overloaded: one more would be too many, of all or of this account.
        """
        if self._under_way >= self._most or self._of_account[account_id] >= self._most_of_account:
            raise Overloaded
        self._under_way += 1
        self._of_account[account_id] += 1
        try:
            yield
        finally:
            self._under_way -= 1
            self._of_account[account_id] -= 1
            if not self._of_account[account_id]:
                del self._of_account[account_id]
