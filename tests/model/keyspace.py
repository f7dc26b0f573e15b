"""The real Valkey and a real replica of it, one round trip for each step, with expiry in virtual time.

Each simulated primary is a database of the same server, whose scripts thus run for real. The replica has what Valkey
replicates and logs, and not what the scripts write with `REPL_NONE`: so it has what a restart or a failover finds.
"""

import socket
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import hiredis
from redis.exceptions import NoScriptError, ResponseError
from valkeys import start_valkey

from gateway.commands.dev.ports import free_port
from gateway.store import keys

STORES = (0, 1)
"""The primaries: the databases of the server."""

_SEEN_MS = 10**9
_PATIENCE_S = 30.0
_MEMORY_ONLY = ("--appendonly", "no")

Words = tuple[Any, ...]


class Contents(NamedTuple):
    """All, or a partition, of what a server holds, and when that expires in virtual time."""

    values: dict[bytes, bytes]
    expires_ms: dict[str, float]

    def without(self, partition: int) -> "Contents":
        prefix = f"pg:{{{partition:02}}}:".encode()
        values = {name: value for name, value in self.values.items() if not name.startswith(prefix)}
        return Contents(values, {name: at for name, at in self.expires_ms.items() if name.encode() in values})

    def along_with(self, other: "Contents") -> "Contents":
        return Contents({**self.values, **other.values}, {**self.expires_ms, **other.expires_ms})


class _Connection:
    """One connection to a server."""

    def __init__(self, url: str) -> None:
        self._socket = socket.socket(socket.AF_UNIX)
        self._socket.settimeout(_PATIENCE_S)
        self._socket.connect(url.removeprefix("unix://"))
        self._reader = hiredis.Reader()
        self._database = 0
        self.pushed: list[Any] = []

    def close(self) -> None:
        self._socket.close()

    def ask(self, database: int, commands: list[Words]) -> list[Any]:
        """Send some commands at once; what the server pushes meanwhile is in `pushed`."""
        if database != self._database:
            self._database = database
            commands = [("SELECT", database), *commands]
            return self._ask(commands)[1:]
        return self._ask(commands)

    def subscribe(self, channel: str) -> None:
        """Be pushed what is published, with RESP3 on the very connection whose commands publish it."""
        self._ask([("HELLO", "3")])
        self._socket.sendall(hiredis.pack_command(("SUBSCRIBE", channel)))  # type: ignore[arg-type]
        self._ask([("PING",)])
        self.pushed.clear()

    def _ask(self, commands: Sequence[Words]) -> list[Any]:
        self._socket.sendall(b"".join(hiredis.pack_command(words) for words in commands))
        replies: list[Any] = []
        while len(replies) < len(commands):
            self._reader.feed(self._socket.recv(65536))
            while (reply := self._reader.gets()) is not False:
                (self.pushed if isinstance(reply, hiredis.PushNotification) else replies).append(reply)
        return replies


