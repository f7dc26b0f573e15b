"""The targets of the issue, each as a ratio or a figure of this run, and whether it holds."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from statistics import median

from comparison.samples import Load, Results
from comparison.tables import of, table


@dataclass(frozen=True)
class Target:
    """One line: what is promised, what was found."""

    what: str
    wanted: str
    found: str
    holds: bool


def targets(results: Results) -> str:
    """Return every target that this run can tell something about."""
    rows = [[one.what, one.wanted, one.found, "yes" if one.holds else "NO"] for one in _all(results)]
    return table(["target", "wanted", "found", "holds"], rows)


def _all(results: Results) -> Iterator[Target]:
    yield from _throughput(results)
    yield from _refusals(results)


def _throughput(results: Results) -> Iterator[Target]:
    rate, cpu = (lambda load: load.per_second), (lambda load: load.per_cpu_second)
    pairs = (("ours", "nginx + Lua", 1 / 3), ("ours", "obvious", 2.0), ("ours, 2 processes", "ours", 1.6))
    for ours, other, least in pairs:
        for unit, read in (("commands/s", rate), ("commands per CPU second of the gateway", cpu)):
            ratio = _ratio(results, read, ours, other)
            if ratio is not None:
                # Two processes share the work: for a CPU second they should do as much as one.
                wanted = 0.8 if ours != "ours" and read is cpu else least
                yield Target(f"{unit}: {ours} / {other}", f">= {wanted:.2f}", f"{ratio:.2f}", ratio >= wanted)


def _refusals(results: Results) -> Iterator[Target]:
    limited, bare = of(results, "429").get("ours"), of(results, "answers").get("aiohttp alone")
    if limited and bare:
        rate, floor = (median(load.per_second for load in loads) for loads in (limited, bare))
        found = f"{rate:,.0f}/s, {rate / floor:.2f} x aiohttp alone"
        holds = rate >= 12_000 or rate >= floor / 2
        yield Target("429 answers of one process", ">= 12,000/s, or 0.5 x aiohttp alone", found, holds)


def _ratio(results: Results, read: Callable[[Load], float], one: str, other: str) -> float | None:
    """Return the median over the rounds of the ratio within each: what disturbs a round disturbs both."""
    found = of(results, "commands")
    pairs = zip(found.get(one, []), found.get(other, []), strict=False)
    ratios = [read(mine) / read(theirs) for mine, theirs in pairs]
    return median(ratios) if ratios else None
