"""`make site`: one searchable site of the pages, which needs no network and in which no link is broken."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from playwright.async_api import Page, expect
from rig import ROOT

LOADED = re.compile(r"<(?:script|link|img|iframe|source)\b[^>]*\b(?:src|href)=[\"']?((?:https?:)?//[^\"'> ]+)")
STYLED = re.compile(r"(?:url\([\"']?|@import [\"'])((?:https?:)?//[^\"')]+)")


def build(tree: Path, to: Path) -> "subprocess.CompletedProcess[str]":
    command = [sys.executable, str(tree / "docs/site/build.py"), "--to", str(to)]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    to = tmp_path_factory.mktemp("built") / "site"
    done = build(ROOT, to)
    assert done.returncode == 0, done.stdout + done.stderr
    return to


@pytest.fixture(scope="module")
def pages(site: Path) -> list[Path]:
    return sorted(site.rglob("*.html"))


def test_every_page_is_in_it_under_its_name(site: Path) -> None:
    pages = [*ROOT.glob("docs/*.md"), ROOT / "CHANGELOG.md", ROOT / "SECURITY.md"]
    assert [page for page in pages if not (site / page.relative_to(ROOT)).with_suffix(".html").exists()] == []
    start = (site / "index.html").read_text(encoding="utf-8")
    missing = [page.name for page in pages if str(page.relative_to(ROOT).with_suffix(".html")) not in start]
    assert missing == [], "not in the navigation (docs/site/zensical.toml)"


def test_nothing_in_it_is_loaded_from_elsewhere(site: Path, pages: list[Path]) -> None:
    sheets = list(site.rglob("*.css"))
    assert len(pages) > 15
    assert sheets
    assert [found for page in pages for found in LOADED.findall(page.read_text(encoding="utf-8"))] == []
    assert [found for sheet in sheets for found in STYLED.findall(sheet.read_text(encoding="utf-8"))] == []


@pytest.mark.parametrize("link", ["docs/none.md", "docs/api.md#none"])
def test_a_broken_link_fails_the_build(tmp_path: Path, link: str) -> None:
    tree = tmp_path / "tree"
    for part in ("docs", "bench", "README.md", "CHANGELOG.md", "SECURITY.md", "LICENSE", "tests/README.md"):
        (tree / part).parent.mkdir(parents=True, exist_ok=True)
        (shutil.copytree if (ROOT / part).is_dir() else shutil.copy)(ROOT / part, tree / part)
    with (tree / "README.md").open("a", encoding="utf-8") as readme:
        readme.write(f"\n[nowhere]({link})\n")
    done = build(tree, tmp_path / "site")
    assert done.returncode != 0
    assert "README.md" in done.stdout + done.stderr
    assert not (tmp_path / "site").exists()


async def test_it_is_searched_from_its_folder_and_asks_nobody(site: Path, page: Page) -> None:
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    for name in ("docs/operations.html", "bench/results/results.html", "index.html"):
        await page.goto((site / name).as_uri())
    await page.keyboard.press("/")
    await page.keyboard.type("BASE_WEBHOOK_URL")
    await expect(page.get_by_role("option", name="wwebjs").first).to_be_visible(timeout=15_000)
    assert [url for url in asked if not url.startswith(("file:", "data:", "blob:"))] == []
