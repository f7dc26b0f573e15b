"""`python -m model SEED` replays a seed and prints its timeline; `python -m model FIRST COUNT` plays many."""

import sys
import time
from collections import Counter

from rich.progress import track

from model.keyspace import open_keyspace
from model.scenario import Report, play, scenario_of


def main(first: int, count: int) -> int:
    """Play the seeds; the exit code says whether the oracle objected."""
    with open_keyspace() as keyspace:
        began, kinds = time.monotonic(), Counter[str]()
        bad: list[Report] = []
        worst: dict[str, float] = {}
        seeds = range(first, first + count)
        for seed in track(seeds, f"{count} scenarios", transient=True, disable=count == 1):
            report = play(scenario_of(seed), keyspace)
            kind = report.scenario.kind
            kinds[kind] += 1
            worst[kind] = max([worst.get(kind, 0.0), *report.lateness])
            if report.objections:
                bad.append(report)
        took_s = time.monotonic() - began
    for report in bad[:5] if count > 1 else bad:
        print(report.timeline(), end="\n\n")
    if count == 1 and not bad:
        print(report.timeline())
    print(f"{count} scenarios in {took_s:.1f} s, {len(bad)} broken: {[r.scenario.seed for r in bad][:40]}")
    for kind, many in sorted(kinds.items()):
        broken = sum(r.scenario.kind == kind for r in bad)
        print(f"  {kind:<26} {many:>6} scenarios, {broken} broken, worst lateness {worst[kind]:.3f} s")
    return 1 if bad else 0


if __name__ == "__main__":
    numbers = [int(word) for word in sys.argv[1:]]
    sys.exit(main(numbers[0] if numbers else 0, numbers[1] if len(numbers) > 1 else 1))
