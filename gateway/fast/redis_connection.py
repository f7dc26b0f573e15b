"""A connection to Redis of our own from its greeting on: many calls wait for its answers, which come in order.

redis-py makes it (where to, who we are, encryption); from then on we speak on its transport, since its calls wait for
one answer each.

Leans on: redis-py 5.3, whose connection keeps its stream in `_reader` and `_writer`.
Gains: what `fast/pipeline` does, which it serves.
Plain way: `[fast] pipeline = false`.
"""

import asyncio
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import hiredis
from redis.asyncio import Connection
from redis.asyncio.connection import DefaultParser
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import InvalidResponse, RedisError

_MORE = object()
"""What the parser says when a reply has not arrived whole."""


@dataclass(slots=True)
class Call:
    """One command on its way; `deadline` is on the loop's clock."""

    packed: bytes
    answer: "asyncio.Future[Any]"
    deadline: float
    is_second_try: bool = False

    def fail(self, error: Exception) -> None:
        """Tell who waits, unless nobody does any more."""
        if not self.answer.done():
            self.answer.set_exception(error)


class RedisConnection(asyncio.Protocol):
    """One connection, and the calls that wait for its replies in the order in which they were sent."""

    def __init__(
        self,
        connection: Connection,
        answered: Callable[["RedisConnection", Call, Any], None],
        lost: Callable[["RedisConnection", Exception], None],
    ) -> None:
        """Take over a connection that is open; `answered` hears of each reply, `lost` of the end."""
        self.calls: deque[Call] = deque()
        self._reader = hiredis.Reader(
            protocolError=InvalidResponse, replyError=DefaultParser.parse_error, notEnoughData=_MORE
        )
        self._answered, self._lost = answered, lost
        self._error: Exception | None = None
        # Ours from here on: what it has read so far were the answers to its greeting.
        self._writer, connection._reader, connection._writer = connection._writer, None, None  # noqa: SLF001
        assert self._writer is not None
        self._transport = self._writer.transport
        self._transport.set_protocol(self)

    def send(self, calls: list[Call]) -> None:
        """Send calls in one packet."""
        self.calls.extend(calls)
        self._transport.write(b"".join([call.packed for call in calls]))

    def is_closing(self) -> bool:
        """Whether it ends, although we have not been told: what was sent now would lose one of its two tries."""
        return self._transport.is_closing()

    def abort(self, error: Exception) -> None:
        """End at once; `lost` is told why."""
        self._error = self._error or error
        self._transport.abort()

    def close(self) -> None:
        """End once what was sent has left."""
        self._transport.close()

    def data_received(self, data: bytes) -> None:
        """Bring each reply to the call that waits for it."""
        self._reader.feed(data)
        try:
            while self._error is None and (reply := self._reader.gets()) is not _MORE:
                self._answered(self, self.calls.popleft(), reply)
        except (RedisError, IndexError):
            self.abort(InvalidResponse("a reply that nobody asked for, or none at all"))

    def connection_lost(self, error: Exception | None) -> None:
        """Tell why it ended."""
        self._lost(self, self._error or RedisConnectionError(f"connection closed by server: {error or 'end of file'}"))
