"""Every command's help is a page of a manual: all that was written is shown, and its examples are its own and parse."""

import shlex
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import typer
from rich.text import Text
from terminal import Run

from gateway.commands import cli

WIDTH = 80  # a terminal's columns


def found(command: Any, name: str = "presence-gateway") -> dict[str, Any]:
    """A command and all below it, by full name."""
    below = getattr(command, "commands", {})
    return {name: command} | {
        each: it for word, one in below.items() for each, it in found(one, f"{name} {word}").items()
    }


PROGRAM = typer.main.get_command(cli.app)
COMMANDS = found(PROGRAM)
every_command = pytest.mark.parametrize("name", COMMANDS)


def example_lines(command: Any) -> list[str]:
    """What stands under `Examples`, as a shell reads it: remarks left out, folded lines joined."""
    shown = Text.from_markup(command.epilog or "").plain
    section = shown.partition("Examples\n")[2].partition("\n\n")[0]
    lines = section.replace("\\\n", " ").splitlines()
    return [line.strip() for line in lines if not line.strip().startswith("#")]


def split(line: str) -> tuple[dict[str, str], list[str]]:
    """The variables that a line sets, and the command that it runs."""
    words = shlex.split(line.removeprefix("(umask 077; ").partition(" >")[0])
    sets = dict(word.split("=", 1) for word in words if word.startswith("PRESENCE_"))
    return sets, [word for word in words if word != "export" and not word.startswith("PRESENCE_")]


@pytest.fixture
def parse(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[[list[str]], str]:
    """Says which command would run; a line that it does not take raises."""
    reached: list[str] = []

    def note(name: str) -> Callable[..., None]:
        return lambda **_: reached.append(name)

    for name, command in COMMANDS.items():
        if not hasattr(command, "commands"):
            monkeypatch.setattr(command, "callback", note(name))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))  # the example that installs, installs
    (tmp_path / "tenants.ndjson").touch()

    def parse_one(arguments: list[str]) -> str:
        try:
            PROGRAM.main(arguments, prog_name="presence-gateway", standalone_mode=False)
        except SystemExit as end:
            assert end.code == 0
            return "presence-gateway"
        return reached.pop()

    return parse_one


@every_command
def test_it_has_examples_of_its_own_and_all_of_them_parse(
    name: str, parse: Callable[[list[str]], str], monkeypatch: pytest.MonkeyPatch
) -> None:
    own = 0
    for line in example_lines(COMMANDS[name]):
        sets, (*command,) = split(line)
        for variable, value in sets.items():
            monkeypatch.setenv(variable, value)
        if command:
            assert command[0] == "presence-gateway", line
            own += f"{parse(command[1:])} ".startswith(f"{name} ")
    assert own > 0, "it has no example of its own"


def test_a_wrong_example_is_noticed(parse: Callable[[list[str]], str]) -> None:
    for arguments, wrong in {
        ("acount", "list"): "acount",
        ("account", "create"): "Missing parameter: name",
        ("serve", "--proceses", "2"): "--proceses",
        ("sandbox", "--port", "x"): "valid integer",
    }.items():
        with pytest.raises(Exception, match=wrong):
            parse([*arguments])


@every_command
def test_all_that_was_written_is_shown_in_a_terminal_of_80_columns(name: str, run: Run) -> None:
    page = run(*name.split()[1:], "--help").out
    command = COMMANDS[name]
    written = [
        command.help or "",
        *(getattr(param, "help", None) or "" for param in command.params if not param.hidden),
    ]
    shown = " ".join(page.replace("│", " ").split())
    for word in " ".join(written).split():
        assert word in shown, word
    assert max(map(len, page.splitlines())) <= WIDTH
    for line in Text.from_markup(command.epilog).plain.splitlines():
        assert line.rstrip() in page, line  # on one line, as it is pasted
