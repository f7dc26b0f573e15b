"""The real Valkey, one round trip for each step, with expiry in virtual time."""

import socket
from collections.abc import Callable
from typing import Any

import hiredis
from redis.exceptions import NoScriptError, ResponseError

QUEUE = "pg:queue"
RECORDS = "pg:c:"
INDEXES = "pg:chats:"
_SEEN_MS = 10**9


def _index_of(record: str) -> str:
    """Name the index of an instance's chats, which every step on one of them touches."""
    return INDEXES + record.removeprefix(RECORDS).partition(":")[0]


class Keyspace:
    """What the simulated processes find in Redis."""

    def __init__(self, socket_path: str) -> None:
        self._socket = socket.socket(socket.AF_UNIX)
        self._socket.settimeout(30)
        self._socket.connect(socket_path)
        self._reader = hiredis.Reader()
        self._expires_ms: dict[str, float] = {}
        self._known: set[str] = set()
        self.queue: dict[str, float] = {}
        self.now_ms: Callable[[], float] = lambda: 0.0

    def close(self) -> None:
        self._socket.close()

    def clear(self, now_ms: Callable[[], float]) -> None:
        self.now_ms = now_ms
        self._expires_ms.clear()
        self.queue.clear()
        self._ask([("FLUSHALL", "SYNC")])

    def step(self, *words: Any) -> Any:
        """Run one command as of virtual now, and see what it left in the queue and how long its record lives."""
        expired = self._expired()
        commands: list[tuple[Any, ...]] = [("DEL", *expired)] if expired else []
        commands.append(words)
        record = words[3] if words[0] in {"EVALSHA", "EVAL"} else ""
        touched = [record, _index_of(record)] if isinstance(record, str) and record.startswith(RECORDS) else []
        commands += [("PTTL", key) for key in touched]
        commands.append(("ZRANGE", QUEUE, 0, -1, "WITHSCORES"))
        replies = self._ask(commands)
        flat = replies[-1]
        self.queue = {flat[i].decode(): float(flat[i + 1]) for i in range(0, len(flat), 2)}
        for key, ttl_ms in zip(touched, replies[-1 - len(touched) : -1], strict=True):
            self._note_expiry(key, ttl_ms)
        reply = replies[1 if expired else 0]
        if isinstance(reply, hiredis.ReplyError):
            raise NoScriptError(str(reply)) if str(reply).startswith("NOSCRIPT") else ResponseError(str(reply))
        return reply

    def know(self, script: str) -> None:
        if script not in self._known:
            self._known.add(script)
            self._ask([("SCRIPT", "LOAD", script)])

    def expire(self, key: str, in_ms: float) -> None:
        """Let a key of the simulator's own expire in virtual time."""
        self._expires_ms[key] = self.now_ms() + in_ms

    def dump(self) -> tuple[dict[bytes, bytes], dict[str, float]]:
        """Everything, as a replica would have it."""
        names = self._ask([("KEYS", "*")])[0]
        values = self._ask([("DUMP", name) for name in names]) if names else []
        return dict(zip(names, values, strict=True)), dict(self._expires_ms)

    def restore(self, dumped: tuple[dict[bytes, bytes], dict[str, float]]) -> None:
        values, expires = dumped
        self._ask(
            [
                ("FLUSHALL", "SYNC"),
                *(
                    ("RESTORE", name, _SEEN_MS if name.decode() in expires else 0, value)
                    for name, value in values.items()
                ),
            ]
        )
        self._expires_ms = dict(expires)

    def _expired(self) -> list[str]:
        now_ms = self.now_ms()
        expired = [key for key, at_ms in self._expires_ms.items() if at_ms <= now_ms]
        for key in expired:
            del self._expires_ms[key]
        return expired

    def _note_expiry(self, record: str, ttl_ms: int) -> None:
        if ttl_ms < 0:
            self._expires_ms.pop(record, None)
        elif ttl_ms < _SEEN_MS / 2:
            # It was set by this step. Mark it as seen; virtual time decides from here.
            self._expires_ms[record] = self.now_ms() + 1000 * round(ttl_ms / 1000)
            self._ask([("PEXPIRE", record, _SEEN_MS)])

    def _ask(self, commands: list[tuple[Any, ...]]) -> list[Any]:
        self._socket.sendall(b"".join(hiredis.pack_command(words) for words in commands))
        replies: list[Any] = []
        while len(replies) < len(commands):
            self._reader.feed(self._socket.recv(65536))
            while len(replies) < len(commands):
                reply = self._reader.gets()
                if reply is False:
                    break
                replies.append(reply)
        return replies
