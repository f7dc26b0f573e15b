"""Whether one upstream that hangs is felt on another: the same calls alone, and while the other one hangs.

    make bench ARGS="--only isolation --rate 50 --seconds 10"

Two sandboxes, two instances of one account, one gateway. The table is of one run.
"""

import argparse
import asyncio
import contextlib
import os
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import aiohttp
from installation import Installation, installed


@contextlib.contextmanager
def sandbox() -> Iterator[str]:
    """Run a second sandbox; yields its URL."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    process = subprocess.Popen(
        [sys.executable, "-m", "gateway", "sandbox", "--port", str(port)], stdout=subprocess.DEVNULL
    )
    try:
        yield f"http://127.0.0.1:{port}"
    finally:
        process.terminate()
        process.wait()


async def send(url: str, token: str, rate: int, seconds: float, took: list[float]) -> None:
    """Send at a constant rate, waiting for nobody; appends how long each answer took, in milliseconds."""

    async def one(session: aiohttp.ClientSession, number: int) -> None:
        body = {"number": f"55119{number:08}", "state": "typing"}
        began = time.perf_counter()
        async with session.post(url, json=body, headers={"token": token}) as answer:
            await answer.read()
        took.append((time.perf_counter() - began) * 1000)

    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as session, asyncio.TaskGroup() as group:
        began = time.monotonic()
        for number in range(round(rate * seconds)):
            await asyncio.sleep(max(0.0, began + number / rate - time.monotonic()))
            group.create_task(one(session, number))


async def measure(ours: Installation, token: str, hanging_url: str, rate: int, seconds: float) -> None:
    """Print the healthy instance's latency alone, then beside one that hangs, then alone again."""
    base = f"{ours.url}/api/chat/presence"
    print(f"{rate} commands/s on each instance, {seconds:g} s a row, {os.cpu_count()} cores")
    print(f"{'':24}{'answers':>9}{'p50 ms':>9}{'p99 ms':>9}{'most ms':>9}")
    for name, beside in (("alone", False), ("beside one that hangs", True), ("alone again", False)):
        healthy: list[float] = []
        calls = [send(f"{base}/bench", token, rate, seconds, healthy)]
        if beside:
            async with aiohttp.ClientSession() as session:
                await session.post(f"{hanging_url}/faults", json={"instance": "*", "fault": "hang"})
            calls.append(send(f"{base}/hanging", token, rate, seconds, []))
        await asyncio.gather(*calls)
        healthy.sort()
        p50, p99 = healthy[len(healthy) // 2], healthy[int(len(healthy) * 0.99)]
        print(f"{name:24}{len(healthy):>9}{p50:>9.1f}{p99:>9.1f}{healthy[-1]:>9.1f}")


def main(arguments: list[str]) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rate", type=int, default=50, help="commands a second on each (default: %(default)s)")
    parser.add_argument("--seconds", type=float, default=10, help="a row (default: %(default)s)")
    options = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory() as folder, installed(Path(folder)) as ours, sandbox() as hanging_url:
        account, token = ours.create_account(per_minute=1_000_000)
        ours.create_instance(account, name="bench")
        ours.create_instance(account, name="hanging", upstream={"kind": "sandbox", "url": hanging_url})
        asyncio.run(measure(ours, token, hanging_url, options.rate, options.seconds))
