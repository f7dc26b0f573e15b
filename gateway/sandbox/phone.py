"""What the phone was told and sent, numbered and in order, for those who ask later and those who listen now."""

import asyncio
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from itertools import islice

import msgspec

from gateway.presence import ids
from gateway.presence.model import State

KEPT_CALLS = 100_000
"""The log's length: 40 s of the heaviest benchmark, some 20 MB."""

KEPT_INSTANCES = 50
"""How many instances the page can choose from; those that spoke last are kept."""

SNAPSHOT_CALLS = 500
"""How much of the past a page is given: 70 s of 28 chats that are held every 4 s."""

WAITING_CALLS = 5_000
"""How far a listener may fall behind before it is dropped; it comes back and gets a snapshot."""

KEPT_MESSAGES = 1_000
SNAPSHOT_MESSAGES = 100
"""Messages, of all instances and of the one that a page is given."""

FIRST_INSTANCE = "demo"
"""What the page shows before any instance spoke."""


class Told(msgspec.Struct, frozen=True, gc=False):
    """One presence that the phone was told; `at` is in Unix seconds."""

    n: int
    at: float
    instance: str
    chat: str
    state: State


class Message(msgspec.Struct, frozen=True, gc=False):
    """One message that an instance sent; `at` is in Unix seconds."""

    id: str
    at: float
    instance: str
    chat: str
    text: str


class Snapshot(msgspec.Struct, frozen=True):
    """All that a page needs to start: the phone's clock, whose phone it is, who else spoke, and what is newest."""

    now: float
    instance: str
    instances: list[str]
    calls: list[Told]
    messages: list[Message]


class Listener:
    """Hears every call and message of one instance (None: of all) from when it was made, in order and without gaps."""

    def __init__(self, instance: str | None, overrun: Callable[[], None], limit: int = WAITING_CALLS) -> None:
        """Call `overrun` once, and close, when more than `limit` calls were heard and not taken."""
        self.closed = False
        self._instance = instance
        self._overrun = overrun
        self._limit = limit
        self._heard: list[Told | Message] = []
        self._woken = asyncio.Event()

    def hear(self, told: Told | Message) -> None:
        """Keep it for `take`; never waits."""
        if self.closed or self._instance not in {None, told.instance}:
            return
        self._heard.append(told)
        self._woken.set()
        if len(self._heard) > self._limit:
            self.close()
            self._overrun()

    async def take(self, quiet_s: float) -> list[Told | Message]:
        """Return what was heard since the last time; an empty list after `quiet_s` of silence, or once closed."""
        if not self.closed:
            with suppress(TimeoutError):
                await asyncio.wait_for(self._woken.wait(), quiet_s)
        self._woken.clear()
        heard, self._heard = self._heard, []
        return heard

    def close(self) -> None:
        """Forget what was not taken, and let nobody wait for more."""
        self.closed = True
        self._heard.clear()
        self._woken.set()


class Phone:
    """The log of what was told, bounded to the newest `kept` calls over all instances."""

    def __init__(self, clock: Callable[[], float], kept: int = KEPT_CALLS) -> None:
        """Read Unix seconds from `clock`."""
        self._clock = clock
        self._log: deque[Told] = deque(maxlen=kept)
        self._last = 0
        self._messages: deque[Message] = deque(maxlen=KEPT_MESSAGES)
        self._instances: dict[str, None] = {}
        self._listeners: set[Listener] = set()

    def tell(self, instance: str, chat: str, state: State) -> Told:
        """Apply a presence: log it and let every listener hear it."""
        self._last += 1
        told = Told(self._last, self._clock(), instance, chat, state)
        self._log.append(told)
        self._hear(told)
        return told

    def deliver(self, instance: str, chat: str, text: str) -> Message:
        """Let a message arrive: keep it and let every listener hear it."""
        message = Message(ids.fresh(), self._clock(), instance, chat, text)
        self._messages.append(message)
        self._hear(message)
        return message

    def since(self, n: int, instance: str | None = None) -> list[Told]:
        """Return the kept calls numbered above `n`, oldest first."""
        # Numbers have no gaps, so how many to take from the end is known without looking at the start.
        newest = list(islice(reversed(self._log), max(0, self._last - n)))
        return [told for told in reversed(newest) if instance in {None, told.instance}]

    def snapshot(self, instance: str | None = None) -> Snapshot:
        """Return the newest calls of an instance; None means whichever spoke last."""
        instances = list(reversed(self._instances))
        chosen = instance or (instances[0] if instances else FIRST_INSTANCE)
        newest = list(islice((told for told in reversed(self._log) if told.instance == chosen), SNAPSHOT_CALLS))
        messages = [message for message in self._messages if message.instance == chosen][-SNAPSHOT_MESSAGES:]
        return Snapshot(self._clock(), chosen, instances, newest[::-1], messages)

    @contextmanager
    def listen(self, instance: str | None, overrun: Callable[[], None]) -> Iterator[Listener]:
        """Open a listener that hears until the block is left."""
        listener = Listener(instance, overrun)
        self._listeners.add(listener)
        try:
            yield listener
        finally:
            self._listeners.discard(listener)

    def hang_up(self) -> None:
        """Close every listener."""
        for listener in self._listeners:
            listener.close()

    def _hear(self, told: Told | Message) -> None:
        self._remember(told.instance)
        for listener in self._listeners:
            listener.hear(told)

    def _remember(self, instance: str) -> None:
        self._instances.pop(instance, None)
        self._instances[instance] = None
        if len(self._instances) > KEPT_INSTANCES:
            del self._instances[next(iter(self._instances))]
