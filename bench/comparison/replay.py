"""What the gateway sends to Redis, seen (MONITOR) and sent again in pipelines: how Redis is filled fast and truly."""

import asyncio
import re
import socket
from collections.abc import Awaitable, Callable, Sequence
from typing import Self

import hiredis

_ARGUMENT = re.compile(r'"((?:[^"\\]|\\.)*)"')


async def watch(path: str, work: Callable[[], Awaitable[object]], mark: str, count: int) -> list[list[str]]:
    """Return the first `count` commands with `mark` in them that clients send during `work`."""
    reader, writer = await asyncio.open_unix_connection(path, limit=1 << 20)
    writer.write(b"MONITOR\r\n")
    await reader.readline()
    await work()
    seen: list[list[str]] = []
    async with asyncio.timeout(5):
        while len(seen) < count:
            line = (await reader.readline()).decode()
            if " lua]" not in line and mark in line:
                seen.append([_unescape(word) for word in _ARGUMENT.findall(line)])
    writer.close()
    return seen


class Pipe:
    """A blocking connection to Redis that has several batches under way."""

    def __init__(self, path: str) -> None:
        self._socket = socket.socket(socket.AF_UNIX)
        self._socket.connect(path)
        self._socket.settimeout(60)
        self._replies = hiredis.Reader()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._socket.close()

    def send(self, commands: bytes) -> None:
        """Send; Redis reads while we prepare the next."""
        self._socket.sendall(commands)

    def reply(self) -> object:
        """Return the next reply.

        Raises:
            ConnectionError: Redis hung up.
        """
        while (reply := self._replies.gets()) is False:
            data = self._socket.recv(1 << 18)
            if not data:
                raise ConnectionError("Redis hung up")
            self._replies.feed(data)
        return reply


def resp(words: Sequence[str]) -> bytes:
    """Return a command as Redis reads it."""
    encoded = [word.encode() for word in words]
    return b"*%d\r\n" % len(encoded) + b"".join(b"$%d\r\n%b\r\n" % (len(word), word) for word in encoded)


def _unescape(word: str) -> str:
    return word.encode().decode("unicode_escape")
