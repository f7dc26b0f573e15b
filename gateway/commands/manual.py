"""The end of a command's help, as in a manual page: examples to paste, and what else one looks for there."""

from collections.abc import Iterator

from rich.markup import escape

_WIDTH = 74
"""Columns that are left of a terminal's 80: a line that the terminal breaks cannot be pasted."""

_INDENT = "  "


def examples(*lines: str) -> str:
    """Lay out commands as a shell takes them, each on its own line or folded; `#` begins a remark."""
    return _section("Examples", *(shown for line in lines for shown in _shown(line)))


def manual(*examples_: str, **sections: tuple[str, ...]) -> str:
    """Follow examples with more sections; the name of one is its title, with `_` for a blank."""
    rest = [_section(name.replace("_", " ").capitalize(), *map(escape, lines)) for name, lines in sections.items()]
    return "\n".join([examples(*examples_), *rest])


def _section(title: str, *lines: str) -> str:
    # Begins with a line of its own: what is printed loses the indentation that all lines but the first have in common.
    return "\n".join(["", f"[bold]{title}[/]", *(f"{_INDENT}{line}" for line in lines)])


def _shown(line: str) -> Iterator[str]:
    if line.startswith("#"):
        yield f"[dim]{escape(line)}[/]"
        return
    while len(line) > _WIDTH:
        end = _fold_at(line)
        yield f"{escape(line[:end])} \\"
        line = f"{_INDENT}{line[end:].lstrip()}"
    yield escape(line)


def _fold_at(line: str) -> int:
    """Where a command that is too long is folded: before an option, else before a word."""
    room = _WIDTH - len(" \\")
    option = line.rfind(" --", len(_INDENT), room)
    return option if option > 0 else line.rindex(" ", len(_INDENT), room)
