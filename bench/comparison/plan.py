"""What one run was asked for, and its progress on the terminal."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeElapsedColumn, TimeRemainingColumn


@dataclass(frozen=True)
class Plan:
    """The options, and a folder for everything that is started."""

    folder: Path
    console: Console
    stacks: Sequence[str]
    rounds: int
    seconds: float
    rate: float
    owed: int
    owed_within_s: float

    def room(self, name: str) -> Path:
        """Return a new folder inside the run's own."""
        folder = self.folder / f"{name}-{len(list(self.folder.iterdir()))}"
        folder.mkdir()
        return folder

    @contextmanager
    def steps(self, part: str, count: int) -> Iterator["Steps"]:
        """Show the progress of a part of so many steps."""
        columns = TextColumn("{task.description:44}"), BarColumn(), TimeElapsedColumn(), TimeRemainingColumn()
        with Progress(*columns, console=self.console, refresh_per_second=2) as progress:
            yield Steps(progress, progress.add_task(part, total=count), part)


@dataclass(frozen=True)
class Steps:
    """A part's bar."""

    progress: Progress
    task: TaskID
    part: str

    def begin(self, what: str) -> None:
        """Say what is measured now."""
        self.progress.update(self.task, description=f"{self.part}: {what}")

    def done(self) -> None:
        """Count one step."""
        self.progress.advance(self.task)
