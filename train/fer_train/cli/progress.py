"""How fit's progress looks in a terminal."""

from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

from fer_train.training.progress_callback import ProgressCallback


class Bar(ProgressCallback):
    """A progress bar on stderr; lines appear above it."""

    def __init__(self, progress: Progress) -> None:
        self._progress = progress
        self._task: TaskID | None = None

    def begin(self, task: str, total: int, done: int) -> None:
        """A bar for `task`, in the place of the one before it."""
        if self._task is not None:
            self._progress.remove_task(self._task)
        self._task = self._progress.add_task(task, total=total, completed=done)

    def advance(self) -> None:
        """Move the bar by one step."""
        assert self._task is not None
        self._progress.advance(self._task)

    def say(self, line: str) -> None:
        """Print `line` above the bar."""
        self._progress.console.print(line, highlight=False, soft_wrap=True)


@contextmanager
def shown() -> Iterator[ProgressCallback]:
    """A Bar for as long as the context is open."""
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=Console(stderr=True)) as progress:
        yield Bar(progress)
