"""What watching costs: a scrape with many pauses owed, and the counting on every request.

    make bench ARGS="--only metrics --owed 10000 --requests 3000 --rounds 5"

Both are CPU seconds of the gateway's own process, which a busy machine inflates less than time on the clock. The
counting is measured against the same gateway with every metric replaced by one that does nothing, in turns.
"""

import argparse
import asyncio
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import aiohttp
import uvloop
from rig import Caller, Rig, running_rig, wait_for

from gateway import settings
from gateway.presence.model import Chat, State
from gateway.presence.steps import ChatKey, RefreshPolicy
from gateway.telemetry import metrics
from gateway.wiring import open_services

SCRAPES = 50
CONNECTIONS = 16
COUNTS = 50_000

UNCOUNTED = """
from prometheus_client.metrics import MetricWrapperBase
from gateway.telemetry import metrics

def nothing(*values, **named):
    return None

class Nothing:
    inc = dec = set = observe = set_to_current_time = staticmethod(nothing)

for metric in vars(metrics).values():
    if isinstance(metric, MetricWrapperBase):
        vars(metric).update(vars(Nothing), labels=lambda *values, **named: Nothing)

from gateway.commands.cli import main
main(["serve"])
"""


def cpu_s(pid: int) -> float:
    """What a process's threads have used so far, as the scheduler counts it: to the nanosecond."""
    return sum(int(task.read_text().split()[0]) for task in Path(f"/proc/{pid}/task").glob("*/schedstat")) / 1e9


async def owe(rig: Rig, count: int) -> None:
    async with open_services(settings.load(environ=rig.environ)) as services:
        for first in range(0, count, 50):
            await asyncio.gather(
                *(
                    services.indicators.promise(
                        ChatKey("i0", Chat(f"55119{number:08}@s.whatsapp.net")),
                        State.TYPING,
                        60_000,
                        owner="bench",
                        ticket=None,
                        trace="",
                        refresh=RefreshPolicy(4.0, 5.5),
                    )
                    for number in range(first, min(first + 50, count))
                )
            )


async def scrape(rig: Rig, times: int) -> tuple[float, list[float], int]:
    """CPU seconds of each scrape, its seconds on the clock, and how many bytes it was."""
    pid, waited, size = rig.processes["gateway"].pid, [], 0
    async with aiohttp.ClientSession() as session:
        began = cpu_s(pid)
        for _ in range(times):
            asked = time.perf_counter()
            async with session.get(f"http://{rig.targets['gateway']}/metrics") as response:
                size = len(await response.read())
            waited.append(time.perf_counter() - asked)
        return (cpu_s(pid) - began) / times, waited, size


async def request(rig: Rig, token: str, count: int, pid: int) -> float:
    """CPU seconds of the gateway for each request."""
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=CONNECTIONS)) as session:
        caller = Caller(rig, token, session)

        async def call(first: int) -> None:
            for number in range(first, count, CONNECTIONS):
                assert await caller.show("bench", f"55118{number:08}") == 200

        began = cpu_s(pid)
        await asyncio.gather(*(call(first) for first in range(CONNECTIONS)))
        return (cpu_s(pid) - began) / count


def round_of(rig: Rig, token: str, count: int, *, counted: bool) -> float:
    if counted:
        rig.start("gateway")
        pid = rig.processes["gateway"].pid
    else:
        with (rig.folder / "uncounted.log").open("ab") as log:
            process = subprocess.Popen([sys.executable, "-c", UNCOUNTED], env=rig.environ, stdout=log, stderr=log)
        rig.processes["gateway"] = process
        wait_for(f"http://{rig.targets['gateway']}/readyz", process)
        pid = process.pid
    uvloop.run(request(rig, token, count // 10, pid))
    spent = uvloop.run(request(rig, token, count, pid))
    rig.stop("gateway")
    return spent


def count_us() -> float:
    """What the counting of one command costs by itself, in microseconds of CPU."""
    route = "/api/chat/presence/{instance}"
    began = time.process_time()
    for _ in range(COUNTS):
        metrics.HTTP_REQUESTS.labels("POST", route, 200).inc()
        metrics.HTTP_DURATION.labels(route).observe(0.004)
        metrics.AUTH.labels("ok").inc()
        metrics.RATE_LIMIT_DECISIONS.labels("admitted").inc()
        metrics.COMMANDS.labels("typing", "shown").inc()
        metrics.UPSTREAM_DURATION.labels("sandbox").observe(0.003)
        metrics.UPSTREAM_REQUESTS.labels("sandbox", "typing", "ok").inc()
    return (time.process_time() - began) / COUNTS * 1e6


def _list(figures: list[float]) -> str:
    return " ".join(f"{figure:.0f}" for figure in figures)


def main(arguments: list[str]) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--owed", type=int, default=10_000)
    parser.add_argument("--requests", type=int, default=3_000)
    parser.add_argument("--rounds", type=int, default=5)
    asked = parser.parse_args(arguments)
    with (
        tempfile.TemporaryDirectory() as folder,
        running_rig(Path(folder), {"PRESENCE_LOG__LEVEL": "warning", "PRESENCE_REDIS__TIMEOUT_S": "60"}) as rig,
    ):
        token = rig.create_account("bench", {"bench": None})
        rig.start("gateway")
        uvloop.run(owe(rig, asked.owed))
        uvloop.run(scrape(rig, 5))
        cpu, waited, size = uvloop.run(scrape(rig, SCRAPES))
        rig.stop("gateway")
        print(
            f"A scrape with {asked.owed} pauses owed: {cpu * 1000:.1f} ms of CPU, "
            f"half within {statistics.median(waited) * 1000:.1f} ms on the clock, {size} bytes"
        )
        with_metrics: list[float] = []
        without: list[float] = []
        for number in range(asked.rounds):
            for counted in (number % 2 == 0, number % 2 == 1):
                (with_metrics if counted else without).append(
                    round_of(rig, token, asked.requests, counted=counted) * 1e6
                )
        print(f"us of CPU for each request, with metrics: {_list(with_metrics)}; without: {_list(without)}")
        # What others do on the machine only ever adds.
        a, b = min(with_metrics), min(without)
        print(f"A request: {a:.0f} us at best with metrics, {b:.0f} us without: {100 * (a / b - 1):+.1f} %")
        print(f"Counting one command, by itself: {count_us():.1f} us, {100 * count_us() / b:.1f} % of a request")
        print(f"(load average of this machine at the end: {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores)")
