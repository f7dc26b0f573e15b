"""Measure ours beside nginx + Lua, the obvious stack and aiohttp alone; tables and plots go to bench/results/.

    make bench                                            all of it, in under 10 minutes
    make bench ARGS="--only throughput --rounds 1 --seconds 2"
    make bench ARGS="--only throughput --stacks ours,bare"

Everything is started by the run, on loopback, in a folder that goes with it. Stacks take turns (A B C A B C), so what
else the machine does meets all of them; every figure is the median over the rounds.

parts:
  throughput   closed loop, 32 connections: commands/s, latency, CPU and Redis for each command
  refusals     the same for callers over their limit (429) and unknown ones (401)
  latency      open loop at a constant rate: what ours adds to calling the upstream directly
  pass         the same for a small message that passes through
  pauses       how late a worker is at 1,000/s and with 10,000 due within half a second; stock arq beside it
  owed         the same with very many owed later, and what each of them takes in Redis
  scale        what a command costs with 1, 1,000 and 100,000 tenants; what a tenant, a window and an owed pause take

parts of ours alone, one at a time, each with options of its own (ARGS="--only foreign --help"):
  life         a whole indicator, command to pause, in gateway, worker and Valkey together; an idle installation
  primaries    what one primary of a cluster carries, and what three do
  lateness     how late pauses are at a steady rate, seen from the phone
  isolation    whether an upstream that hangs is felt on another
  foreign      whether time tells a foreign instance from a missing one
  metrics      what watching costs: a scrape, and the counting on every request
  sizing       what an installation needs: CPU for a command and for a pause, memory of a process and of a promise
"""

import argparse
import shlex
import signal
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from types import FrameType

from alone import foreign, isolation, life, metrics_cost, primaries, sizing
from alone import lateness as steady
from rich.console import Console

from comparison import latency, lateness, machine, report, scale, throughput
from comparison.plan import Plan
from comparison.processes import ROOT
from comparison.samples import Results

PARTS: dict[str, Callable[[Plan, Results], None]] = {
    "throughput": throughput.commands,
    "refusals": throughput.refusals,
    "latency": latency.added,
    "pass": latency.passed,
    "pauses": lateness.pauses,
    "owed": lateness.owed_later,
    "scale": scale.growth,
}
"""In the order in which they run."""

ALONE: dict[str, Callable[[list[str]], None]] = {
    "life": life.main,
    "primaries": primaries.main,
    "lateness": steady.main,
    "isolation": isolation.main,
    "foreign": foreign.main,
    "metrics": metrics_cost.main,
    "sizing": sizing.main,
}
"""They print, and write nothing."""


def main() -> None:
    match sys.argv[1:]:
        case ["--only", name, *options] if name in ALONE:
            ALONE[name](options)
        case _:
            _side_by_side()


def _side_by_side() -> None:
    asked = _arguments()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, _end)
    began_s = time.monotonic()
    options = shlex.join(sys.argv[1:])
    command = f'make bench ARGS="{options}"' if options else "make bench"
    with tempfile.TemporaryDirectory(prefix="presence-bench-") as folder:
        results = Results(machine=machine.describe(command, Path(folder)))
        plan = Plan(
            folder=Path(folder),
            console=Console(stderr=True),
            stacks=asked.stacks.split(","),
            rounds=asked.rounds,
            seconds=asked.seconds,
            rate=asked.rate,
            owed=asked.owed,
            owed_within_s=asked.owed_within,
        )
        try:
            for name in asked.only.split(","):
                PARTS[name](plan, results)
        except KeyboardInterrupt:
            sys.exit("stopped; nothing was written")
    results.machine["took"] = f"{(time.monotonic() - began_s) / 60:.1f} min"
    print(report.write(results, asked.to))


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="make bench ARGS=...", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add("--only", default=",".join(PARTS), help="parts, separated by commas (default: %(default)s)")
    add(
        "--stacks",
        default="nginx,obvious,least,ours,ours2,held,held2,bare",
        help="what takes turns (default: %(default)s)",
    )
    add("--rounds", type=int, default=3, help="turns of each (default: %(default)s)")
    add("--seconds", type=float, default=4.0, help="of each turn (default: %(default)s)")
    add("--rate", type=float, default=500.0, help="commands/s of the open loop (default: %(default)s)")
    add("--owed", type=int, default=1_000_000, help="pauses owed later (default: %(default)s)")
    add("--owed-within", type=float, default=200.0, help="seconds to make them; fewer if slower (default: %(default)s)")
    add("--to", type=Path, default=ROOT / "bench/results", help="where to write (default: bench/results)")
    asked = parser.parse_args()
    if unknown := set(asked.only.split(",")) - set(PARTS):
        parser.error(f"there is no part {', '.join(sorted(unknown))}; there are {', '.join([*PARTS, *ALONE])}")
    return asked


def _end(_number: int, _frame: FrameType | None) -> None:
    raise KeyboardInterrupt


if __name__ == "__main__":
    main()
