"""What is written within one turn of the event loop leaves at its end, one connection after the other.

Writing to a socket wakes whoever reads there. Between two answers lies the work for another request, long enough for
the reader to fall asleep again, so each would pay for a wake-up of its own. Written in a row they find it awake.

Leans on: aiohttp 3.14, which writes to a connection by nothing but the methods that `BatchedTransport` has of its own.
Gains: an eighth of the gateway's CPU for a command and a sixth more commands in the closed loop; nothing in a life,
    whose answers leave alone. `PRESENCE_FAST__WRITE_BATCHING=false make bench
    ARGS="--only throughput --stacks ours --rounds 1"`, and without the variable, in turns.
Plain way: `[fast] write_batching = false`; `AtOnce`, which leaves each transport to itself.
"""

import asyncio
from collections.abc import Iterable
from typing import Any, Protocol, cast

_MOST_BYTES = 64 * 1024
"""What is more than this leaves at once, so that a transport can still say that it has enough."""


class Writes(Protocol):
    """When what is written to the transports of one listener leaves."""

    def of(self, transport: asyncio.Transport) -> asyncio.Transport:
        """Return the transport to write to."""
        ...

    def leave(self) -> None:
        """Let go of what is held."""
        ...


class AtOnce:
    """The plain way: what is written is the transport's own matter."""

    def of(self, transport: asyncio.Transport) -> asyncio.Transport:
        """Return the transport itself."""
        return transport

    def leave(self) -> None:
        """Nothing is held."""


class WriteBatch:
    """Bytes that wait for the end of this turn, of any number of connections."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        """Hold nothing yet."""
        self._loop = loop
        self._held: list[tuple[asyncio.WriteTransport, bytes]] = []
        self._size = 0

    def write(self, transport: asyncio.WriteTransport, data: bytes) -> None:
        """Write to a transport at the end of this turn, after what was written to it before."""
        if not self._held:
            self._loop.call_soon(self.leave)
        self._held.append((transport, data))
        self._size += len(data)
        if self._size > _MOST_BYTES:
            self.leave()

    def of(self, transport: asyncio.Transport) -> asyncio.Transport:
        """Return what stands in for a transport whose writes all wait here."""
        return cast("asyncio.Transport", BatchedTransport(transport, self))

    def leave(self) -> None:
        """Write all of it now; what was meant for a connection that has gone is dropped, as a transport would."""
        held, self._held, self._size = self._held, [], 0
        for transport, data in held:
            if not transport.is_closing():
                transport.write(data)


class BatchedTransport:
    """A transport whose writes wait in an batch; everything else about it is the transport's own."""

    def __init__(self, transport: asyncio.Transport, batch: WriteBatch) -> None:
        """Stand in for `transport`."""
        self._transport = transport
        self._outbox = batch
        self.is_closing = transport.is_closing

    def write(self, data: bytes) -> None:
        """Write at the end of this turn."""
        self._outbox.write(self._transport, data)

    def writelines(self, chunks: Iterable[bytes]) -> None:
        """Write them at the end of this turn, together."""
        self.write(b"".join(chunks))

    def write_eof(self) -> None:
        """End our side behind what was written."""
        self._outbox.leave()
        self._transport.write_eof()

    def close(self) -> None:
        """Close behind what was written."""
        self._outbox.leave()
        self._transport.close()

    def abort(self) -> None:
        """Cut the connection off, behind what was written: it may have been read by now."""
        self._outbox.leave()
        self._transport.abort()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)
