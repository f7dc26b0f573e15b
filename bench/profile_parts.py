"""Where the gateway's time goes, from py-spy's raw samples of two versions under the same load, as one picture.

    py-spy record -d 8 -r 500 -f raw -o after.txt --pid PID
    python bench/profile_parts.py before.txt after.txt docs/images/profile.svg

A sample counts for the innermost part that is on its stack.
"""

import re
import sys
from collections import Counter
from pathlib import Path

import matplotlib as mpl

mpl.use("agg")
from matplotlib import pyplot as plt

PARTS = {
    "Redis": r"store/(redis|pipeline|indicators|admission)\.py|redis/asyncio|_parsers/hiredis",
    "upstream call": r"upstreams/\w+\.py|aiohttp/(client|connector|client_\w+)\.py",
    "log line": r"structlog/|gateway/logs\.py|\(json/",
    "metrics": r"prometheus_client/|gateway/metrics\.py",
    "guards, body, domain": r"api/\w+\.py|gateway/\w+\.py",
    "HTTP server": r"aiohttp/",
}
"""By the innermost frame of ours or of a library that says whose work it is."""


def shares(raw: Path) -> dict[str, float]:
    """Read py-spy's raw format: frames from the outermost to the innermost, and a count of samples."""
    found: Counter[str] = Counter()
    for line in raw.read_text().splitlines():
        stack, _, count = line.rpartition(" ")
        found[_part(stack.split(";"))] += int(count)
    total = found.total()
    return {part: 100 * found[part] / total for part in [*PARTS, "event loop"]}


def _part(frames: list[str]) -> str:
    below_the_loop = [index for index, frame in enumerate(frames) if frame.startswith("Runner.run ")]
    for frame in reversed(frames[max(below_the_loop, default=0) + 1 :]):
        for part, shape in PARTS.items():
            if re.search(shape, frame):
                return part
    return "event loop"


def main() -> None:
    """Draw two bars."""
    before, after, target = map(Path, sys.argv[1:4])
    bars = {"before": shares(before), "after": shares(after)}
    plt.rcParams.update({"font.size": 9, "svg.hashsalt": "bench", "svg.fonttype": "none"})
    figure, axes = plt.subplots(figsize=(8, 2.4), layout="constrained")
    left = dict.fromkeys(bars, 0.0)
    for part in bars["before"]:
        values = [bars[name][part] for name in bars]
        drawn = axes.barh(list(bars), values, left=list(left.values()), label=part)
        axes.bar_label(drawn, [f"{value:.0f}" if value >= 3 else "" for value in values], label_type="center")
        left = {name: left[name] + bars[name][part] for name in bars}
    axes.set_xlabel("% of the samples of one gateway")
    axes.invert_yaxis()
    axes.legend(ncols=7, loc="lower center", bbox_to_anchor=(0.5, 1.0), frameon=False, fontsize=7)
    figure.savefig(target, metadata={"Date": None})
    print({name: {part: round(share) for part, share in parts.items()} for name, parts in bars.items()})


if __name__ == "__main__":
    main()
