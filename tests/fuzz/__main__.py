"""`python -m fuzz COUNT SEED`: 100,000 requests by default; exits with 1 where anything was not as documented."""

import sys

from fuzz.run import play


def main(count: int = 100_000, seed: int = 1) -> int:
    """Play, and print what came of it."""
    result = play(count, seed, print)
    print(f"{result.asked} requests in {result.took_s:.0f} s, seed {seed}: {len(result.objections)} objections")
    for status, many in sorted(result.statuses.items(), key=lambda told: told[0] or 0):
        print(f"  {status or 'no answer'}: {many}")
    for objection in result.objections[:20]:
        print(f"  {objection}\n")
    return 1 if result.objections else 0


if __name__ == "__main__":
    sys.exit(main(*map(int, sys.argv[1:])))
