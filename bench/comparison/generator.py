"""Our own load generator, as a process of its own; prints JSON.

    python -m comparison.generator URL CALLERS --rate 500 --seconds 10    open loop
    python -m comparison.generator URL CALLERS --connections 32           closed loop, where there is no wrk

In the open loop a request leaves when it is due, whether or not the earlier ones were answered, and its latency counts
from when it was due. So a stall is felt by everyone who would have called meanwhile, and not by one caller for each
connection (coordinated omission).
"""

import argparse
import asyncio
import sys
import time
from abc import ABC, abstractmethod
from dataclasses import dataclass, field
from pathlib import Path
from typing import cast

import msgspec
import uvloop

from comparison.http1 import message_end

_BODY = '{{"number":"55119{:08}","state":"typing","duration":{}}}'
_LAST_ANSWERS_S = 5.0


class Loaded(msgspec.Struct):
    """What a generator counted."""

    seconds: float
    latencies_us: list[int]
    refused: int = 0
    broken: int = 0


@dataclass
class Requests:
    """One request after the other: every one a chat of its own, callers in turn."""

    callers: list[tuple[str, str]]
    chat: int
    duration_s: int = 60
    _heads: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        length = len(_BODY.format(0, self.duration_s))
        self._heads = [
            f"POST {path} HTTP/1.1\r\nHost: 127.0.0.1\r\ntoken: {token}\r\n"
            f"Content-Type: application/json\r\nContent-Length: {length}\r\n\r\n"
            for path, token in self.callers
        ]

    def next(self) -> bytes:
        """Return one more request, ready to be sent."""
        self.chat = (self.chat + 1) % 100_000_000
        return (self._heads[self.chat % len(self._heads)] + _BODY.format(self.chat, self.duration_s)).encode()


class Connection(asyncio.Protocol):
    """A connection that asks one thing at a time."""

    def __init__(self, load: "Load") -> None:
        self._load = load
        self._buffer = b""
        self._due_s = 0.0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep what is written to."""
        self._transport = cast("asyncio.Transport", transport)

    def ask(self, due_s: float) -> None:
        """Send the next request, which was due at `due_s`; timers are whole milliseconds, so it may leave sooner."""
        self._due_s = min(due_s, time.perf_counter())
        self._transport.write(self._load.requests.next())

    def data_received(self, data: bytes) -> None:
        """Tell the load of an answer that is all there."""
        self._buffer += data
        if end := message_end(self._buffer):
            status, self._buffer = int(self._buffer[9:12]), self._buffer[end:]
            due_s, self._due_s = self._due_s, 0.0
            self._load.answered(self, due_s, status)

    def connection_lost(self, error: Exception | None) -> None:  # noqa: ARG002
        """Tell the load."""
        self._load.lost(self, under_way=self._due_s > 0)

    def close(self) -> None:
        """Hang up."""
        self._transport.close()


class Load(ABC):
    """The connections and what came of them; a subclass decides when the next request leaves."""

    def __init__(self, host: str, port: int, requests: Requests) -> None:
        self.requests = requests
        self._address = host, port
        self._loaded = Loaded(0.0, [])
        self._open: set[Connection] = set()

    async def connect(self) -> Connection:
        """Open one more connection."""
        _, connection = await asyncio.get_running_loop().create_connection(lambda: Connection(self), *self._address)
        self._open.add(connection)
        return connection

    def answered(self, connection: Connection, due_s: float, status: int) -> None:
        """Count an answer."""
        self._loaded.latencies_us.append(round((time.perf_counter() - due_s) * 1e6))
        self._loaded.refused += status != 200
        self.free(connection)

    def lost(self, connection: Connection, *, under_way: bool) -> None:
        """Count a connection that ended, perhaps before its answer."""
        self._open.discard(connection)
        self._loaded.broken += under_way

    @abstractmethod
    def free(self, connection: Connection) -> None:
        """Use the connection again, or keep it."""

    def end(self, began_s: float) -> Loaded:
        """Hang up everywhere; returns what was counted."""
        self._loaded.seconds = time.perf_counter() - began_s
        for connection in list(self._open):
            connection.close()
        return self._loaded


class ClosedLoop(Load):
    """Every connection asks again as soon as it was answered."""

    async def run(self, connections: int, seconds: float) -> Loaded:
        """Keep so many connections busy for so long."""
        self._until_s = time.perf_counter() + seconds
        began_s = time.perf_counter()
        for connection in [await self.connect() for _ in range(connections)]:
            connection.ask(time.perf_counter())
        await asyncio.sleep(seconds)
        return self.end(began_s)

    def free(self, connection: Connection) -> None:
        """Ask again."""
        now_s = time.perf_counter()
        if now_s < self._until_s:
            connection.ask(now_s)


class OpenLoop(Load):
    """Requests leave at a constant rate, on a connection that is free or a new one."""

    _free: list[Connection]

    async def run(self, rate: float, seconds: float, connections: int) -> Loaded:
        """Send at the rate; `connections` are open before it begins."""
        self._free = [await self.connect() for _ in range(connections)]
        async with asyncio.TaskGroup() as group:
            began_s = time.perf_counter()
            for number in range(round(rate * seconds)):
                due_s = began_s + number / rate
                if (wait_s := due_s - time.perf_counter()) > 0:
                    await asyncio.sleep(wait_s)
                if self._free:
                    self._free.pop().ask(due_s)
                else:
                    group.create_task(self._ask_on_a_new_one(due_s))
        await self._last_answers(round(rate * seconds))
        return self.end(began_s)

    def free(self, connection: Connection) -> None:
        """Keep it for the next request."""
        self._free.append(connection)

    def lost(self, connection: Connection, *, under_way: bool) -> None:
        """Count it, and use it no more: a server hangs up on who was idle for long."""
        super().lost(connection, under_way=under_way)
        if connection in self._free:
            self._free.remove(connection)

    async def _ask_on_a_new_one(self, due_s: float) -> None:
        (await self.connect()).ask(due_s)

    async def _last_answers(self, expected: int) -> None:
        until_s = time.perf_counter() + _LAST_ANSWERS_S
        while len(self._loaded.latencies_us) < expected and time.perf_counter() < until_s:  # noqa: ASYNC110 - once
            await asyncio.sleep(0.01)
        self._loaded.broken += expected - len(self._loaded.latencies_us)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("address", help="host:port")
    parser.add_argument("callers", type=Path, help='a file of "path token" lines')
    parser.add_argument("--first-chat", type=int, default=0)
    parser.add_argument("--rate", type=float, help="requests a second: open loop")
    parser.add_argument("--connections", type=int, default=32)
    parser.add_argument("--seconds", type=float, default=5.0)
    parser.add_argument("--duration", type=int, default=60, help="seconds that each command asks for")
    asked = parser.parse_args()
    host, _, port = asked.address.partition(":")
    lines = (line.split() for line in asked.callers.read_text().splitlines())
    requests = Requests([(path, token) for path, token in lines], asked.first_chat, asked.duration)
    if asked.rate:
        work = OpenLoop(host, int(port), requests).run(asked.rate, asked.seconds, asked.connections)
    else:
        work = ClosedLoop(host, int(port), requests).run(asked.connections, asked.seconds)
    sys.stdout.buffer.write(msgspec.json.encode(uvloop.run(work)))


if __name__ == "__main__":
    main()
