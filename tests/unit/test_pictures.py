"""The README's pictures: there, small, and those that `make pictures` makes."""

import re

import images
from rig import ROOT

README = (ROOT / "README.md").read_text(encoding="utf-8")
SHOWN = re.findall(r"!\[[^\]]+\]\(docs/images/([^)]+)\)", README)
MOST_BYTES = 1_000_000


def test_the_readme_shows_what_the_command_makes() -> None:
    assert sorted(SHOWN) == sorted([*images.OF_PAGES, images.OF_DASHBOARD[-1]])
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    assert re.search(r"^pictures: panels .*\n\t.* bench/take_pictures\.py", makefile, re.MULTILINE)
    assert re.search(r"^panels: .*\n\t.* bench/draw_panels\.py", makefile, re.MULTILINE)


def test_no_picture_is_there_that_nothing_makes() -> None:
    made = {*images.OF_PAGES, *images.OF_DASHBOARD}
    assert {file.name for file in images.FOLDER.glob("*.png")} == made
    assert sum((images.FOLDER / name).stat().st_size for name in made) < MOST_BYTES


def test_the_first_command_and_the_first_picture_are_on_the_first_screen() -> None:
    lines = README.splitlines()
    assert lines.index("$ make run") < 15
    assert next(number for number, line in enumerate(lines) if "docs/images/" in line) < 20
