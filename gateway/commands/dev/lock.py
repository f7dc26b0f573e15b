"""One runner for each data folder: a lock that the kernel drops when the runner ends, however it ends."""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from gateway.commands.errors import CommandFailed


@contextmanager
def locked(folder: Path) -> Iterator[bool]:
    """Hold the folder inside the block; yields whether the last runner was killed, and may have left something.

    The file holds the runner's pid while it runs, and nothing after a clean end.

    Raises:
        CommandFailed: another runner holds it.
    """
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    with (folder / "lock").open("a+", encoding="ascii") as file:
        file.seek(0)
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise CommandFailed(
                f"the data folder {folder} is in use by another presence-gateway (pid {file.read().strip()}); "
                "stop that one, or choose another folder with --data"
            ) from error
        was_killed = bool(file.read())
        _rewrite(file.fileno(), str(os.getpid()))
        try:
            yield was_killed
        finally:
            _rewrite(file.fileno(), "")


def _rewrite(descriptor: int, text: str) -> None:
    os.ftruncate(descriptor, 0)
    os.pwrite(descriptor, text.encode(), 0)
