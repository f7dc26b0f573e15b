"""What a whole life of an indicator costs: its command, its refreshes, its pause, in gateway, worker and Valkey.

    make bench ARGS="--only life"

CPU of all three together for one indicator, and of an installation that owes nothing. A unit is the CPU of 10,000 turns
of `x += i * i` in Python, measured in the same run, so that machines compare.
"""

import argparse
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from comparison import lateness
from comparison.costs import measured
from comparison.lateness import Workshop, open_workshop
from comparison.load import open_loop
from comparison.plan import Plan
from comparison.processes import LOOPBACK
from comparison.stacks import Stack
from rich.console import Console
from rich.table import Table

_LAST_S = 2.0
"""Behind the last pause."""

_UNIT = """
import time
def turns():
    x = 0
    for i in range(10_000):
        x += i * i
turns()
began = time.process_time()
for _ in range(100):
    turns()
print((time.process_time() - began) / 100)
"""


@dataclass(frozen=True)
class Life:
    """A kind of indicator, and how many begin in a second."""

    what: str
    duration_s: int
    rate: float
    calls: int
    wanted: str


LIVES = (
    Life("2 s indicator: a command and a pause", 2, 250.0, 2, "1.4"),
    Life("30 s indicator: a command, 7 refreshes, a pause", 30, 80.0, 9, "4.0"),
)


def unit_s() -> float:
    """Return the CPU of a unit, in a process that does nothing else: the least of five."""
    return min(float(subprocess.check_output([sys.executable, "-c", _UNIT])) for _ in range(5))


def _live(shop: Workshop, life: Life, seconds: float, number: int) -> tuple[dict[str, float], list[float]]:
    """Begin indicators for so long and wait for their ends; returns CPU by role for one, and how late pauses were."""
    with shop.installation.serving(1) as gateway, shop.installation.working() as worker:
        pids = {"gateway": gateway, "worker": worker, "Valkey": shop.valkey_pid}
        callers = shop.installation.folder / "callers"
        callers.write_text(shop.callers)
        stack = Stack("ours", f"{LOOPBACK}:{shop.installation.port}", callers, pids, shop.installation.redis_url)
        open_loop(stack, 90 + number, life.rate, 2.0, duration_s=1)
        time.sleep(1 + _LAST_S)
        lateness.told(shop.installation.upstream_url)
        with measured(pids, stack.redis_url) as costs:
            load = open_loop(stack, number, life.rate, seconds, duration_s=life.duration_s)
            time.sleep(life.duration_s + _LAST_S)
    began: dict[str, float] = {}
    late_ms, calls = [], 0
    for phone, state, at in lateness.told(shop.installation.upstream_url):
        calls += 1
        if state == "paused":
            late_ms.append((at - began[phone] - life.duration_s) * 1000)
        else:
            began.setdefault(phone, at)
    if abs(calls / load.requests / life.calls - 1) > 0.02 or len(late_ms) != load.requests:
        sys.exit(f"{life.what}: {load.requests} commands, {calls} calls, {len(late_ms)} of them pauses")
    return {role: spent_s / load.requests for role, spent_s in costs.cpu_s.items()}, sorted(late_ms)


def _idle(shop: Workshop, seconds: float) -> dict[str, float]:
    """Return the share of a core of each, while nothing is asked and nothing is owed."""
    with shop.installation.serving(1) as gateway, shop.installation.working() as worker:
        time.sleep(2.0)
        with measured({"gateway": gateway, "worker": worker, "Valkey": shop.valkey_pid}, None) as costs:
            time.sleep(seconds)
    return {role: spent_s / costs.seconds for role, spent_s in costs.cpu_s.items()}


def main(arguments: list[str]) -> None:
    """Measure, and print a table."""
    parser = argparse.ArgumentParser(
        prog='make bench ARGS="--only life ..."',
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--seconds", type=float, default=8.0, help="of commands of each kind (default: %(default)s)")
    parser.add_argument("--rounds", type=int, default=1, help="turns of each kind (default: %(default)s)")
    parser.add_argument("--lives", default="2,30,idle", help="of 2, 30, idle (default: %(default)s)")
    options = parser.parse_args(arguments)
    unit = unit_s()
    table = Table("life", "units", "wanted", "us", "gateway", "worker", "Valkey", "late p50", "p99")
    with tempfile.TemporaryDirectory(prefix="presence-bench-") as folder:
        console = Console(stderr=True)
        plan = Plan(Path(folder), console, [], options.rounds, options.seconds, 0.0, 0, 0.0)
        asked = options.lives.split(",")
        lives = [life for life in LIVES if str(life.duration_s) in asked]
        with open_workshop(plan) as shop, plan.steps("life", len(lives) * options.rounds + ("idle" in asked)) as steps:
            for life in lives:
                turns = []
                for number in range(options.rounds):
                    steps.begin(life.what)
                    turns.append(_live(shop, life, options.seconds, number))
                    steps.done()
                each = {role: statistics.median(turn[0][role] for turn in turns) for role in turns[0][0]}
                late_ms = sorted(ms for turn in turns for ms in turn[1])
                whole = sum(each.values())
                table.add_row(
                    f"{life.what}, {life.rate:g}/s",
                    f"{whole / unit:.2f}",
                    life.wanted,
                    *(f"{spent * 1e6:,.0f}" for spent in (whole, *each.values())),
                    *(f"{late_ms[round(share * (len(late_ms) - 1))]:.1f} ms" for share in (0.5, 0.99)),
                )
            if "idle" in asked:
                steps.begin("idle")
                idle = _idle(shop, 10.0)
                whole = sum(idle.values())
                table.add_row(
                    "idle",
                    f"{whole * 100:.2f} %",
                    "0.3 %",
                    "",
                    *(f"{share * 100:.2f} %" for share in idle.values()),
                )
                steps.done()
    Console().print(table, f"a unit: {unit * 1e6:.0f} us")
