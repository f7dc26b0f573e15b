"""The packages of a release: built with the last commit's time in them, and installed into an empty environment."""

import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from installation import ROOT, outside_environment

PINNED = ROOT / "deploy" / "requirements.lock"


@dataclass(frozen=True)
class Packages:
    """What is uploaded."""

    wheel: Path
    sdist: Path

    @classmethod
    def of(cls, folder: Path) -> "Packages":
        """Those in a folder, which holds nothing else."""
        (wheel,), (sdist,) = folder.glob("*.whl"), folder.glob("*.tar.gz")
        return cls(wheel, sdist)


def build(into: Path, source: Path = ROOT) -> Packages:
    """Build both; whoever builds the same commit gets the same bytes."""
    command = [sys.executable, "-m", "hatchling", "build", "--directory", str(into)]
    subprocess.run(command, cwd=source, env=os.environ | _committed(), check=True, capture_output=True)
    return Packages.of(into)


def _committed() -> dict[str, str]:
    """When the last commit was made, for a builder; it has a date of its own where there is no repository."""
    command = ["git", "log", "-1", "--format=%ct"]
    found = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    return {"SOURCE_DATE_EPOCH": found.stdout.strip()} if found.returncode == 0 else {}


def install(packages: Packages, folder: Path, extra: str = "") -> Path:
    """Make an environment of the wheel, its dependencies as they are pinned, and nothing else; return its `bin`."""
    _uv("venv", "--python", sys.executable, str(folder))
    wanted = f"presence-gateway{extra} @ {packages.wheel.as_uri()}"
    _uv("pip", "install", "--python", str(folder / "bin" / "python"), "--constraint", str(PINNED), wanted)
    return folder / "bin"


def _uv(*arguments: str) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "uv", "--quiet", *arguments], env=outside_environment(), capture_output=True, check=False
    )
    assert done.returncode == 0, done.stderr
