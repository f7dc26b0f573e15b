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


def print_created(what: str, created: Created, more: Mapping[str, str], *, as_json: bool) -> None:
    """Print something new and its token."""
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


def when(instant_s: object) -> str:
    """Word a Unix second for a table."""
    if not isinstance(instant_s, (int, float)):
        return ""
    return datetime.fromtimestamp(instant_s, UTC).strftime("%Y-%m-%d %H:%M:%S")


def _console() -> Console:
    console = Console(highlight=False)
    return console if console.is_terminal else Console(highlight=False, width=_PAPER_WIDTH)
