"""Starting what is compared, and making sure that it ends with us."""

import ctypes
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import MappingProxyType

LOOPBACK = "127.0.0.1"
HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]

_START_S = 60.0
_STOP_S = 20.0
_PR_SET_PDEATHSIG = 1
_libc = ctypes.CDLL(None)

Process = subprocess.Popen[bytes]


class NotStarted(Exception):
    """A process ended, or said nothing, before it served; the message ends with its own last words."""


def program(module: str, *words: object) -> list[str]:
    """Return the command that runs one of this package's modules as a process."""
    return [sys.executable, "-m", f"{__package__}.{module}", *map(str, words)]


@contextmanager
def running(
    command: Sequence[str], log: Path, *, port: int | None = None, settings: Mapping[str, str] = MappingProxyType({})
) -> Iterator[Process]:
    """Run a process inside the block, from when it accepts connections on `port`; what it says goes to `log`."""
    with log.open("ab") as words:
        process = subprocess.Popen(
            command,
            cwd=ROOT,
            env=environ(settings),
            stdin=subprocess.DEVNULL,
            stdout=words,
            stderr=words,
            # The terminal's Ctrl-C is ours to handle: we end our children in order.
            start_new_session=True,
            preexec_fn=_die_with_parent,  # noqa: PLW1509 - one system call, which takes no lock
        )
    try:
        if port is not None:
            _wait_until_it_accepts(port, process, log)
        yield process
    finally:
        _stop(process)


def tree(pid: int) -> list[int]:
    """Return a process and all its descendants."""
    children: dict[int, list[int]] = {}
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            stat = (entry / "stat").read_text()
        except OSError:
            continue
        parent = int(stat.rpartition(")")[2].split()[1])
        children.setdefault(parent, []).append(int(entry.name))
    found = [pid]
    for one in found:
        found += children.get(one, [])
    return found


def environ(more: Mapping[str, str] = MappingProxyType({})) -> dict[str, str]:
    """Return ours without any setting of the product's but `[fast]`, so that the plain ways can be measured too."""
    outside = {name: value for name, value in os.environ.items() if not name.startswith("PRESENCE_")}
    outside |= {name: value for name, value in os.environ.items() if name.startswith("PRESENCE_FAST__")}
    return outside | {"PYTHONPATH": os.pathsep.join(sys.path)} | dict(more)


def _die_with_parent() -> None:
    _libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


def _wait_until_it_accepts(port: int, process: Process, log: Path) -> None:
    deadline = time.monotonic() + _START_S
    while True:
        if process.poll() is not None or time.monotonic() > deadline:
            raise NotStarted(f"{process.args!r} does not serve:\n{log.read_text(errors='replace')[-2000:]}")
        try:
            socket.create_connection((LOOPBACK, port), timeout=1).close()
        except OSError:
            time.sleep(0.05)
        else:
            return


def _stop(process: Process) -> None:
    process.terminate()
    try:
        process.wait(_STOP_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
