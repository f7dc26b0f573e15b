"""Builds the pages into one searchable site that needs no network, from a server or from its folder.

    make site

The pages are laid out as they stand in the tree, so that their links among each other hold in both; a broken one, or
one to a heading that is not there, fails the build.
"""

import argparse
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
CONFIG = ROOT / "docs/site/zensical.toml"
PAGES = (
    "README.md",
    "CHANGELOG.md",
    "SECURITY.md",
    "LICENSE",
    "docs/*.md",
    "bench/*.md",
    "bench/results/*.md",
    "tests/README.md",
)
SHOWN = ("docs/images/*", "bench/results/*.svg", "docs/site/*.js")


def parts() -> Iterator[Path]:
    """Every file that the site is made of, by its path in the tree."""
    for pattern in PAGES + SHOWN:
        yield from (file.relative_to(ROOT) for file in ROOT.glob(pattern))


def build(to: Path) -> None:
    """Build the site into a folder, in place of what was there; exits with the builder's words where it fails."""
    with tempfile.TemporaryDirectory() as folder:
        stage = Path(folder)
        shutil.copy(CONFIG, stage)
        for part in parts():
            copy = stage / "pages" / part
            copy.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / part, copy)
        done = subprocess.run(
            [sys.executable, "-m", "zensical", "build", "--strict", "--clean"], cwd=stage, check=False
        )
        if done.returncode:
            sys.exit("The site is not built: see above.")
        (stage / "site/404.html").unlink()  # asks for everything at the root of a server
        shutil.rmtree(to, ignore_errors=True)
        shutil.move(stage / "site", to)


def main() -> None:
    """Build it where it is asked for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--to", type=Path, default=ROOT / "site", help="the folder, replaced as a whole")
    build(parser.parse_args().to)


if __name__ == "__main__":
    main()
