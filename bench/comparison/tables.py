"""The results as Markdown tables."""

from collections.abc import Iterable, Mapping, Sequence
from statistics import median

from comparison.samples import Load, Results, spread


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


def of(results: Results, what: str) -> dict[str, list[Load]]:
    """Return the measurements of one kind by stack."""
    found: dict[str, list[Load]] = {}
    for load in results.loads:
        if load.what == what:
            found.setdefault(load.stack, []).append(load)
    return found


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
