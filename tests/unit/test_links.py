"""Every link between the pages leads to a file of the tree, and to a heading that it has."""

import re
from pathlib import Path

import pytest
from rig import ROOT

PAGES = [
    *(ROOT / name for name in ("README.md", "SECURITY.md", "CHANGELOG.md", "tests/README.md")),
    *sorted(ROOT.glob("docs/*.md")),
    *sorted(ROOT.glob("bench/**/*.md")),
]
LINK = re.compile(r"\]\(([^)\s]+)\)")
CODE = re.compile(r"^ *```.*?^ *```$", re.MULTILINE | re.DOTALL)


def text(page: Path) -> str:
    """A page without its code, where a `#` is no heading and a bracket no link."""
    return CODE.sub("", page.read_text(encoding="utf-8"))


def anchors(page: Path) -> set[str]:
    """The page's headings, as they are named in links."""
    headings = re.findall(r"^#+ (.+)$", text(page), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def broken(page: Path) -> list[str]:
    found = []
    for link in LINK.findall(text(page)):
        path, _, anchor = link.partition("#")
        target = (page.parent / path).resolve() if path else page
        if "://" in link:
            continue
        if not target.exists() or (anchor and anchor not in anchors(target)):
            found.append(link)
    return found


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_link_of_a_page_leads_somewhere(page: Path) -> None:
    assert broken(page) == []


def test_a_link_that_leads_nowhere_is_found(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text("# A `heading`\n[a](#a-heading) [b](page.md#a-heading) [c](#none) [d](none.md) [e](page.md#none)\n")
    assert broken(page) == ["#none", "none.md", "page.md#none"]
    assert sum(len(LINK.findall(text(one))) for one in PAGES) > 50
