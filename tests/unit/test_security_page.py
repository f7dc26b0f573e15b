"""`docs/security.md` names tests and targets that exist."""

import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PAGE = ROOT / "docs/security.md"


def test_every_test_and_target_that_proves_something_is_there() -> None:
    told = PAGE.read_text()
    files, targets = re.findall(r"`(tests/[\w/]+\.py)`", told), re.findall(r"`make ([a-z-]+)", told)
    assert len(files) >= 6
    assert [file for file in files if not (ROOT / file).exists()] == []
    makefile = (ROOT / "Makefile").read_text()
    assert [target for target in targets if f"\n{target}: " not in makefile] == []
