"""How the runner says that commands are called: as it was itself, and for the data folder that it runs on."""

import os
from pathlib import Path

import pytest

from gateway.commands.dev import banner


@pytest.fixture
def clone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with the program in it, where somebody stands."""
    program = tmp_path / ".venv/bin/presence-gateway"
    program.parent.mkdir(parents=True)
    program.touch(mode=0o755)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PATH", "")
    return program


@pytest.mark.parametrize(
    ("called", "data", "told"),
    [
        (".venv/bin/presence-gateway", "data", ".venv/bin/presence-gateway"),
        (".venv/bin/presence-gateway", "second", ".venv/bin/presence-gateway --data second"),
        (".venv/bin/presence-gateway", "my data", ".venv/bin/presence-gateway --data 'my data'"),
        ("gateway/__main__.py", "data", "presence-gateway"),
    ],
)
def test_a_command_is_called_as_the_runner_was(
    clone: Path, monkeypatch: pytest.MonkeyPatch, called: str, data: str, told: str
) -> None:
    monkeypatch.setattr("sys.argv", [called, "dev"])
    assert banner._program(Path(data)) == told


def test_on_the_path_its_name_is_enough(clone: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", os.fspath(clone.parent))
    monkeypatch.setattr("sys.argv", [os.fspath(clone), "dev"])
    assert banner._program(Path("data")) == "presence-gateway"
