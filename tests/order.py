"""Which files several processes begin with: a run ends as evenly as its last file is short."""

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
    "contract/test_upstreams.py",
    "deploy/test_deploy_image.py",
    "acceptance/test_alerts.py",
    "e2e/test_console.py",
    "integration/test_worker.py",
    "e2e/test_reference.py",
    "integration/test_rounds.py",
    "integration/test_cluster.py",
    "model/test_model.py",
    "chaos/test_chaos.py",
    "e2e/test_every_page.py",
    "e2e/test_the_promise.py",
)
"""Each takes more than half a minute, the first of them two; all others are soon over, in whatever order."""


def longest_first(items: Iterable[Test]) -> list[Test]:
    """Return the tests of the longest files first, and all others as they were."""
    rank = {TESTS / name: number for number, name in enumerate(LONGEST)}
    return sorted(items, key=lambda item: rank.get(item.path, len(rank)))
