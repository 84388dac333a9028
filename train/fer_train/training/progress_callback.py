"""What a run reports its progress to."""


class ProgressCallback:
    """Called as a run goes on; fit's command shows a progress bar."""

    def begin(self, task: str, total: int, done: int) -> None:
        """`task` takes `total` steps, of which `done` lie behind it."""

    def advance(self) -> None:
        """One more step is done."""

    def say(self, line: str) -> None:
        """A line to print."""
