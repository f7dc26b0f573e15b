"""What an installation needs: CPU for a command and for a pause, memory of a process and of a promise.

    make bench ARGS="--only sizing --commands 3000"

CPU seconds are the processes' own, so they tell what one core can carry also where the cores are shared.
"""

import argparse
import asyncio
import os
import tempfile
from pathlib import Path

import aiohttp
import uvloop
from rig import Caller, Rig, running_rig, until_true

from alone.metrics_cost import CONNECTIONS, cpu_s, owe

OWED = 10_000
HOLD_S = 5


def resident_mib(pid: int) -> float:
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGESIZE") / 2**20


async def commands(rig: Rig, token: str, count: int) -> None:
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=CONNECTIONS)) as session:
        caller = Caller(rig, token, session)

        async def call(first: int) -> None:
            for number in range(first, count, CONNECTIONS):
                assert await caller.show("bench", f"55118{number:08}", duration=HOLD_S) == 200

        await asyncio.gather(*(call(first) for first in range(CONNECTIONS)))


async def all_paused(rig: Rig, count: int) -> None:
    async with aiohttp.ClientSession() as session:

        async def paused() -> bool:
            async with session.get(f"http://{rig.targets['worker']}/metrics") as response:
                lines = (await response.text()).splitlines()
            (line,) = (line for line in lines if line.startswith('presence_pauses_total{result="paused"}'))
            return float(line.split()[-1]) >= count

        await until_true(paused, within_s=120, what="every pause is sent")


def main(arguments: list[str]) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--commands", type=int, default=3_000)
    count = parser.parse_args(arguments).commands
    with (
        tempfile.TemporaryDirectory() as folder,
        running_rig(Path(folder), {"PRESENCE_LOG__FORMAT": "json", "PRESENCE_REDIS__TIMEOUT_S": "60"}) as rig,
    ):
        token = rig.create_account("bench", {"bench": None})
        rig.start("gateway")
        rig.start("worker")
        gateway, worker = (rig.processes[name].pid for name in ("gateway", "worker"))
        uvloop.run(commands(rig, token, 200))
        uvloop.run(all_paused(rig, 200))
        before = {pid: cpu_s(pid) for pid in (gateway, worker, rig.valkey.pid)}
        uvloop.run(commands(rig, token, count))
        gateway_us = (cpu_s(gateway) - before[gateway]) / count * 1e6
        uvloop.run(all_paused(rig, 200 + count))
        worker_us = (cpu_s(worker) - before[worker]) / count * 1e6
        valkey_us = (cpu_s(rig.valkey.pid) - before[rig.valkey.pid]) / count * 1e6
        memory = {name: resident_mib(pid) for name, pid in (("gateway", gateway), ("worker", worker))}
        rig.stop("worker")
        with rig.redis() as redis:
            empty = redis.info("memory")["used_memory"]
            uvloop.run(owe(rig, OWED))
            per_promise = (redis.info("memory")["used_memory"] - empty) / OWED
    print(
        f"A command ({HOLD_S} s): {gateway_us:.0f} us of CPU in the gateway, {1e6 / gateway_us:.0f} a second for a core"
    )
    print(f"Its pause: {worker_us:.0f} us of CPU in the worker (its looks at what wakes up included)")
    print(f"Both together: {valkey_us:.0f} us of CPU in Valkey, written to disk before every answer")
    print(f"Memory: gateway {memory['gateway']:.0f} MiB, worker {memory['worker']:.0f} MiB")
    print(f"Memory of Valkey for each pause owed: {per_promise:.0f} bytes")
    print(f"(load average of this machine at the end: {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores)")
