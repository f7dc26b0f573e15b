"""The results as files: a page of tables, the figures as JSON, and the plots."""

from pathlib import Path

import msgspec

from comparison import tables
from comparison.plots import draw
from comparison.samples import Results
from comparison.targets import targets


def write(results: Results, folder: Path) -> str:
    """Write everything into the folder; returns the page."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "results.json").write_bytes(msgspec.json.format(msgspec.json.encode(results), indent=1) + b"\n")
    page = _page(results, draw(results, folder))
    (folder / "results.md").write_text(page)
    return page


def _page(results: Results, plots: list[str]) -> str:
    sections = ["# Measured side by side", _machine(results), *_left_out(results), *_targets(results)]
    if tables.of(results, "commands"):
        sections += [tables.commands(results), tables.cpu(results), tables.redis(results)]
    if tables.of(results, "429"):
        sections += [tables.refusals(results)]
    if tables.of(results, "open"):
        sections += [tables.latency(results)]
    if results.lateness:
        sections += [tables.lateness(results)]
    if results.memory:
        sections += [tables.memory(results)]
    if tables.of(results, "scale"):
        sections += [tables.scale(results)]
    if results.figures:
        sections += [tables.figures(results)]
    if results.predictions:
        sections += [tables.predictions(results)]
    sections += [f"![{Path(plot).stem}]({plot})" for plot in plots]
    return "\n\n".join(sections) + "\n"


def _machine(results: Results) -> str:
    return "\n".join(f"- {name}: {value}" for name, value in results.machine.items())


def _targets(results: Results) -> list[str]:
    found = targets(results)
    return [found] if found else []


def _left_out(results: Results) -> list[str]:
    return [f"Left out: {reason}." for reason in results.left_out]
