"""`docs/security.md` and `SECURITY.md` name tests, targets and pages that exist."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PAGES = [ROOT / "docs/security.md", ROOT / "SECURITY.md"]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_link_leads_somewhere(page: Path) -> None:
    links = re.findall(r"\]\(([^)#]+)", page.read_text())
    assert links
    assert [link for link in links if not (page.parent / link).exists()] == []


def test_every_test_and_target_that_proves_something_is_there() -> None:
    told = PAGES[0].read_text()
    files, targets = re.findall(r"`(tests/[\w/]+\.py)`", told), re.findall(r"`make ([a-z-]+)", told)
    assert len(files) >= 6
    assert [file for file in files if not (ROOT / file).exists()] == []
    makefile = (ROOT / "Makefile").read_text()
    assert [target for target in targets if f"\n{target}: " not in makefile] == []
