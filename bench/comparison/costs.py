"""What a measurement cost: CPU seconds of each process, and what Redis was asked to do."""

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from redis import Redis

from comparison.processes import tree


def cpu_s(pid: int) -> float:
    """Return what a process and its descendants have used so far, as the scheduler counts it: to the nanosecond."""
    files = [task for one in tree(pid) for task in Path(f"/proc/{one}/task").glob("*/schedstat")]
    return sum(int(file.read_text().split()[0]) for file in files) / 1e9


def resident_mib(pid: int) -> float:
    """Return the memory that a process and its descendants have in RAM, what they share counted for each."""
    statuses = (Path(f"/proc/{one}/status").read_text() for one in tree(pid))
    return sum(int(line.split()[1]) for text in statuses for line in text.splitlines() if "VmRSS" in line) / 1024


@dataclass(slots=True)
class Costs:
    """The costs of one measurement, filled in at its end."""

    cpu_s: dict[str, float] = field(default_factory=dict)
    redis: dict[str, float] = field(default_factory=dict)
    seconds: float = 0.0


@contextmanager
def measured(pids: dict[str, int], redis_url: str | None) -> Iterator[Costs]:
    """Measure the block."""
    costs = Costs()
    began_s = time.monotonic()
    before, asked = {role: cpu_s(pid) for role, pid in pids.items()}, _redis(redis_url)
    yield costs
    costs.seconds = time.monotonic() - began_s
    costs.cpu_s = {role: cpu_s(pid) - before[role] for role, pid in pids.items()}
    costs.redis = {name: value - asked[name] for name, value in _redis(redis_url).items()}


def _redis(url: str | None) -> dict[str, float]:
    if url is None:
        return {}
    with Redis.from_url(url, socket_timeout=10) as redis:
        info: dict[str, Any] = redis.info("everything")
    return {name: read(info) for name, read in _REDIS.items()}


def _calls(info: Mapping[str, Any], *names: str) -> float:
    return float(sum(info.get(f"cmdstat_{name}", {}).get("calls", 0) for name in names))


_REDIS: dict[str, Callable[[Mapping[str, Any]], float]] = {
    "script calls": lambda info: _calls(info, "evalsha", "eval", "fcall"),
    "commands executed": lambda info: float(info["total_commands_processed"]),
    "reads from sockets": lambda info: float(info["total_reads_processed"]),
    "bytes in": lambda info: float(info["total_net_input_bytes"]),
    "bytes out": lambda info: float(info["total_net_output_bytes"]),
    "AOF bytes": lambda info: float(info["aof_current_size"]),
}
"""A command that a script runs is counted too. Fewer reads than script calls: several came in one pipeline."""
