"""Whether the time of an answer tells another tenant's instance from one that does not exist.

    make bench-foreign ARGS="--requests 2000"

Each kind of token asks for both in turn (A B A B), on one connection. The difference of the medians is held against
2,000 differences of the same answers dealt out anew by chance (a permutation test).
"""

import argparse
import asyncio
import os
import random
import statistics
import time

import aiohttp
from installation import create_account, operate, running

SHUFFLES = 2000
LEVEL = 0.01


async def alternate(base: str, token: str, names: tuple[str, str], requests: int) -> tuple[list[float], list[float]]:
    """Ask for both names in turn; returns how long each took, in microseconds."""
    took: tuple[list[float], list[float]] = ([], [])
    async with aiohttp.ClientSession() as session:
        for number in range(2 * requests):
            which = number % 2
            began = time.perf_counter()
            async with session.post(f"{base}/{names[which]}", data=b"{}", headers={"token": token}) as answer:
                await answer.read()
            took[which].append((time.perf_counter() - began) * 1e6)
    return took


def chance(foreign: list[float], missing: list[float]) -> float:
    """How often chance alone deals medians at least as far apart."""
    found = abs(statistics.median(foreign) - statistics.median(missing))
    both, dealer, far = foreign + missing, random.Random(1), 0
    for _ in range(SHUFFLES):
        dealer.shuffle(both)
        half = len(foreign)
        far += abs(statistics.median(both[:half]) - statistics.median(both[half:])) >= found
    return far / SHUFFLES


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--requests", type=int, default=2000, help="for each of the two names (default: %(default)s)")
    options = parser.parse_args()
    with running() as ready:
        account = create_account(ready)
        operate(ready, "account", "create", "other", "--per-minute", "1000000")
        operate(ready, "instance", "create", "other", "theirs")
        instance = str(operate(ready, "instance", "create", "bench", "own")["token"])
        base = f"{ready['url']}/api/chat/presence"
        print(f"{options.requests} requests for each name, {os.cpu_count()} cores; medians in microseconds")
        print(f"{'token':10}{'foreign':>10}{'missing':>10}{'difference':>12}{'by chance':>11}")
        for kind, token in (("account", account), ("instance", instance)):
            foreign, missing = asyncio.run(alternate(base, token, ("theirs", "nobody"), options.requests))
            medians = statistics.median(foreign), statistics.median(missing)
            likely = chance(foreign, missing)
            verdict = "a difference" if likely < LEVEL else "no difference found"
            row = f"{kind:10}{medians[0]:>10.0f}{medians[1]:>10.0f}{medians[0] - medians[1]:>+12.1f}"
            print(f"{row}{likely:>11.3f}  {verdict}")


if __name__ == "__main__":
    main()
