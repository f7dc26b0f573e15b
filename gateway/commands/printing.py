"""How commands print: JSON for scripts, tables for people, and a new token where it cannot be missed."""

import json
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Annotated

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from gateway.tenants.directory import Created

Json = Annotated[bool, typer.Option("--json", help="Print JSON, for scripts.")]

Confirm = Annotated[
    str | None, typer.Option(metavar="NAME", help="The name again; without it you are asked.", show_default=False)
]

_PAPER_WIDTH = 300
"""Columns; what is not a terminal has no edge to wrap at."""

_INSTANTS = {"at", "created", "last_used", "expires"}
"""Keys of what is listed that hold Unix seconds."""


def print_json(value: object) -> None:
    """Print one JSON document."""
    typer.echo(json.dumps(value, indent=2))


def print_table(columns: Sequence[str], rows: Sequence[Sequence[object]], *, empty: str) -> None:
    """Print rows under their columns, or the sentence `empty`."""
    console = _console()
    if not rows:
        console.print(empty)
        return
    table = Table(box=None, header_style="bold", pad_edge=False)
    for column in columns:
        table.add_column(column, overflow="fold")
    for row in rows:
        table.add_row(*(escape(str(cell)) for cell in row))
    console.print(table)


def print_list(
    name: str,
    shown: Sequence[Mapping[str, object]],
    columns: Sequence[str],
    *,
    empty: str,
    as_json: bool,
    blank: str = "",
) -> None:
    """Print things under their name as JSON, or these columns of them as a table, with `blank` for what they lack."""
    if as_json:
        print_json({name: shown})
        return
    rows = [[_cell(column, one[column], blank) for column in columns] for one in shown]
    print_table(columns, rows, empty=empty)


def print_created(what: str, created: Created, *, as_json: bool, **more: str) -> None:
    """Print something new and its token; `more` of it as JSON."""
    if as_json:
        print_json({"id": created.id, "name": created.name, "token": created.token, **more})
        return
    console = _console()
    named = f" [bold]{escape(created.name)}[/]" if created.name else ""
    console.print(f"{what}{named} is made (id {created.id}). Its token, shown this once:")
    console.print(f"[bold]{escape(created.token)}[/]", soft_wrap=True)


def print_done(sentence: str, facts: Mapping[str, object], as_json: bool) -> None:  # noqa: FBT001 - always the same name
    """Print what was done."""
    if as_json:
        print_json(facts)
    else:
        typer.echo(sentence)


def confirmed(name: str, given: str | None) -> None:
    """Ask for the name of what will be deleted, unless it was given.

    Raises:
        BadParameter: it is another name.
    """
    again = typer.prompt(f"This cannot be undone. Type {name} to delete it") if given is None else given
    if again != name:
        raise typer.BadParameter(f"is {again}, not {name}; nothing is deleted", param_hint="--confirm")


def _cell(column: str, value: object, blank: str) -> object:
    if value is None or value == "":
        return blank
    if column in _INSTANTS and isinstance(value, (int, float)):
        return datetime.fromtimestamp(value, UTC).strftime("%Y-%m-%d %H:%M:%S")
    return value


def _console() -> Console:
    console = Console(highlight=False)
    return console if console.is_terminal else Console(highlight=False, width=_PAPER_WIDTH)
