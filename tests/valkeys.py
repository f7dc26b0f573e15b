"""A Valkey of its own for a test or a measurement: the embedded one, on a folder, for as long as a block lasts."""

import subprocess
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from gateway.process.embedded import Valkey

START_S = 60.0
"""It reads its whole log before it answers."""

STOP_S = 10.0
LOOK_EVERY_S = 0.01


@dataclass(frozen=True, slots=True)
class Running:
    """A server that runs inside a `start_valkey` block."""

    url: str
    pid: int


@contextmanager
def start_valkey(folder: Path, *options: str, environ: Mapping[str, str] | None = None) -> Iterator[Running]:
    """Run a server on `folder` inside the block.

    Args:
        folder: its data, log and socket.
        options: more of its own, such as `"--maxmemory", "10mb"`.
        environ: its environment, by default ours.
    """
    valkey = Valkey.of(folder)
    valkey.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    valkey.recover()
    process = subprocess.Popen([*valkey.command, *options], stdin=subprocess.DEVNULL, umask=0o077, env=environ)
    try:
        _wait_until_it_answers(valkey, process)
        yield Running(valkey.url, process.pid)
    finally:
        _stop(process)


def _wait_until_it_answers(valkey: Valkey, process: "subprocess.Popen[bytes]") -> None:
    deadline = time.monotonic() + START_S
    while not valkey.answers():
        assert process.poll() is None, f"the embedded Valkey ended with code {process.returncode}: see {valkey.log}"
        assert time.monotonic() < deadline, f"the embedded Valkey does not answer: see {valkey.log}"
        time.sleep(LOOK_EVERY_S)


def _stop(process: "subprocess.Popen[bytes]") -> None:
    process.terminate()
    try:
        process.wait(STOP_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
