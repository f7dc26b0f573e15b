"""Whether the time of an answer tells another account's instance from one that does not exist.

    make bench ARGS="--only foreign --pairs 2000"

Two accounts, one connection, one request at a time. Each pair asks for both, in an order that is drawn, so that what
else the machine does meets both alike. Under the hypothesis that the two take the same time, swapping the two of any
pair changes nothing: p is how often random swaps make a difference of medians at least as large as the one measured.
The interval is a bootstrap over pairs. The last row compares an instance of one's own with none: a difference that
exists, to show that the method finds one.
"""

import argparse
import asyncio
import os
import random
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from statistics import median

import aiohttp
from installation import installed

CONFIDENCE = 0.99
RESAMPLES = 2000
WARM_UP_PAIRS = 100

Pair = tuple[float, float]


@dataclass(frozen=True)
class Comparison:
    """Two names asked for with one token, and the statuses that answer them."""

    title: str
    token: str
    names: tuple[str, str]
    statuses: tuple[int, int]


async def time_one(session: aiohttp.ClientSession, comparison: Comparison, which: int) -> float:
    """Return how long the answer took, in microseconds; raises if it is not the documented one."""
    path = f"/api/chat/presence/{comparison.names[which]}"
    began = time.perf_counter()
    async with session.get(path, headers={"token": comparison.token}) as answer:
        await answer.read()
    took = time.perf_counter() - began
    if answer.status != comparison.statuses[which]:
        message = f"{comparison.title}: {answer.status} for {comparison.names[which]}"
        raise RuntimeError(message)
    return took * 1e6


async def time_pairs(url: str, comparison: Comparison, count: int, chance: random.Random) -> list[Pair]:
    """Ask for both names of the comparison, pair by pair."""
    pairs = []
    async with aiohttp.ClientSession(url) as session:
        for _ in range(WARM_UP_PAIRS + count):
            took = [0.0, 0.0]
            for which in chance.sample((0, 1), 2):
                took[which] = await time_one(session, comparison, which)
            pairs.append((took[0], took[1]))
    return pairs[WARM_UP_PAIRS:]


def difference(pairs: list[Pair]) -> float:
    """Return the median of the first less the median of the second."""
    return median(first for first, _ in pairs) - median(second for _, second in pairs)


def interval(pairs: list[Pair], chance: random.Random) -> Pair:
    """Return where the difference of medians lies, with the confidence asked for."""
    found = sorted(difference(chance.choices(pairs, k=len(pairs))) for _ in range(RESAMPLES))
    cut = round(RESAMPLES * (1 - CONFIDENCE) / 2)
    return found[cut], found[-1 - cut]


def p_value(pairs: list[Pair], chance: random.Random) -> float:
    """Return how often swaps within pairs do at least as much as what was measured."""
    measured = abs(difference(pairs))
    swapped = ([pair if chance.getrandbits(1) else pair[::-1] for pair in pairs] for _ in range(RESAMPLES))
    return (1 + sum(abs(difference(pairs)) >= measured for pairs in swapped)) / (1 + RESAMPLES)


def row(comparison: Comparison, pairs: list[Pair], chance: random.Random) -> str:
    """Return the comparison's line of the table."""
    first, second = (median(pair[which] for pair in pairs) for which in (0, 1))
    low, high = interval(pairs, chance)
    p = p_value(pairs, chance)
    statuses = "/".join(map(str, comparison.statuses))
    verdict = "a difference" if p < 1 - CONFIDENCE else "none found"
    return (
        f"| {comparison.title} | {statuses} | {first:.1f} | {second:.1f} | {first - second:+.1f} "
        f"| {low:+.1f} to {high:+.1f} | {p:.4f} | {verdict} |"
    )


async def measure(url: str, comparisons: list[Comparison], count: int) -> None:
    """Print the table."""
    chance = random.Random()
    print(f"{count} pairs a row, {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f} before\n")
    print("| compared | status | first, median µs | second, median µs | difference | 99 % interval | p | at 99 % |")
    print("| --- | --- | --- | --- | --- | --- | --- | --- |")
    for comparison in comparisons:
        print(row(comparison, await time_pairs(url, comparison, count, chance), chance), flush=True)


def main(arguments: list[str]) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pairs", type=int, default=2000, help="requests for each of two names (default: %(default)s)")
    options = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory() as folder, installed(Path(folder)) as ours:
        account, account_token = ours.create_account(per_minute=1_000_000)
        _, instance_token = ours.create_instance(account, name="mine00")
        ours.create_tenant(instance="theirs")
        foreign, own = ("theirs", "nobody"), ("mine00", "nobody")
        comparisons = [
            Comparison("foreign or none, account token", account_token, foreign, (404, 404)),
            Comparison("foreign or none, instance token", instance_token, foreign, (403, 403)),
            Comparison("own or none, account token (control)", account_token, own, (200, 404)),
        ]
        asyncio.run(measure(ours.url, comparisons, options.pairs))
