"""Who is told how a run goes."""


class Watcher:
    """Told how a run goes; fit's command shows it as a progress bar."""

    def begin(self, task: str, total: int, done: int) -> None:
        """`task` takes `total` steps, of which `done` lie behind it."""

    def advance(self) -> None:
        """One more step is done."""

    def say(self, line: str) -> None:
        """A line for the reader."""
