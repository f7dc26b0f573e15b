"""Draws every panel of the dashboard from a real Prometheus that watched a real run: docs/images/dashboard.png.

    make panels

The run: a steady load; then the worker is killed, and started again; then an upstream refuses its credential, another
does not answer, and somebody guesses tokens; then Redis hangs for a few seconds.
"""

import argparse
import asyncio
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
from panels import Query, queries
from PIL import Image
from prometheus import RULES, Prometheus, hastened, running_prometheus
from rig import ROOT, Caller, Rig, running_rig

mpl.use("agg")
from matplotlib import pyplot as plt

INTERVAL = "10s"
COLUMNS = 4
COLOURS = 160
MOST_LINES = 6
UNITS = {"short": "", "ops": ", per s", "reqps": ", per s", "s": ", s", "bytes": ", bytes", "percentunit": ""}


async def live(rig: Rig, token: str) -> list[tuple[float, str]]:
    """Go through the run; what happened when."""
    events: list[tuple[float, str]] = []

    def note(what: str) -> None:
        events.append((time.time(), what))

    async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=10)) as session:
        caller = Caller(rig, token, session)
        load = asyncio.create_task(keep_calling(caller))
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


async def collect(prometheus: Prometheus, began: float, ended: float) -> list[tuple[Query, list[dict[str, Any]]]]:
    span = f"{round(ended - began)}s"
    return [(query, await prometheus.over(query.at(interval=INTERVAL, span=span), began, ended)) for query in queries()]


def draw(drawn: list[tuple[Query, list[dict[str, Any]]]], began: float, events: list[tuple[float, str]]) -> Any:
    """One small chart for each panel, under the names of their rows."""
    panels: dict[tuple[str, str], list[tuple[Query, list[dict[str, Any]]]]] = {}
    for query, series in drawn:
        panels.setdefault((query.row, query.panel), []).append((query, series))
    plt.rcParams.update({"font.size": 6, "axes.titlesize": 7, "legend.fontsize": 5})
    lines = -(-len(panels) // COLUMNS)
    figure, axes = plt.subplots(lines, COLUMNS, figsize=(15, 1.55 * lines), layout="constrained")
    for axis in axes.flat[len(panels) :]:
        axis.axis("off")
    for axis, ((row, panel), parts) in zip(axes.flat, panels.items(), strict=False):
        labelled = 0
        for query, series in parts:
            for one in series:
                xs, ys = zip(*((float(at) - began, float(value)) for at, value in one["values"]), strict=True)
                labelled += 1
                label = query.label(one["metric"]) if labelled <= MOST_LINES else None
                axis.plot(xs, ys, linewidth=0.8, label=label)
        axis.set_title(f"{row}  |  {panel}{UNITS[parts[0][0].unit]}", loc="left")
        axis.set_ylim(bottom=0)
        axis.grid(alpha=0.25)
        for at, _ in events:
            axis.axvline(at - began, color="grey", linewidth=0.5, linestyle=":")
        if labelled:
            axis.legend(loc="upper left", framealpha=0.6)
    said = ", ".join(f"{what} at {at - began:.0f} s" for at, what in events)
    day = datetime.fromtimestamp(began, UTC).date()
    figure.suptitle(f"Every panel of the dashboard, from a real Prometheus on {day}. Seconds of the run; {said}.")
    return figure


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--to", type=Path, default=ROOT / "docs/images/dashboard.png")
    asked = parser.parse_args()
    asked.to.parent.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory() as folder, running_rig(Path(folder), {}) as rig:
        rig.start("gateway")
        rig.start("worker")
        token = rig.create_account("acme", dict.fromkeys(("fine", "refused", "reset")))
        with rig.redis() as redis:
            redis.config_set("maxmemory", "16mb")
        rules = hastened(RULES.read_text())
        with running_prometheus(Path(folder) / "prometheus", rig.targets, rules=rules) as prometheus:
            began = time.time()
            events = asyncio.run(live(rig, token))
            drawn = asyncio.run(collect(prometheus, began, time.time()))
    figure = draw(drawn, began, events)
    figure.savefig(asked.to, dpi=100)
    # A palette says as much about lines as millions of colours do, in a third of the bytes.
    with Image.open(asked.to) as picture:
        small = picture.convert("RGB").quantize(COLOURS, dither=Image.Dither.NONE)
    small.save(asked.to, optimize=True)
    print(f"{asked.to.relative_to(ROOT)}: {asked.to.stat().st_size // 1024} KiB")
    empty = [query.panel for query, series in drawn if not series]
    print(f"panels without data: {empty or 'none'}")


if __name__ == "__main__":
    main()
