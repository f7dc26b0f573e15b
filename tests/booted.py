"""A real systemd as the first process of namespaces of its own, on this machine's files under an overlay."""

import os
import re
import shutil
import subprocess
import sys
import sysconfig
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import pytest
from rig import ROOT

_START_S = 60.0
_LOOK_EVERY_S = 0.1
_LIBRARY = "LD_LIBRARY_PATH=/opt/python/lib"
_VERSION = f"python{sys.version_info.major}.{sys.version_info.minor}"

INSTALLED_PYTHON = ("env", _LIBRARY, "/opt/presence/bin/python")

_BOOT = """
set -e
echo $$ > {cgroup}/cgroup.procs
exec unshare --mount --net --pid --uts --ipc --cgroup --fork --kill-child sh -c '
    set -e
    ip link set lo up
    mount -t tmpfs tmpfs {scratch}
    cp -a {upper} {scratch}/upper
    mkdir {scratch}/work {scratch}/root
    mount -t overlay overlay -o lowerdir=/,upperdir={scratch}/upper,workdir={scratch}/work {scratch}/root
    cd {scratch}/root
    mount -t proc proc proc
    mount --bind proc/sys proc/sys
    mount -o remount,bind,ro proc/sys
    mount -t tmpfs -o mode=755 tmpfs dev
    mkdir dev/shm dev/pts
    for device in null:1:3 zero:1:5 full:1:7 random:1:8 urandom:1:9 tty:5:0 ptmx:5:2; do
        numbers=${{device#*:}}
        mknod -m 666 dev/${{device%%:*}} c ${{numbers%:*}} ${{numbers#*:}}
    done
    ln -s /proc/self/fd dev/fd
    mount -t sysfs -o ro sysfs sys
    mount -t cgroup2 cgroup2 sys/fs/cgroup
    mount -t tmpfs tmpfs run
    mount -t tmpfs tmpfs tmp
    mount --bind {python} opt/python
    mount --bind {packages} opt/packages
    mount --make-rshared .
    exec env -i container=test PATH=/usr/sbin:/usr/bin:/sbin:/bin \
        setpriv --bounding-set -sys_module,-sys_time,-sys_rawio chroot . /lib/systemd/systemd --unit=basic.target
'
"""
"""Where the kernel's own settings and modules, the machine's devices and its clock are out of reach."""


@dataclass(frozen=True)
class Booted:
    """A machine of its own, as far as systemd can tell."""

    pid: int

    def run(self, *command: str, within_s: float = 120.0) -> str:
        """Run a command on it; what it printed.

        Raises:
            AssertionError: it failed.
        """
        told = self.attempt(*command, within_s=within_s)
        assert told.returncode == 0, (command, told.stdout + told.stderr)
        return told.stdout

    def attempt(self, *command: str, within_s: float = 120.0) -> "subprocess.CompletedProcess[str]":
        spaces = ("--mount", "--net", "--pid", "--uts", "--ipc", "--cgroup", "--root", "--wd")
        clean = ("env", "-i", "PATH=/usr/sbin:/usr/bin:/sbin:/bin")
        enter = ("nsenter", f"--target={self.pid}", *spaces, *clean)
        return subprocess.run([*enter, *command], capture_output=True, text=True, timeout=within_s, check=False)

    @contextmanager
    def on_its_network(self, *command: str | Path) -> Iterator[None]:
        """Run a program of this machine's on its network inside the block."""
        process = subprocess.Popen(["nsenter", f"--target={self.pid}", "--net", *command], stdout=subprocess.DEVNULL)
        try:
            yield
        finally:
            process.terminate()
            process.wait(20)


@contextmanager
def booted(folder: Path, etc_presence: Path) -> Iterator[Booted]:
    """Boot it inside the block, with the units of deploy/ and us in /opt/presence, as docs/operations.md asks."""
    if os.geteuid() != 0 or not all(map(shutil.which, ("ip", "systemctl"))):
        assert not os.environ.get("CI"), "CI runs this as root, with iproute2 and systemd"
        pytest.skip("a systemd of its own takes root, and Debian's systemd and iproute2")
    scratch = folder / "machine"
    scratch.mkdir()
    with _cgroup() as cgroup, (folder / "boot.log").open("wb") as log:
        script = _BOOT.format(
            cgroup=cgroup,
            scratch=scratch,
            upper=_installed(folder / "upper", etc_presence),
            python=sys.base_prefix,
            packages=sysconfig.get_path("purelib"),
        )
        process = subprocess.Popen(["sh", "-c", script], stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        try:
            yield _wait_until_booted(process, folder / "boot.log")
        finally:
            process.kill()
            process.wait()


def _installed(upper: Path, etc_presence: Path) -> Path:
    """Lay out what an operator installs: the program, its settings and the units."""
    opt = upper / "opt"
    for place in ("python", "packages", "presence/bin", f"presence/lib/{_VERSION}/site-packages"):
        (opt / place).mkdir(parents=True)
    for package in ("gateway", "workers"):
        shutil.copytree(ROOT / package, opt / "presence/src" / package)
    (opt / f"presence/lib/{_VERSION}/site-packages/presence.pth").write_text("/opt/presence/src\n/opt/packages\n")
    (opt / "presence/pyvenv.cfg").write_text("home = /opt/python/bin\n")
    (opt / "presence/bin/python").symlink_to(f"/opt/python/bin/{_VERSION}")
    script = opt / "presence/bin/presence-gateway"
    script.write_text("#!/opt/presence/bin/python\nfrom gateway.commands.cli import main\nmain()\n")
    script.chmod(0o755)
    shutil.copytree(ROOT / "deploy/systemd", upper / "etc/systemd/system")
    shutil.copytree(etc_presence, upper / "etc/presence")
    # This machine's Python may have its library in a home folder, which the units do not see.
    (upper / "etc/systemd/system.conf.d").mkdir()
    (upper / "etc/systemd/system.conf.d/python.conf").write_text(f"[Manager]\nDefaultEnvironment={_LIBRARY}\n")
    upper.chmod(0o755)
    return upper


@contextmanager
def _cgroup() -> Iterator[Path]:
    """Make a control group in which systemd may take itself for the first process of a machine."""
    (mounted,) = re.findall(r"^\S+ (\S+) cgroup2 ", Path("/proc/mounts").read_text(), re.MULTILINE)
    made = Path(mounted) / f"presence-test-{os.getpid()}"
    made.mkdir()
    try:
        yield made
    finally:
        deadline = time.monotonic() + _START_S
        while made.exists() and time.monotonic() < deadline:
            for place, _, _ in os.walk(made, topdown=False):
                with suppress(OSError):
                    Path(place).rmdir()
            time.sleep(_LOOK_EVERY_S)


def _wait_until_booted(process: "subprocess.Popen[bytes]", log: Path) -> Booted:
    deadline = time.monotonic() + _START_S
    while True:
        assert process.poll() is None, log.read_text()
        assert time.monotonic() < deadline, log.read_text()
        children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
        if children:
            machine = Booted(int(children[0]))
            if machine.attempt("systemctl", "is-active", "basic.target").stdout == "active\n":
                return machine
        time.sleep(_LOOK_EVERY_S)