class Keyspace:
    """What the simulated processes find in Redis."""

    def __init__(self, primary_url: str, replica_url: str) -> None:
        self._primary, self._replica = _Connection(primary_url), _Connection(replica_url)
        self._primary.subscribe(keys.SOONER)
        self._expires_ms: list[dict[str, float]] = [{} for _ in STORES]
        self._known: set[str] = set()
        self.now_ms: Callable[[], float] = lambda: 0.0
        give_up_s = time.monotonic() + _PATIENCE_S
        while b"master_link_status:up" not in bytes(self._replica.ask(0, [("INFO", "replication")])[0]):
            assert time.monotonic() < give_up_s, "the replica does not find its primary"
            time.sleep(0.01)

    def close(self) -> None:
        self._primary.close()
        self._replica.close()

    def clear(self, now_ms: Callable[[], float]) -> None:
        self.now_ms = now_ms
        for expires_ms in self._expires_ms:
            expires_ms.clear()
        self._primary.ask(0, [("FLUSHALL", "SYNC")])
        self._primary.pushed.clear()

    def step(self, store: int, *words: Any, touched: Sequence[str] = ()) -> Any:
        """Run one command as of virtual now, and see how long the records live that it touches."""
        expired = self._expired(store)
        commands: list[Words] = [("DEL", *expired)] if expired else []
        commands.append(words)
        commands += [("PTTL", record) for record in touched]
        commands.append(("PING",))  # whatever the script published comes before the reply to this
        replies = self._primary.ask(store, commands)
        reply, *lives_ms = replies[1 if expired else 0 : -1]
        for record, life_ms in zip(touched, lives_ms, strict=True):
            self._note_expiry(store, record, life_ms)
        if isinstance(reply, hiredis.ReplyError):
            raise NoScriptError(str(reply)) if str(reply).startswith("NOSCRIPT") else ResponseError(str(reply))
        return reply

    def notices(self) -> list[bytes]:
        """Return what was published since the last call."""
        notices = [message for _, _, message in self._primary.pushed]
        self._primary.pushed.clear()
        return notices

    def know(self, script: str) -> None:
        if script not in self._known:
            self._known.add(script)
            self._primary.ask(0, [("SCRIPT", "LOAD", script)])

    # What survives

    def survives(self, store: int, partition: int | None = None) -> Contents:
        """Return what a replica has of a primary, or of a partition of it; its log says the same."""
        self._catch_up()
        return self._contents(self._replica, store, partition)

    def copy_to_replica(self, store: int, partition: int | None = None) -> None:
        """Copy all, or a partition: a replica that synchronises, a log that is rewritten, a slot that moves."""
        self._catch_up()
        contents = self._contents(self._primary, store, partition)
        left_over = set(self._contents(self._replica, store, partition).values) - set(contents.values)
        self._put(self._replica, store, contents, left_over)

    def put(self, store: int, contents: Contents) -> None:
        """Let a primary have exactly this, and its replica too."""
        self._primary.ask(store, [("FLUSHDB", "SYNC")])
        self._expires_ms[store] = dict(contents.expires_ms)
        self._put(self._primary, store, contents)

    def move(self, partition: int, source: int, target: int) -> Contents:
        """Move what survives of a partition to another primary, in one step; returns that."""
        contents = self.survives(source, partition)
        gone = self._contents(self._primary, source, partition).values
        if gone:
            self._primary.ask(source, [("DEL", *gone)])
        self._put(self._primary, target, contents)
        for name, at_ms in contents.expires_ms.items():
            self._expires_ms[target][name] = at_ms
            del self._expires_ms[source][name]
        return contents

    def _contents(self, server: _Connection, store: int, partition: int | None) -> Contents:
        names = server.ask(store, [("KEYS", "*" if partition is None else f"pg:{{{partition:02}}}:*")])[0]
        values = server.ask(store, [("DUMP", name) for name in names]) if names else []
        expires_ms = self._expires_ms[store]
        brief = {name.decode(): expires_ms[name.decode()] for name in names if name.decode() in expires_ms}
        return Contents(dict(zip(names, values, strict=True)), brief)

    @staticmethod
    def _put(server: _Connection, store: int, contents: Contents, gone: Iterable[bytes] = ()) -> None:
        commands: list[Words] = [("DEL", name) for name in gone]
        for name, value in contents.values.items():
            lives_ms = _SEEN_MS if name.decode() in contents.expires_ms else 0
            commands.append(("RESTORE", name, lives_ms, value, "REPLACE"))
        for reply in server.ask(store, commands) if commands else []:
            assert not isinstance(reply, hiredis.ReplyError), reply

    def _catch_up(self) -> None:
        """Wait until the replica has everything that is replicated."""
        assert self._primary.ask(0, [("WAIT", 1, int(_PATIENCE_S * 1000))]) == [1]

    def _expired(self, store: int) -> list[str]:
        now_ms = self.now_ms()
        expires_ms = self._expires_ms[store]
        expired = [key for key, at_ms in expires_ms.items() if at_ms <= now_ms]
        for key in expired:
            del expires_ms[key]
        return expired

    def _note_expiry(self, store: int, record: str, life_ms: int) -> None:
        if life_ms < 0:
            self._expires_ms[store].pop(record, None)
        elif life_ms < _SEEN_MS / 2:
            # It was set by this step. Mark it as seen; virtual time decides from here.
            self._expires_ms[store][record] = self.now_ms() + 1000 * round(life_ms / 1000)
            self._primary.ask(store, [("PEXPIRE", record, _SEEN_MS)])


@contextmanager
def open_keyspace() -> Iterator[Keyspace]:
    """Run a primary and its replica inside the block."""
    port = str(free_port())
    listens = ("--port", port, "--bind", "127.0.0.1", "--repl-diskless-sync-delay", "0")
    follows = ("--replicaof", "127.0.0.1", port, "--replica-read-only", "no")
    with (
        tempfile.TemporaryDirectory() as first,
        tempfile.TemporaryDirectory() as second,
        start_valkey(Path(first), *_MEMORY_ONLY, *listens) as primary,
        start_valkey(Path(second), *_MEMORY_ONLY, *follows) as replica,
    ):
        keyspace = Keyspace(primary.url, replica.url)
        yield keyspace
        keyspace.close()
