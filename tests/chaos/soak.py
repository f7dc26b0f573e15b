"""`python -m chaos.soak [--seconds 600]`: under a steady load nothing grows, and a minute after it nothing is left."""

import argparse
import asyncio
import sys
import tempfile
import time
from pathlib import Path

from redis.asyncio import Redis

from chaos.load import Load
from chaos.site import Process, Site

_PER_SECOND = 40.0
_SAMPLES = 10
_GROWTH = 1.15
"""After the first tenth, in which pools and caches fill, memory may not grow by more than this."""

_GROWTH_KB = 4096
_MORE_DESCRIPTORS = 40
_GONE_S = 75.0
_OF_TENANTS, _WINDOWS, _HISTORY = b"pg:{t}:", b"pg:{t}:w:", b":ends:"


def memory_kb(process: Process) -> int:
    status = Path(f"/proc/{process.pid}/status").read_text()
    return int(next(line for line in status.splitlines() if line.startswith("VmRSS")).split()[1])


def descriptors(process: Process) -> int:
    return len(list(Path(f"/proc/{process.pid}/fd").iterdir()))


async def ephemeral_keys(site: Site) -> int:
    """Count what belongs to chats and requests, not to accounts."""
    async with Redis.from_url(site.redis_urls[0]) as client:
        found: list[bytes] = await client.keys("*")
    kept = [key for key in found if key.startswith(_OF_TENANTS) and not key.startswith(_WINDOWS)]
    history = [key for key in found if _HISTORY in key]
    return len(found) - len(kept) - len(history)


async def soak(seconds: float, folder: Path) -> list[str]:
    """Run the load; return what grew or was left."""
    site, found = Site(folder), []
    watched = {process.name: process for process in (*site.gateways, *site.workers)}
    history: dict[str, list[tuple[int, int]]] = {name: [] for name in watched}
    try:
        await site.start()
        print(
            f"{'second':>8}  " + "  ".join(f"{name + ' MB/fds':>14}" for name in watched) + f"{'keys':>8}", flush=True
        )
        async with Load(site.urls, site.sandbox_url, site.account_token) as load:
            began = time.monotonic()
            for _ in range(_SAMPLES):
                await load.run(seconds / _SAMPLES, _PER_SECOND)
                for name, process in watched.items():
                    history[name].append((memory_kb(process), descriptors(process)))
                shown = "  ".join(f"{history[n][-1][0] / 1024:>9.1f}/{history[n][-1][1]:>4}" for n in watched)
                print(f"{time.monotonic() - began:>8.0f}  {shown}{await ephemeral_keys(site):>8}", flush=True)
            verdict = await load.settle(30)
        if verdict.stuck or verdict.early or verdict.delivered != verdict.promised:
            found.append(f"promises were broken: {verdict}")
        for name, samples in history.items():
            found += grown(name, samples)
        deadline = time.monotonic() + _GONE_S
        while (left := await ephemeral_keys(site)) and time.monotonic() < deadline:  # noqa: ASYNC110 - Redis tells nobody
            await asyncio.sleep(1)
        if left:
            found.append(f"{left} keys of chats are left {_GONE_S:.0f} s after the last command")
        print(f"{verdict.commands} commands, {verdict.promised} promised, worst lateness {verdict.worst_late_s:.2f} s; "
              f"{left} keys left after {_GONE_S - max(0.0, deadline - time.monotonic()):.0f} s")  # fmt: skip
    finally:
        site.close()
    return found


def grown(name: str, samples: list[tuple[int, int]]) -> list[str]:
    """Compare the last sample with the second."""
    (first_kb, first_fds), (last_kb, last_fds) = samples[1], samples[-1]
    found = []
    if last_kb > max(first_kb * _GROWTH, first_kb + _GROWTH_KB):
        found.append(f"{name} grew from {first_kb} to {last_kb} KB")
    if last_fds > first_fds + _MORE_DESCRIPTORS:
        found.append(f"{name} went from {first_fds} to {last_fds} descriptors")
    return found


def main() -> int:
    """Soak, and say what was found."""
    parser = argparse.ArgumentParser(prog="python -m chaos.soak")
    parser.add_argument("--seconds", type=float, default=600.0)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="soak-") as folder:
        found = asyncio.run(soak(asked.seconds, Path(folder)))
    for objection in found:
        print(f"BROKEN: {objection}")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
