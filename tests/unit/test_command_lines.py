"""No secret has to stand on a command line, where the process list shows it, and no page or help puts one there."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer
from rig import ROOT

from gateway.commands import cli

PAGES = [
    ROOT / "README.md",
    *sorted((ROOT / "docs").glob("*.md")),
    *(file for file in sorted((ROOT / "deploy").rglob("*")) if file.suffix in {".yaml", ".service", ".conf"}),
]
SECRET = re.compile(r"token(?!s_quota)|credential|password|key|pepper")


def commands(group: Any, path: str = "presence-gateway") -> Iterator[tuple[str, Any]]:
    """Every command of the program with its full name."""
    for name, command in group.commands.items():
        if hasattr(command, "commands"):
            yield from commands(command, f"{path} {name}")
        else:
            yield f"{path} {name}", command


COMMANDS = dict(commands(typer.main.get_command(cli.app)))


def test_every_option_that_takes_a_secret_takes_it_from_the_environment_too() -> None:
    secret = [
        (name, option)
        for name, command in COMMANDS.items()
        for option in command.params
        if option.param_type_name == "option" and SECRET.search(str(option.name))
    ]
    assert len(secret) > 2
    assert [(name, option.name) for name, option in secret if not option.envvar] == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_no_page_passes_a_secret_as_an_argument(page: Path) -> None:
    assert re.findall(r"--(?:upstream-credential|token|from-literal|requirepass|pass)[ =].*", page.read_text()) == []


@pytest.mark.parametrize("name", COMMANDS)
def test_no_help_shows_a_secret_passed_as_an_argument(name: str) -> None:
    assert re.findall(r"--(?:upstream-credential|token)[ =].*", COMMANDS[name].epilog or "") == []
