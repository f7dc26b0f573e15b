"""`make pictures` still finds on the real pages what it takes pictures of."""

import subprocess
import sys
from pathlib import Path

import images
import pytest
from installation import outside_environment
from PIL import Image
from rig import ROOT


@pytest.mark.timeout(90)
@pytest.mark.usefixtures("chromium_program")
def test_every_picture_of_a_page_is_taken(tmp_path: Path) -> None:
    environ = outside_environment() | {"PYTHONPATH": str(ROOT / "tests")}
    command = [sys.executable, str(ROOT / "bench/take_pictures.py"), "--to", str(tmp_path)]
    done = subprocess.run(command, env=environ, capture_output=True, text=True, timeout=80, check=False)
    assert done.returncode == 0, done.stderr
    assert {file.name for file in tmp_path.iterdir()} == set(images.OF_PAGES)
    for file in tmp_path.iterdir():
        with Image.open(file) as picture:
            assert picture.width == 1500
            assert len(picture.convert("RGB").getcolors(1_000_000) or []) > 30, "an empty page has few colours"
