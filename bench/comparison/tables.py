"""The results as Markdown tables."""

import math
from collections.abc import Iterable, Mapping, Sequence
from statistics import median

from comparison.samples import Lateness, Load, Results, spread


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Return a Markdown table; every column after the first is right-aligned."""
    lines = [" | ".join(head), " | ".join(["---"] + ["--:"] * (len(head) - 1)), *(" | ".join(row) for row in rows)]
    return "\n".join(f"| {line} |" for line in lines)


def commands(results: Results) -> str:
    """Throughput and latency of the closed loop."""
    rows = [
        [
            name,
            spread([load.per_second for load in loads]),
            spread([load.latency_ms[50.0] for load in loads], 2),
            spread([load.latency_ms[99.0] for load in loads], 2),
            spread([load.per_cpu_second for load in loads]),
        ]
        for name, loads in of(results, "commands").items()
    ]
    return table(["stack", "commands/s", "p50 ms", "p99 ms", "commands/s of the gateway's CPU"], rows)


def refusals(results: Results) -> str:
    """Refused requests beside aiohttp alone."""
    rows = [
        [
            f"{name}: {what}",
            spread([load.per_second for load in loads]),
            spread([load.latency_ms[99.0] for load in loads], 2),
        ]
        for what in ("429", "401", "answers")
        for name, loads in of(results, what).items()
    ]
    return table(["", "answers/s", "p99 ms"], rows)


def latency(results: Results) -> str:
    """The open loop's latency, through ours and without."""
    rows = [
        [name, *(spread([load.latency_ms[share] for load in loads], 2) for share in (50.0, 90.0, 99.0, 99.9))]
        for name, loads in of(results, "open").items()
    ]
    return table(["open loop", "p50 ms", "p90 ms", "p99 ms", "p99.9 ms"], rows)


def lateness(results: Results) -> str:
    """How late pauses were, by what was asked of whom."""
    runs: dict[tuple[str, str], list[Lateness]] = {}
    for run in results.lateness:
        runs.setdefault((run.what, run.stack), []).append(run)
    rows = [
        [
            f"{what}: {stack}",
            f"{sum(run.arrived for run in some):,} of {sum(run.due for run in some):,}",
            *(spread([run.late_ms.get(share, math.inf) for run in some], 1) for share in (50.0, 99.0, 100.0)),
            f"{sum(run.early for run in some)}",
            f"{median(_worker_s(run) / run.due * 1000 for run in some):.3f}",
            _median([run.cpu_s["Valkey"] / run.due * 1000 for run in some if "Valkey" in run.cpu_s], 3),
        ]
        for (what, stack), some in runs.items()
    ]
    head = ["pauses", "arrived", "late p50 ms", "p99 ms", "most ms", "early"]
    head += ["worker CPU s for 1,000", "Valkey CPU s for 1,000"]
    return table(head, rows)


def memory(results: Results) -> str:
    """What owed pauses take in Redis."""
    rows = [[f"{one.owed:,}", f"{one.bytes_each:,.0f}", f"{one.seconds:.1f}"] for one in results.memory]
    return table(["owed", "bytes of Redis for each", "seconds to owe those that were new"], rows)


def cpu(results: Results) -> str:
    """CPU seconds of each process for 1,000 commands."""
    costs = {
        name: [(load.requests / 1000, load.cpu_s) for load in loads] for name, loads in of(results, "commands").items()
    }
    return _each("CPU seconds for 1,000 commands", costs, 3)


def redis(results: Results) -> str:
    """What Redis was asked to do for each command."""
    found = {name: loads for name, loads in of(results, "commands").items() if loads[0].redis}
    return _each(
        "Redis, for each command",
        {name: [(load.requests, load.redis) for load in loads] for name, loads in found.items()},
        2,
    )


def scale(results: Results) -> str:
    """What a command costs where there are few tenants, and where there are many."""
    rows = [
        [
            name,
            spread([load.per_second for load in loads]),
            *(spread([load.cpu_s[role] / load.requests * 1e6 for load in loads]) for role in ("gateway", "Valkey")),
            spread([load.redis["commands executed"] / load.requests for load in loads], 1),
        ]
        for name, loads in of(results, "scale").items()
    ]
    head = [
        "tenants",
        "commands/s",
        "gateway's CPU us for each",
        "Valkey's CPU us for each",
        "commands in Redis for each",
    ]
    return table(head, rows)


def figures(results: Results) -> str:
    """What was measured besides, a line each."""
    rows = [[one.what, one.over, f"{one.value:,.{0 if one.value >= 100 else 1}f}", one.unit] for one in results.figures]
    return table(["what grows", "measured over", "figure", "unit"], rows)


def predictions(results: Results) -> str:
    """A mixed run's CPU beside the sum of what its parts cost by themselves."""
    rows = [
        [
            f"{one.role}, {one.over}",
            f"{one.predicted_s:.2f}",
            f"{one.measured_s:.2f}",
            f"{one.predicted_s / one.measured_s:.2f}",
        ]
        for one in results.predictions
    ]
    return table(["a mixed run", "predicted CPU s", "measured CPU s", "ratio"], rows)


def of(results: Results, what: str) -> dict[str, list[Load]]:
    """Return the measurements of one kind by stack."""
    found: dict[str, list[Load]] = {}
    for load in results.loads:
        if load.what == what:
            found.setdefault(load.stack, []).append(load)
    return found


def _worker_s(run: Lateness) -> float:
    return sum(spent for role, spent in run.cpu_s.items() if role.startswith("worker"))


def _each(title: str, costs: Mapping[str, Sequence[tuple[float, Mapping[str, float]]]], digits: int) -> str:
    """Return the medians of costs, each divided by what they are shared by."""
    kinds = list(dict.fromkeys(kind for shares in costs.values() for _, spent in shares for kind in spent))
    rows = [
        [name, *(_median([spent[kind] / by for by, spent in shares if kind in spent], digits) for kind in kinds)]
        for name, shares in costs.items()
    ]
    return table([title, *kinds], rows)


def _median(values: Sequence[float], digits: int) -> str:
    return f"{median(values):,.{digits}f}" if values else "-"
