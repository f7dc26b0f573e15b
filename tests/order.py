"""Which files several processes begin with, and which they end with: what looks at the clock comes last."""

from collections.abc import Iterable
from pathlib import Path
from typing import Protocol, TypeVar

TESTS = Path(__file__).parent


class InFile(Protocol):
    """A test, as far as its place is concerned."""

    @property
    def path(self) -> Path:
        """The file that it is written in."""


Test = TypeVar("Test", bound=InFile)

LONGEST = (
    "deploy/test_deploy_image.py",
    "e2e/test_console.py",
    "acceptance/test_limit.py",
    "e2e/test_reference.py",
    "model/test_model.py",
    "e2e/test_every_page.py",
    "model/test_mutants.py",
    "e2e/test_the_promise.py",
    "model/test_crash_points.py",
)
"""Each takes more than half a minute; all others are soon over, in whatever order."""

BY_THE_CLOCK = (
    "contract/test_upstreams.py",
    "acceptance/test_alerts.py",
    "integration/test_worker.py",
    "acceptance/test_crash.py",
    "chaos/test_bystander.py",
    "chaos/test_chaos.py",
    "integration/test_cluster.py",
    "integration/test_rounds.py",
    "acceptance/test_upgrade.py",
    "deploy/test_deploy_nginx.py",
    "acceptance/test_processes.py",
    "acceptance/test_indicators.py",
)
"""What has to be in time, and mostly waits: nothing that computes is left beside it then. The longest first, too."""

_CLOCKS = {TESTS / name for name in BY_THE_CLOCK}


def in_order(items: Iterable[Test]) -> list[Test]:
    """Return the tests of the longest files first, those that look at the clock last, and all others as they were."""
    rank = {TESTS / name: number - len(LONGEST) for number, name in enumerate(LONGEST)}
    rank |= {TESTS / name: number for number, name in enumerate(BY_THE_CLOCK, 1)}
    return sorted(items, key=lambda item: rank.get(item.path, 0))


def looks_at_the_clock(item: InFile) -> bool:
    """Say whether a test is one of those that have to be in time."""
    return item.path in _CLOCKS
