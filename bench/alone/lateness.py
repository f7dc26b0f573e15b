"""How late promised pauses are without faults: real processes, a steady rate, seen from the phone's side.

    make bench ARGS="--only lateness --rate 50 --seconds 20"

Lateness is counted by the sandbox's clock, from when it was told `typing` to when it was told `paused`, less the
duration; it includes the time of the typing's own answer.
"""

import argparse
import asyncio
import os
import tempfile
import time
from pathlib import Path

import aiohttp
from installation import Installation, installed
from rich.progress import Progress

DURATION_S = 2


async def load(ours: Installation, token: str, rate: int, seconds: int) -> None:
    """Send commands at a constant rate, each to a chat of its own, whether or not the earlier ones were answered."""
    url = f"{ours.url}/api/chat/presence/bench"

    async def command(session: aiohttp.ClientSession, number: int) -> None:
        body = {"number": f"55119{number:08}", "state": "typing", "duration": DURATION_S}
        async with session.post(url, json=body, headers={"token": token}) as answer:
            answer.raise_for_status()

    async with aiohttp.ClientSession() as session, asyncio.TaskGroup() as group:
        with Progress(transient=True) as progress:
            task = progress.add_task(f"{rate} commands/s", total=rate * seconds)
            began = time.monotonic()
            for number in range(rate * seconds):
                await asyncio.sleep(max(0.0, began + number / rate - time.monotonic()))
                group.create_task(command(session, number))
                progress.advance(task)


async def latenesses(ours: Installation, expected: int) -> list[float]:
    """Read from the sandbox how late each pause was, in milliseconds."""
    shown: dict[str, float] = {}
    late: list[float] = []
    since, deadline = 0, time.monotonic() + DURATION_S + 30
    async with aiohttp.ClientSession() as session:
        while len(late) < expected and time.monotonic() < deadline:
            async with session.get(f"{ours.sandbox_url}/calls?since={since}") as answer:
                calls = (await answer.json())["calls"]
            for call in calls:
                since = call["n"]
                if call["state"] == "typing":
                    shown[call["chat"]] = call["at"]
                else:
                    late.append((call["at"] - shown[call["chat"]] - DURATION_S) * 1000)
            await asyncio.sleep(0.2)
    return sorted(late)


def main(arguments: list[str]) -> None:
    """Measure, and print one line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rate", type=int, default=50, help="commands a second (default: %(default)s)")
    parser.add_argument("--seconds", type=int, default=20, help="for how long (default: %(default)s)")
    options = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory() as folder, installed(Path(folder)) as ours:
        account, token = ours.create_account(per_minute=1_000_000)
        ours.create_instance(account, name="bench")
        asyncio.run(load(ours, token, options.rate, options.seconds))
        late = asyncio.run(latenesses(ours, options.rate * options.seconds))
    promised = options.rate * options.seconds
    at = {name: late[min(len(late) - 1, int(len(late) * share))] for name, share in (("p50", 0.5), ("p99", 0.99))}
    print(
        f"{options.rate}/s for {options.seconds} s on {os.cpu_count()} cores: {promised} promised, {len(late)} paused; "
        f"late p50 {at['p50']:.1f} ms, p99 {at['p99']:.1f} ms, most {late[-1]:.1f} ms, least {late[0]:.1f} ms"
    )
