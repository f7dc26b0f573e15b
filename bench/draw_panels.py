"""Draws every panel of the dashboard from a real Prometheus that watched a real run, and the README's few of them.

    make panels

The run: a steady load, with messages that pass through; then the worker is killed, and started again; then an upstream
refuses its credential, another does not answer, and somebody guesses tokens; then Redis hangs for a few seconds.
"""

import argparse
import asyncio
import io
import random
import signal
import tempfile
import time
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import aiohttp
import matplotlib as mpl
from images import FOLDER, OF_DASHBOARD, save
from panels import Query, queries
from prometheus import RULES, Prometheus, hastened, running_prometheus
from rig import Caller, Rig, running_rig

from gateway.presence.model import Target

mpl.use("agg")
from matplotlib import pyplot as plt

INTERVAL = "10s"
COLUMNS = 4
MOST_LINES = 6
PROMISE = (
    "Pauses within 250 ms",
    "Pauses owed",
    "How late pauses are",
    "What became of pauses",
    "Indicators re-sent while held",
    "Time to answer",
)
"""The panels that the README shows."""

Drawn = list[tuple[Query, list[dict[str, Any]]]]
UNITS = {"short": "", "ops": ", per s", "reqps": ", per s", "s": ", s", "bytes": ", bytes", "percentunit": ""}


async def live(rig: Rig, token: str) -> list[tuple[float, str]]:
    """Go through the run; what happened when."""
    events: list[tuple[float, str]] = []

    def note(what: str) -> None:
        events.append((time.time(), what))

    async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=10)) as session:
        caller = Caller(rig, token, session)
        load = asyncio.gather(keep_calling(caller), keep_sending(caller))
        await asyncio.sleep(35)
        note("worker killed")
        rig.stop("worker", signal.SIGKILL)
        await asyncio.sleep(15)
        note("worker started")
        await asyncio.to_thread(rig.start, "worker")
        await asyncio.sleep(20)
        note("upstreams fail")
        await caller.fault("refused", "unauthorized")
        await caller.fault("reset", "reset")
        for number in range(60):
            await caller.show(("refused", "reset")[number % 2], f"5511800000{number:03}")
            path = f"{rig.url}/api/chat/presence/fine"
            with suppress(aiohttp.ClientError):
                await session.post(path, headers={"token": "pgi_" + "0" * 40})
            await asyncio.sleep(0.2)
        note("Redis hangs")
        with rig.frozen(rig.valkey.pid):
            await asyncio.sleep(6)
        await asyncio.sleep(20)
        load.cancel()
        await asyncio.gather(load, return_exceptions=True)
    return events


async def keep_calling(caller: Caller) -> None:
    """Twenty commands a second, of one to eight seconds each."""
    chance = random.Random(1)
    async with asyncio.TaskGroup() as group:
        for number in range(1_000_000):
            state = chance.choice(["typing", "typing", "recording", "pause"])
            group.create_task(caller.show("fine", f"55117{number % 400:08}", state, chance.randint(1, 8)))
            await asyncio.sleep(0.05)


async def keep_sending(caller: Caller) -> None:
    """Two messages a second, which pass through."""
    for number in range(1_000_000):
        with suppress(aiohttp.ClientError, TimeoutError):
            await caller.message("passed", f"55117{number % 400:08}")
        await asyncio.sleep(0.5)


async def collect(prometheus: Prometheus, began: float, ended: float) -> Drawn:
    span = f"{round(ended - began)}s"
    return [(query, await prometheus.over(query.at(interval=INTERVAL, span=span), began, ended)) for query in queries()]


def by_panel(drawn: Drawn) -> dict[str, Drawn]:
    """What each panel draws, under its row and name."""
    panels: dict[str, Drawn] = {}
    for query, series in drawn:
        panels.setdefault(f"{query.row}  |  {query.panel}", []).append((query, series))
    return panels


def few(drawn: Drawn) -> dict[str, Drawn]:
    """What those of the README draw, in its order, under their names."""
    return {name: [(query, series) for query, series in drawn if query.panel == name] for name in PROMISE}


def draw(
    panels: dict[str, Drawn], began: float, events: list[tuple[float, str]], *, columns: int, inches: float
) -> Any:
    """One small chart for each panel."""
    plt.rcParams.update({"font.size": 6, "axes.titlesize": 7, "legend.fontsize": 5})
    lines = -(-len(panels) // columns)
    figure, axes = plt.subplots(lines, columns, figsize=(inches, 1.55 * lines), layout="constrained")
    for axis in axes.flat[len(panels) :]:
        axis.axis("off")
    for axis, (name, parts) in zip(axes.flat, panels.items(), strict=False):
        labelled = 0
        for query, series in parts:
            for one in series:
                xs, ys = zip(*((float(at) - began, float(value)) for at, value in one["values"]), strict=True)
                labelled += 1
                label = query.label(one["metric"]) if labelled <= MOST_LINES else None
                axis.plot(xs, ys, linewidth=0.8, label=label)
        axis.set_title(f"{name}{UNITS[parts[0][0].unit]}", loc="left")
        axis.set_ylim(bottom=0)
        axis.grid(alpha=0.25)
        for at, _ in events:
            axis.axvline(at - began, color="grey", linewidth=0.5, linestyle=":")
        if labelled:
            axis.legend(loc="upper left", framealpha=0.6)
    said = ", ".join(f"{what} at {at - began:.0f} s" for at, what in events)
    day = datetime.fromtimestamp(began, UTC).date()
    figure.suptitle(f"From a real Prometheus on {day}. Seconds of the run; {said}.")
    return figure


def write(figure: Any, file: Path, dpi: int) -> None:
    taken = io.BytesIO()
    figure.savefig(taken, dpi=dpi)
    save(taken.getvalue(), file)
    print(f"{file.name}: {file.stat().st_size // 1024} KiB")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--to", type=Path, default=FOLDER)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder, running_rig(Path(folder), {}) as rig:
        rig.start("gateway")
        rig.start("worker")
        passed = Target("ryzeapi", rig.sandbox_url, "passed", "any")
        token = rig.create_account("acme", {**dict.fromkeys(("fine", "refused", "reset")), "passed": passed})
        with rig.redis() as redis:
            redis.config_set("maxmemory", "16mb")
        rules = hastened(RULES.read_text())
        with running_prometheus(Path(folder) / "prometheus", rig.targets, rules=rules) as prometheus:
            began = time.time()
            events = asyncio.run(live(rig, token))
            drawn = asyncio.run(collect(prometheus, began, time.time()))
    whole, excerpt = (asked.to / name for name in OF_DASHBOARD)
    write(draw(by_panel(drawn), began, events, columns=COLUMNS, inches=15), whole, dpi=100)
    write(draw(few(drawn), began, events, columns=3, inches=8.2), excerpt, dpi=180)
    empty = [query.panel for query, series in drawn if not series]
    print(f"panels without data: {empty or 'none'}")


if __name__ == "__main__":
    main()
