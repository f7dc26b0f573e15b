"""Writes the rooms and the first line of each module into docs/architecture.md, so that the page reads like the tree.

python docs/architecture.py > architecture.md
"""

import ast
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PAGE = ROOT / "docs/architecture.md"
BEGINS, ENDS = "<!-- rooms: made by `make docs` -->\n", "<!-- /rooms -->\n"


def page() -> str:
    """Return the page with the rooms as they are now."""
    written = PAGE.read_text(encoding="utf-8")
    head, tail = written.split(BEGINS)[0], written.split(ENDS)[1]
    return f"{head}{BEGINS}\n```text\n{''.join(_rooms())}```\n\n{ENDS}{tail}"


def _rooms() -> Iterator[str]:
    for room in sorted((ROOT / "gateway").iterdir(), key=lambda path: (path.is_file(), path.name)):
        if room.is_dir() and room.name != "__pycache__":
            yield f"gateway/{room.name}/  {_first_line(room / '__init__.py')}\n"
            yield from _modules(room)
        elif room.suffix == ".py" and room.stem.strip("_") == room.stem:
            yield f"gateway/{room.name}  {_first_line(room)}\n"
    yield f"workers/  {_first_line(ROOT / 'workers/__init__.py')}\n"
    yield from _modules(ROOT / "workers")


def _modules(room: Path) -> Iterator[str]:
    for module in sorted(room.glob("*.py")):
        if module.stem.strip("_") == module.stem:
            yield f"    {module.stem:18} {_first_line(module)}\n"
    for inner in sorted(path.parent for path in room.glob("*/__init__.py")):
        yield f"    {inner.name + '/':18} {_first_line(inner / '__init__.py')}\n"


def _first_line(module: Path) -> str:
    return (ast.get_docstring(ast.parse(module.read_text(encoding="utf-8"))) or "").partition("\n")[0]


if __name__ == "__main__":
    print(page(), end="")  # noqa: T201 - its output is the page
