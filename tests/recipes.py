"""The recipes of docs/recipes.md as they stand there: a section's code, by language."""

import re

from rig import ROOT

PAGE = ROOT / "docs/recipes.md"


def codes(section: str, language: str) -> list[str]:
    """Every block of one language in a section."""
    text = PAGE.read_text(encoding="utf-8").partition(f"\n## {section}\n")[2].partition("\n## ")[0]
    found = re.findall(rf"^```{language}\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)
    assert found, section
    return found
