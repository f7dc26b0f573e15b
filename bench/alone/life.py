"""What a whole life of an indicator costs: its command, its refreshes, its pause, in gateway, worker and Valkey.

    make bench ARGS="--only life"

CPU of all three together for one indicator, and of an installation that owes nothing. A unit is the CPU of 10,000 turns
of `x += i * i` in Python, measured in the same run, so that machines compare. Beside it what a command alone costs
others at the same rate, with no pause behind it: what so few commands a second cost here, whoever obeys them.
"""

import argparse
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from comparison import lateness
from comparison.costs import measured
from comparison.lateness import Workshop, open_workshop
from comparison.load import open_loop
from comparison.plan import Plan
from comparison.processes import LOOPBACK
from comparison.stacks import OPENERS, Absent, Stack, open_upstream
from rich.console import Console
from rich.table import Table

_LAST_S = 2.0
"""Behind the last pause."""

_WIDTH = 150

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


def _beside(name: str, folder: Path, rate: float, seconds: float) -> dict[str, float]:
    """Return the CPU by role of a command at that rate on another stack, which promises nothing."""
    for part in ("upstream", name):
        (folder / part).mkdir()
    with open_upstream(folder / "upstream") as (upstream_url, _), OPENERS[name](folder / name, upstream_url) as stack:
        open_loop(stack, 0, rate, 2.0)
        load = open_loop(stack, 1, rate, seconds)
    return {role: spent_s / load.requests for role, spent_s in load.cpu_s.items()}


def _idle(shop: Workshop, seconds: float) -> dict[str, float]:
    """Return the share of a core of each, while nothing is asked and nothing is owed."""
    with shop.installation.serving(1) as gateway, shop.installation.working() as worker:
        time.sleep(2.0)
        with measured({"gateway": gateway, "worker": worker, "Valkey": shop.valkey_pid}, None) as costs:
            time.sleep(seconds)
    return {role: spent_s / costs.seconds for role, spent_s in costs.cpu_s.items()}


def _us(each: dict[str, float]) -> Iterator[str]:
    """Yield the whole, and what it is made of, in microseconds."""
    roles = [each.get(role, 0.0) for role in ("gateway", "worker", "Valkey")]
    yield from (f"{spent_s * 1e6:,.0f}" for spent_s in (sum(roles), *roles))


def _life_row(shop: Workshop, plan: Plan, life: Life, unit: float) -> tuple[str, ...]:
    turns = [_live(shop, life, plan.seconds, number) for number in range(plan.rounds)]
    each = {role: statistics.median(turn[0][role] for turn in turns) for role in turns[0][0]}
    late_ms = sorted(ms for turn in turns for ms in turn[1])
    late = (f"{late_ms[round(share * (len(late_ms) - 1))]:.1f} ms" for share in (0.5, 0.99))
    return f"{life.what}, {life.rate:g}/s", f"{sum(each.values()) / unit:.2f}", life.wanted, *_us(each), *late


def _idle_row(shop: Workshop) -> tuple[str, ...]:
    shares = _idle(shop, 10.0)
    whole = sum(shares.values())
    return "idle", f"{whole * 100:.2f} %", "0.3 %", "", *(f"{share * 100:.2f} %" for share in shares.values())


def _row_beside(name: str, plan: Plan, unit: float) -> tuple[str, ...]:
    rate = LIVES[0].rate
    what = f"a command alone: {name}, {rate:g}/s"
    with tempfile.TemporaryDirectory(prefix="presence-beside-") as folder:
        try:
            each = _beside(name, Path(folder), rate, plan.seconds)
        except Absent as reason:
            plan.console.print(f"left out: {reason}")
            return what, "left out"
    return what, f"{sum(each.values()) / unit:.2f}", "", *_us(each)


def main(arguments: list[str]) -> None:
    """Measure, and print a table."""
    parser = argparse.ArgumentParser(
        prog='make bench ARGS="--only life ..."',
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--seconds", type=float, default=24.0, help="of commands of each kind (default: %(default)s)")
    parser.add_argument("--rounds", type=int, default=1, help="turns of each kind (default: %(default)s)")
    parser.add_argument("--lives", default="2,30,idle", help="of 2, 30, idle (default: %(default)s)")
    parser.add_argument("--beside", default="bare,nginx,least", help="a command alone, on these (default: %(default)s)")
    options = parser.parse_args(arguments)
    unit, asked, beside = unit_s(), options.lives.split(","), filter(None, options.beside.split(","))
    table = Table("life", "units", "wanted", "us", "gateway", "worker", "Valkey", "late p50", "p99")
    with tempfile.TemporaryDirectory(prefix="presence-bench-") as folder:
        plan = Plan(Path(folder), Console(stderr=True), [], options.rounds, options.seconds, 0.0, 0, 0.0)
        with open_workshop(plan) as shop:
            # Idle first: for a minute after the others Redis drops what they left.
            rows = {"idle": partial(_idle_row, shop)} if "idle" in asked else {}
            rows |= {
                life.what: partial(_life_row, shop, plan, life, unit) for life in LIVES if str(life.duration_s) in asked
            }
            rows |= {name: partial(_row_beside, name, plan, unit) for name in beside}
            with plan.steps("life", len(rows)) as steps:
                for what, measure in rows.items():
                    steps.begin(what)
                    table.add_row(*measure())
                    steps.done()
    Console(width=_WIDTH).print(table, f"a unit: {unit * 1e6:.0f} us")
