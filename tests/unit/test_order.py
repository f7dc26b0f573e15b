"""The files that a run begins and ends with are there to begin with."""

from dataclasses import dataclass
from pathlib import Path

import pytest
from order import BY_THE_CLOCK, LONGEST, TESTS, in_order, looks_at_the_clock


@dataclass(frozen=True)
class Item:
    path: Path


@pytest.mark.parametrize("name", LONGEST + BY_THE_CLOCK)
def test_what_has_its_place_is_a_file_of_tests(name: str) -> None:
    assert (TESTS / name).is_file()


def test_the_longest_come_first_the_clocks_last_and_all_others_stay_as_they_were() -> None:
    others = [Item(TESTS / "unit/test_b.py"), Item(TESTS / "unit/test_a.py")]
    longest, clocks = ([Item(TESTS / name) for name in names] for names in (LONGEST, BY_THE_CLOCK))
    assert all(map(looks_at_the_clock, clocks))
    assert not any(map(looks_at_the_clock, longest + others))
    assert in_order([others[0], *reversed(clocks), *reversed(longest), others[1]]) == [*longest, *others, *clocks]
