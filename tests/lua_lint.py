"""Runs luacheck over every script as Redis gets it, composed of the files that it needs; 1 where it complains.

What a file declares for others is dead only where no script at all uses it.
"""

import re
import subprocess
import sys
import tempfile
from collections import Counter
from pathlib import Path

from gateway.store.redis import _source

ROOT = Path(__file__).resolve().parents[1]
_UNUSED = re.compile(r"\((?:W211|W231)\) (?:unused )?\w+ '(\w+)'")


def composed(folder: Path) -> list[str]:
    """Write every script whole into the folder; their texts."""
    texts = []
    for file in sorted(ROOT.glob("gateway/*/lua/*.lua")):
        room, name = file.parts[-3], file.stem
        texts.append(_source(f"{room}/{name}"))
        (folder / f"{room}-{name}.lua").write_text(texts[-1])
    return texts


def complaints(folder: Path) -> list[str]:
    """What luacheck says of the folder, a line each."""
    command = ["luacheck", "--config", str(ROOT / ".luacheckrc"), "--codes", "--formatter", "plain", "."]
    said = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    assert said.returncode < 3, said.stdout + said.stderr
    return said.stdout.splitlines()


def is_dead(name: str, reports: int, texts: list[str]) -> bool:
    """Whether every script that has the name was said not to use it."""
    declaration = re.compile(rf"^local (?:function )?[\w, ]*\b{name}\b", re.MULTILINE)
    return reports >= sum(bool(declaration.search(text)) for text in texts)


def main() -> None:
    with tempfile.TemporaryDirectory() as name:
        texts = composed(Path(name))
        lines = complaints(Path(name))
    unused = Counter(found[1] for line in lines if (found := _UNUSED.search(line)))
    dead = {name for name, reports in unused.items() if is_dead(name, reports, texts)}
    bad = [line for line in lines if not (found := _UNUSED.search(line)) or found[1] in dead]
    sys.stdout.write("\n".join([*bad, f"Lua: {len(texts)} scripts, {len(bad)} complaints."]) + "\n")
    sys.exit(bool(bad))


if __name__ == "__main__":
    main()
