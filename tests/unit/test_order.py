"""The files that a run begins with are there to begin with."""

from dataclasses import dataclass
from pathlib import Path

import pytest
from order import LONGEST, TESTS, longest_first


@dataclass(frozen=True)
class Item:
    path: Path


@pytest.mark.parametrize("name", LONGEST)
def test_what_is_to_come_first_is_a_file_of_tests(name: str) -> None:
    assert (TESTS / name).is_file()


def test_the_longest_come_first_and_all_others_stay_as_they_were() -> None:
    others = [Item(TESTS / "unit/test_b.py"), Item(TESTS / "unit/test_a.py")]
    longest = [Item(TESTS / name) for name in LONGEST]
    assert longest_first([others[0], *reversed(longest), others[1]]) == [*longest, *others]
