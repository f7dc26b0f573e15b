"""The pictures that the README and the pages show: their names, and how they are kept small."""

import io
from pathlib import Path

from PIL import Image
from rig import ROOT

FOLDER = ROOT / "docs/images"

OF_PAGES = ("phone-shows.png", "phone-ended.png", "console-shows.png", "console-ended.png")
"""What `take_pictures.py` takes of the real pages."""

OF_DASHBOARD = ("dashboard.png", "promise.png")
"""What `draw_panels.py` draws: every panel, and those that say whether the promise is kept."""

_COLOURS = 256
"""As many say as much about pages and lines as millions do, in a quarter of the bytes."""


def save(taken: bytes, file: Path) -> None:
    """Write a PNG with a palette of its own."""
    with Image.open(io.BytesIO(taken)) as picture:
        small = picture.convert("RGB").quantize(_COLOURS, Image.Quantize.FASTOCTREE, dither=Image.Dither.NONE)
    file.parent.mkdir(parents=True, exist_ok=True)
    small.save(file, optimize=True)
