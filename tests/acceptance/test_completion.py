"""Tab completes our commands in real shells, once `presence-gateway --install-completion` was run in them."""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pexpect
import pytest

PATIENCE_S = 30.0
READY = "\x1b[?2004h"  # every shell says so before it reads a line: what is pasted is to be marked
TO_LINE_START, CLEAR_LINE = "\x01", "\x15"  # control-A and -U

SHELLS = {"bash": "", "zsh": f"presence-gateway \t{CLEAR_LINE}", "fish": ""}
"""What is typed first: zsh loads the completion of a command at the first Tab, and uses it from the second on."""


_TO_END_S = 0.5
"""Given to a shell after each signal, before the next: a tenth of a second is little on a busy machine."""


@contextmanager
def opened(shell: str, home: Path) -> Iterator["pexpect.spawn[str]"]:
    """A shell in a terminal, as its user finds it."""
    programs = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    environ = {"HOME": str(home), "PATH": programs, "TERM": "xterm", "LANG": "C.UTF-8"}
    terminal = pexpect.spawn(shell, ["-i"], env=environ, encoding="utf-8", timeout=PATIENCE_S, dimensions=(24, 400))
    terminal.delayafterterminate = _TO_END_S
    try:
        terminal.expect_exact(READY)
        yield terminal
    finally:
        terminal.terminate(force=True)
        terminal.close()


def completed(terminal: "pexpect.spawn[str]", typed: str, expected: str) -> None:
    """Type, and look at what the line has become: each of its words is printed on a line of its own."""
    words = "\r\n".join(expected.split())
    # `printed` is not among what is typed, which a terminal shows too.
    terminal.send(f"{typed}{TO_LINE_START}printf '%s\\n' print'ed' \r")
    terminal.expect_exact(f"printed\r\n{words}\r\n")
    terminal.expect_exact(READY)


@pytest.fixture(params=SHELLS)
def terminal(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator["pexpect.spawn[str]"]:
    """One that was opened after the completion was installed."""
    with opened(request.param, tmp_path) as first:
        first.send("presence-gateway --install-completion\r")
        first.expect_exact("completion installed in")
        first.expect_exact("Completion will take effect")
    with opened(request.param, tmp_path) as second:
        second.send(SHELLS[request.param])
        yield second


def test_tab_completes_commands_options_and_what_they_take(terminal: "pexpect.spawn[str]") -> None:
    completed(terminal, "presence-gateway acc\tlis\t", "presence-gateway account list")
    completed(terminal, "presence-gateway serve --proc\t", "presence-gateway serve --processes")
    completed(
        terminal,
        "presence-gateway instance create acme sales --upstream-kind wah\t",
        "presence-gateway instance create acme sales --upstream-kind waha",
    )
    completed(
        terminal,
        "presence-gateway send sales 5511999999999 rec\t",
        "presence-gateway send sales 5511999999999 recording",
    )
