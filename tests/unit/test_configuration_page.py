"""`docs/configuration.md` is what the code would write now."""

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def test_the_page_is_up_to_date() -> None:
    made = subprocess.run(
        [sys.executable, ROOT / "docs/configuration.py"], capture_output=True, text=True, timeout=60, check=True
    )
    assert made.stdout == (ROOT / "docs/configuration.md").read_text(), "make docs"


def test_the_page_has_every_setting_with_a_reason() -> None:
    rows = [line for line in (ROOT / "docs/configuration.md").read_text().splitlines() if line.startswith("| `")]
    assert len(rows) > 30
    assert [row for row in rows if len(row.split(" | ")[-1]) < len("| a word")] == []
