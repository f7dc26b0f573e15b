"""The pages that are made from the code are what it would write now."""

import runpy
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.parametrize("page", ["architecture", "configuration", "upstreams"])
def test_the_page_is_up_to_date(page: str) -> None:
    made = runpy.run_path(str(ROOT / f"docs/{page}.py"))["page"]()
    assert made == (ROOT / f"docs/{page}.md").read_text(), "make docs"


def test_the_configuration_has_every_setting_with_a_reason() -> None:
    rows = [line for line in (ROOT / "docs/configuration.md").read_text().splitlines() if line.startswith("| `")]
    assert len(rows) > 30
    assert [row for row in rows if len(row.split(" | ")[-1]) < len("| a word")] == []
