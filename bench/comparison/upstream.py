"""The upstream that remembers, as a process of its own: it answers like wuzapi and keeps who was told what, and when.

    python -m comparison.upstream PORT

`GET /told` hands out and forgets: a JSON list of [phone, state, Unix seconds].
"""

import asyncio
import re
import sys
import time
from typing import cast

import msgspec
import uvloop

from comparison.http1 import message_end
from comparison.processes import LOOPBACK

_ANSWER = b'{"code":200,"data":{"Details":"Chat presence set successfuly"},"success":true}'
_HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%b"
_SAID = _HEAD % (len(_ANSWER), _ANSWER)
_TOLD = re.compile(rb'"Phone": ?"(\d+)".*"State": ?"(\w+)"', re.DOTALL)

told: list[tuple[str, str, float]] = []


class Upstream(asyncio.Protocol):
    """One connection."""

    def __init__(self) -> None:
        self._buffer = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep what is written to."""
        self._transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        """Answer every request that is all there."""
        self._buffer += data
        while end := message_end(self._buffer):
            message, self._buffer = self._buffer[:end], self._buffer[end:]
            self._transport.write(_answer(message))


def _answer(message: bytes) -> bytes:
    if message.startswith(b"GET /told "):
        body = msgspec.json.encode(told)
        told.clear()
        return _HEAD % (len(body), body)
    if found := _TOLD.search(message):
        told.append((found[1].decode(), found[2].decode(), time.time()))
    return _SAID


async def serve(port: int) -> None:
    server = await asyncio.get_running_loop().create_server(Upstream, LOOPBACK, port, backlog=1024)
    await server.serve_forever()


if __name__ == "__main__":
    uvloop.run(serve(int(sys.argv[1])))
