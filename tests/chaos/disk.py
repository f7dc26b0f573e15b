"""A disk so small that it can be filled; Linux, as root."""

import os
import subprocess
from pathlib import Path
from typing import Self

from chaos.network import NotPermitted

_BYTES = 8 << 20
_BLOCK = bytes(4096)


class SmallDisk:
    """A file system in memory, mounted on `folder`."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._filler = folder / "filler"

    def __enter__(self) -> Self:
        self.folder.mkdir(parents=True, exist_ok=True)
        try:
            subprocess.run(
                ["mount", "-t", "tmpfs", "-o", f"size={_BYTES}", "tmpfs", str(self.folder)],
                check=True, capture_output=True,
            )  # fmt: skip
        except (OSError, subprocess.CalledProcessError) as error:
            raise NotPermitted("mounting a small disk needs root") from error
        return self

    def __exit__(self, *_: object) -> None:
        subprocess.run(["umount", "--lazy", str(self.folder)], check=False, capture_output=True)

    def fill(self) -> None:
        """Leave no room, but in the last block of each file that is there already."""
        filler = os.open(self._filler, os.O_CREAT | os.O_WRONLY)
        try:
            while True:
                os.write(filler, _BLOCK)
        except OSError:
            return
        finally:
            os.close(filler)

    def free(self) -> None:
        self._filler.unlink()
