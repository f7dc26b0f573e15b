"""A whole installation as its users start it: the one command, its ready file, and the operator's commands."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec
from operated import Operated

from gateway.settings import Fast

ROOT = Path(__file__).resolve().parents[1]

POLL_S = 0.05
START_WITHIN_S = 45.0
STOP_WITHIN_S = 20.0


def is_alive(pid: int) -> bool:
    """Does the process run? A zombie does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


def outside_environment() -> dict[str, str]:
    """The caller's environment without settings of its own; `make test-plain` switches every fast way off."""
    plain = {f"PRESENCE_FAST__{way.name}".upper(): "false" for way in msgspec.structs.fields(Fast)}
    outside = {name: value for name, value in os.environ.items() if not name.startswith("PRESENCE_")}
    return outside | (plain if os.environ.get("PLAIN_WAYS") else {})


FROM_SOURCE = (sys.executable, "-m", "gateway")


def dev_command(data: Path, ready_file: Path, port: str = "0", program: Sequence[str] = FROM_SOURCE) -> list[str]:
    """The one command that starts everything."""
    options = ["--port", port, "--admin-port", "0", "--data", str(data), "--ready-file", str(ready_file)]
    return [*program, "dev", *options]


@dataclass
class Installation(Operated):
    """Everything that `gateway dev` starts, and what it says of itself in the ready file."""

    folder: Path
    program: Sequence[str] = FROM_SOURCE
    cwd: Path = ROOT
    settings: Mapping[str, str] = field(default_factory=dict)  # of the environment
    demo: set[str] = field(default_factory=set)  # those of them that the banner and the ready file show
    _process: "subprocess.Popen[bytes] | None" = None
    _sandbox_names: dict[str, str] = field(default_factory=dict)

    @property
    def data(self) -> Path:
        return self.folder / "data"

    @property
    def ready_file(self) -> Path:
        return self.folder / "ready.json"

    @property
    def out(self) -> str:
        """What the runner printed to standard output since the first start."""
        return (self.folder / "dev.out").read_text(errors="replace")

    @property
    def log(self) -> str:
        """What everything logged since the first start: standard error."""
        return (self.folder / "dev.err").read_text(errors="replace")

    @property
    def printed(self) -> str:
        """Both."""
        return self.out + self.log

    @property
    def ready(self) -> dict[str, Any]:
        parsed = json.loads(self.ready_file.read_text())
        assert isinstance(parsed, dict)
        return parsed

    @property
    def url(self) -> str:
        return str(self.ready["url"]).rstrip("/")

    @property
    def sandbox_url(self) -> str:
        return str(self.ready["sandbox_url"]).rstrip("/")

    @property
    def pids(self) -> dict[str, list[int]]:
        told = self.ready["pids"]
        return {"gateway": list(told["gateway"]), "worker": list(told["worker"]), "redis": [int(told["redis"])]}

    @property
    def every_pid(self) -> list[int]:
        return [pid for pids in self.pids.values() for pid in pids]

    @property
    def runner_pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    @property
    def environment(self) -> dict[str, str]:
        return outside_environment() | {str(name): str(value) for name, value in self.ready["env"].items()}

    def start(self) -> None:
        """Start everything and return when it serves."""
        assert self._process is None
        self.ready_file.unlink(missing_ok=True)
        with (self.folder / "dev.out").open("ab") as out, (self.folder / "dev.err").open("ab") as log:
            self._process = subprocess.Popen(
                dev_command(self.data, self.ready_file, program=self.program),
                cwd=self.cwd,
                env=outside_environment() | dict(self.settings),
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=log,
                start_new_session=True,
            )
        deadline = time.monotonic() + START_WITHIN_S
        while not self.ready_file.exists():
            code = self._process.poll()
            assert code is None, f"gateway dev ended with {code}:\n{self.log[-3000:]}"
            assert time.monotonic() < deadline, f"gateway dev does not serve:\n{self.log[-3000:]}"
            time.sleep(POLL_S)
        ready = self.ready
        self.demo = {str(ready[name]) for name in ("account_token", "instance_token", "admin_key")}
        self.secrets |= self.demo

    def stop(self, how: signal.Signals = signal.SIGTERM, *, whole_group: bool = False) -> int:
        """End everything the polite way and return the exit code."""
        process = self._process
        assert process is not None
        if process.poll() is None:
            (os.killpg if whole_group else os.kill)(process.pid, how)
        try:
            return process.wait(STOP_WITHIN_S)
        finally:
            self._process = None if process.poll() is not None else process

    def kill_runner(self) -> None:
        """Kill the process that watches the others, and only it."""
        assert self._process is not None
        self._process.kill()
        self._process.wait()
        self._process = None

    def close(self) -> None:
        """Leave no process behind, however the tests ended."""
        owned = self.every_pid if self.ready_file.exists() else []
        if self._process is not None:
            try:
                self.stop()
            except subprocess.TimeoutExpired:
                self.kill_runner()
        for pid in owned:
            if is_alive(pid) and self.owns(pid):
                os.kill(pid, signal.SIGKILL)

    def owns(self, pid: int) -> bool:
        """Does the process name this installation's folder in its command or environment?"""
        try:
            said = Path(f"/proc/{pid}/cmdline").read_bytes() + Path(f"/proc/{pid}/environ").read_bytes()
        except (OSError, ProcessLookupError):
            return False
        return os.fsencode(self.folder) in said

    def command(self, *arguments: str) -> dict[str, Any]:
        """Run one of the operator's commands and return what it printed."""
        done = subprocess.run(
            [*self.program, *arguments, "--json"],
            cwd=self.cwd,
            env=self.environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=60,
            check=False,
        )
        assert done.returncode == 0, (arguments, done.stdout, done.stderr)
        parsed = json.loads(done.stdout)
        assert isinstance(parsed, dict)
        return parsed


@contextmanager
def installed(folder: Path) -> Iterator[Installation]:
    """Run an installation inside the block."""
    installation = Installation(folder)
    try:
        installation.start()
        yield installation
    finally:
        installation.close()
