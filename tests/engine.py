"""A container engine of Debian's, buildah and podman, in namespaces and on a file system that end with the test."""

import json
import os
import shutil
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

PACKAGES = ("buildah", "conmon", "crun", "iptables", "mmdebstrap", "netavark", "podman")
_PROGRAMS = ("buildah", "crun", "ip", "iptables", "mmdebstrap", "podman")
_ALONE = "/run/netns/alone"
_BUILDING = ("nice",)
"""It computes for half a minute: tests beside it look at the clock."""

_HOLD = """
set -e
mount -t tmpfs tmpfs {home}
mount -t tmpfs tmpfs /dev/shm
mkdir -p /run/netns /run/containers
mount -t tmpfs tmpfs /run/netns
mount -t tmpfs tmpfs /run/containers
mount -t cgroup2 cgroup2 /sys/fs/cgroup
touch {alone}
unshare --net={alone} ip link set lo up
echo ready
exec sleep infinity
"""
"""In memory, so that nothing is left; beside control groups of version 2, the only ones that crun knows unmixed."""

_CONF = """\
[containers]
cgroups = "disabled"
default_ulimits = ["nofile=4096:4096", "nproc=4096:4096"]
log_driver = "k8s-file"
[engine]
cgroup_manager = "cgroupfs"
events_logger = "file"
tmp_dir = "{home}/tmp"
[network]
network_backend = "netavark"
network_config_dir = "{home}/networks"
"""
"""No control groups: limits of memory and processor are not tried. Those of files and processes are low, since to raise
a machine's takes a right."""


@dataclass(frozen=True)
class Engine:
    """Where images are built and containers run."""

    pid: int
    home: Path

    def bash(self, script: str, *, cwd: Path | None = None, within_s: float = 300.0) -> str:
        """Run a script with this machine's network beside the images, to fetch and to build; what it printed."""
        return self._run([*_BUILDING, "bash", "-euc", script], (), cwd=cwd, within_s=within_s)

    def buildah(self, *arguments: str | Path, cwd: Path | None = None) -> str:
        return self._run([*_BUILDING, "buildah", *self._store(), *map(str, arguments)], (), cwd=cwd, within_s=300)

    def podman(self, *arguments: str | Path, within_s: float = 90.0) -> str:
        """Run podman with a network of the engine's own, which reaches nothing else; what it printed."""
        return self._run(["podman", *self._store(), *map(str, arguments)], self._alone(), cwd=None, within_s=within_s)

    def attempt(self, *arguments: str) -> "subprocess.CompletedProcess[str]":
        """Run podman so, whatever comes of it."""
        return self._attempt(["podman", *self._store(), *arguments], self._alone(), cwd=None, within_s=90)

    def inspect(self, *arguments: str) -> dict[str, Any]:
        (found,) = json.loads(self.podman(*arguments))
        about: dict[str, Any] = found
        return about

    def _store(self) -> list[str]:
        return ["--root", f"{self.home}/store", "--runroot", f"{self.home}/run", "--storage-driver", "overlay"]

    def _alone(self) -> tuple[str, ...]:
        return (f"--net=/proc/{self.pid}/root{_ALONE}",)

    def _run(self, command: Sequence[str], spaces: Sequence[str], *, cwd: Path | None, within_s: float) -> str:
        done = self._attempt(command, spaces, cwd=cwd, within_s=within_s)
        assert done.returncode == 0, (command, done.stdout[-4000:] + done.stderr[-4000:])
        return done.stdout

    def _attempt(
        self, command: Sequence[str], spaces: Sequence[str], *, cwd: Path | None, within_s: float
    ) -> "subprocess.CompletedProcess[str]":
        enter = ["nsenter", f"--target={self.pid}", "--mount", "--pid", *spaces, f"--wdns={cwd or '/'}"]
        environment = os.environ | {
            "CONTAINERS_CONF": f"{self.home}/containers.conf",
            "TMPDIR": str(self.home),
            "BUILDAH": " ".join(["buildah", *self._store()]),
        }
        return subprocess.run(
            [*enter, *command], env=environment, capture_output=True, text=True, timeout=within_s, check=False
        )


@contextmanager
def engine(home: Path) -> Iterator[Engine]:
    """Have one inside the block, with no image yet."""
    if os.geteuid() != 0 or not all(map(shutil.which, _PROGRAMS)):
        assert not os.environ.get("CI"), f"CI runs this as root, with {', '.join(PACKAGES)}"
        pytest.skip(f"a container engine takes root, and Debian's {', '.join(PACKAGES)}")
    hold = subprocess.Popen(
        [
            "unshare",
            "--mount",
            "--pid",
            "--fork",
            "--kill-child",
            "--mount-proc",
            "sh",
            "-c",
            _HOLD.format(home=home, alone=_ALONE),
        ],
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert hold.stdout is not None
        assert hold.stdout.readline() == "ready\n"
        (pid,) = Path(f"/proc/{hold.pid}/task/{hold.pid}/children").read_text().split()
        made = Engine(int(pid), home)
        made.bash(
            f"mkdir {home}/tmp {home}/networks; cat > {home}/containers.conf <<'END'\n{_CONF.format(home=home)}END"
        )
        yield made
    finally:
        hold.kill()
        hold.communicate()
