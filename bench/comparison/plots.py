"""The results as pictures: throughput, latency, CPU, lateness and memory, each an SVG of its own."""

import math
from collections.abc import Iterable
from pathlib import Path
from statistics import median
from typing import Any

import matplotlib as mpl

from comparison.samples import Load, Results
from comparison.tables import of

mpl.use("agg")
from matplotlib import pyplot as plt

_COLOURS = {
    "ours": "#0a7d5a",
    "ours, 2 processes": "#58b891",
    "ours, 1 worker": "#0a7d5a",
    "ours, 2 workers": "#58b891",
    "ours, 1 worker, 1/3 core each": "#9bd3bd",
    "ours, 2 workers, 1/3 core each": "#c5e6d9",
    "ours, 1/3 core": "#9bd3bd",
    "ours, 2 processes, 1/3 core each": "#c5e6d9",
    "the least": "#8f6fb0",
    "nginx + Lua": "#3b6fb6",
    "obvious": "#c8702b",
    "arq stock, empty jobs": "#c8702b",
    "aiohttp alone": "#8a8a8a",
    "upstream directly": "#8a8a8a",
}


def draw(results: Results, folder: Path) -> list[str]:
    """Draw whatever was measured; returns the files' names."""
    plt.rcParams.update(
        {
            "font.size": 9,
            "axes.spines.top": False,
            "axes.spines.right": False,
            # The same picture from the same figures, and text that stays text.
            "svg.hashsalt": "bench",
            "svg.fonttype": "none",
        }
    )
    drawn = []
    for name, figure in _figures(results):
        figure.savefig(folder / f"{name}.svg", metadata={"Date": None})
        plt.close(figure)
        drawn.append(f"{name}.svg")
    return drawn


def _figures(results: Results) -> Iterable[tuple[str, Any]]:
    commands, opened = of(results, "commands"), of(results, "open")
    if commands:
        yield "throughput", _throughput(commands)
        yield "cpu", _cpu(commands)
        yield "latency", _latency(commands, "Closed loop, 32 connections", "the share of answers that took no longer")
    if opened:
        yield "latency-open", _latency(opened, "Open loop, counted from when each was due", "the share of answers")
    for what in dict.fromkeys(run.what for run in results.lateness):
        yield f"lateness-{_slug('owed later' if 'owed' in what else what)}", _lateness(results, what)
    if results.memory:
        yield "memory", _memory(results)
    if scaled := of(results, "scale"):
        yield "scale", _cpu(scaled)


def _throughput(found: dict[str, list[Load]]) -> Any:
    """Every round a dot, the median a bar."""
    figure, axis = plt.subplots(figsize=(7, 0.5 * len(found) + 1.2), layout="constrained")
    for row, (name, loads) in enumerate(reversed(found.items())):
        rates = [load.per_second for load in loads]
        axis.barh(row, median(rates), color=_COLOURS.get(name), alpha=0.75, height=0.6)
        axis.plot(rates, [row] * len(rates), "o", color="black", markersize=3, alpha=0.7)
        axis.annotate(f"{median(rates):,.0f}", (max(rates), row), (6, -3), textcoords="offset points")
    axis.set_yticks(range(len(found)), reversed(found))
    axis.set_xlabel("commands/s, closed loop, 32 connections (dots: rounds)")
    axis.margins(x=0.15)
    return figure


def _cpu(found: dict[str, list[Load]]) -> Any:
    """The CPU of all processes for one command, stacked."""
    figure, axis = plt.subplots(figsize=(7, 0.5 * len(found) + 1.4), layout="constrained")
    roles = list(dict.fromkeys(role for loads in found.values() for load in loads for role in load.cpu_s))
    left = dict.fromkeys(found, 0.0)
    for role, shade in zip(roles, plt.get_cmap("cividis")([0.2, 0.5, 0.75, 0.95]), strict=False):
        for row, (name, loads) in enumerate(reversed(found.items())):
            us = median(load.cpu_s.get(role, 0.0) / load.requests for load in loads) * 1e6
            axis.barh(row, us, left=left[name], color=shade, height=0.6, label=role if row == 0 else None)
            left[name] += us
    axis.set_yticks(range(len(found)), reversed(found))
    axis.set_xlabel("CPU for one command, microseconds (median over rounds)")
    axis.legend(loc="best", frameon=False)
    return figure


def _latency(found: dict[str, list[Load]], title: str, share: str) -> Any:
    """A percentile curve for each stack; the tail is where they differ, so shares grow by nines."""
    figure, axis = plt.subplots(figsize=(7, 3.6), layout="constrained")
    for name, loads in found.items():
        shares = [one for one in loads[0].latency_ms if one < 100]
        middle = [max(1e-3, median(load.latency_ms[one] for load in loads)) for one in shares]
        axis.plot([_nines(one) for one in shares], middle, "o-", markersize=3, label=name, color=_COLOURS.get(name))
    axis.set_yscale("log")
    marks = [50, 90, 99, 99.9]
    axis.set_xticks([_nines(one) for one in marks], [f"p{one:g}" for one in marks])
    axis.set_xlabel(share)
    axis.set_ylabel("ms")
    axis.set_title(title, loc="left")
    axis.grid(alpha=0.25)
    axis.legend(frameon=False)
    return figure


def _lateness(results: Results, what: str) -> Any:
    """How many pauses were at most so late (left), and how they are spread (right)."""
    runs = [run for run in results.lateness if run.what == what and run.curve_ms]
    figure, (whole, spread) = plt.subplots(1, 2, figsize=(9, 3.2), layout="constrained")
    shares = [step / 2 for step in range(201)]
    for name in dict.fromkeys(run.stack for run in runs):
        mine = [run for run in runs if run.stack == name]
        for number, run in enumerate(mine):
            label = name if number == 0 else None
            whole.plot([max(0.1, ms) for ms in run.curve_ms], shares, label=label, color=_COLOURS.get(name), alpha=0.8)
        # Each point of a curve stands for as many pauses.
        late = [max(0.1, ms) for run in mine for ms in run.curve_ms]
        bins = [10 ** (step / 10) for step in range(-10, 46)]
        weights = [100 / len(late)] * len(late)
        spread.hist(late, bins, weights=weights, histtype="step", color=_COLOURS.get(name), label=name)
    for axis in (whole, spread):
        axis.set_xscale("log")
        axis.set_xlabel("late, ms")
        axis.grid(alpha=0.25)
    whole.set_ylabel("% of pauses")
    whole.set_title(f"{what}: at most so late", loc="left")
    spread.set_title("histogram, %", loc="left")
    whole.legend(frameon=False, fontsize=8)
    return figure


def _memory(results: Results) -> Any:
    figure, axis = plt.subplots(figsize=(5, 3), layout="constrained")
    axis.plot([one.owed for one in results.memory], [one.bytes_each for one in results.memory], "o-", color="#0a7d5a")
    axis.axhline(1024, color="grey", linestyle=":")
    axis.annotate("1 KiB", (results.memory[0].owed, 1024), (0, -10), textcoords="offset points")
    axis.set_xscale("log")
    axis.set_ylim(bottom=0)
    axis.set_xlabel("pauses owed")
    axis.set_ylabel("bytes of Redis for each")
    axis.grid(alpha=0.25)
    return figure


def _nines(share: float) -> float:
    """Return 0.3 for p50, 1 for p90, 2 for p99, 3 for p99.9."""
    return -math.log10(1 - share / 100)


def _slug(text: str) -> str:
    return "-".join("".join(letter if letter.isalnum() else " " for letter in text.replace(",", "")).split())
