"""The systemd units under deploy/ as plain processes: their own commands and settings, in folders of a test's own."""

import os
import random
import re
import shlex
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from rig import ROOT

from gateway.process import keyfile

_UNITS = ROOT / "deploy/systemd"
_BIN = "/opt/presence/bin/"
_ETC = "/etc/presence/"
_LOOK_EVERY_S = 0.1


def own_address() -> str:
    """Return a loopback address that nobody else is likely to use, so that documented ports are free there."""
    return "127." + ".".join(str(random.randrange(2, 250)) for _ in range(3))


def documented() -> list[str]:
    """The units that docs/operations.md tells an operator to enable."""
    (command,) = re.findall(r"`systemctl enable --now ([^`]+)`", (ROOT / "docs/operations.md").read_text())
    return str(command).split()


def documented_ports() -> dict[str, list[int]]:
    """The operator's ports of that set, by role, as the page tells whoever writes a Prometheus' configuration."""
    (line,) = re.findall(r"^Scrape all of that set: (.+)$", (ROOT / "docs/operations.md").read_text(), re.MULTILINE)
    found = re.findall(r"(gateway|worker)s on ([\d, and`]+)", line)
    return {role: [int(port) for port in re.findall(r"\d+", ports)] for role, ports in found}


def etc_presence(folder: Path, redis_url: str, address: str) -> Path:
    """What the page tells an operator to put into /etc/presence, on an address of this test's."""
    folder.mkdir()
    (folder / "gateway.toml").write_text((ROOT / "config/gateway.toml").read_text())
    keyfile.ensure(folder / "secrets.toml")
    hosts = "".join(f"PRESENCE_{section}__HOST={address}\n" for section in ("HTTP", "ADMIN", "WORKER"))
    (folder / "environment").write_text(f"PRESENCE_REDIS__URL={redis_url}\n{hosts}")
    return folder


@dataclass(frozen=True)
class Unit:
    """One unit, such as `presence-worker@9191`."""

    name: str

    @property
    def file(self) -> Path:
        stem, at, _ = self.name.partition("@")
        return _UNITS / f"{stem}{at}.service"

    def settings(self, key: str) -> list[str]:
        """Every value that the unit gives a key, with its instance's name in place."""
        found = re.findall(rf"^{key}=(.*)$", self.file.read_text(), re.MULTILINE)
        return [value.replace("%i", self.name.partition("@")[2]) for value in found]

    @contextmanager
    def started(self, folder: Path, etc: Path) -> Iterator["Started"]:
        """Run its command inside the block, with `etc` as /etc/presence, and end it as systemd would."""
        credentials = folder / self.name
        credentials.mkdir()
        for credential in self.settings("LoadCredential"):
            name, _, source = credential.partition(":")
            (credentials / name).write_text((etc / source.removeprefix(_ETC)).read_text())
        (command,) = self.settings("ExecStart")
        log = folder / f"{self.name}.log"
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as notified, log.open("wb") as output:
            notified.bind(str(credentials / "notify"))
            process = subprocess.Popen(
                shlex.split(command.replace(_BIN, f"{Path(sys.executable).parent}/")),
                env=self._environment(credentials, etc),
                stdin=subprocess.DEVNULL,
                stderr=output,
            )
            try:
                yield Started(self, process, notified, log)
            finally:
                process.kill()
                process.wait()

    def _environment(self, credentials: Path, etc: Path) -> dict[str, str]:
        """Put together what systemd would: its own few variables, the unit's, and the files' over them."""
        lines = self.settings("Environment")
        for file in self.settings("EnvironmentFile"):
            lines += (etc / file.lstrip("-").removeprefix(_ETC)).read_text().splitlines()
        given = dict(line.partition("=")[::2] for line in lines)
        given = {name: value.replace("%d", str(credentials)).replace(_ETC, f"{etc}/") for name, value in given.items()}
        return {"PATH": os.environ["PATH"], "NOTIFY_SOCKET": str(credentials / "notify"), **given}


@dataclass(frozen=True)
class Started:
    """A unit's main process."""

    unit: Unit
    process: "subprocess.Popen[bytes]"
    notified: socket.socket
    log: Path

    def wait_until_ready(self, within_s: float) -> None:
        """Wait for `READY=1`, as systemd does for a unit of type `notify`."""
        self.notified.settimeout(_LOOK_EVERY_S)
        deadline = time.monotonic() + within_s
        while True:
            try:
                assert self.notified.recv(64) == b"READY=1"
            except TimeoutError:
                assert self.process.poll() is None, f"{self.unit.name} ended:\n{self.log.read_text()}"
                assert time.monotonic() < deadline, f"{self.unit.name} is not ready:\n{self.log.read_text()}"
            else:
                return

    def stop(self) -> None:
        """Send SIGTERM and expect an end without an error within the unit's own time."""
        (within_s,) = self.unit.settings("TimeoutStopSec")
        self.process.terminate()
        assert self.process.wait(float(within_s)) == 0, self.log.read_text()
