"""How far a run is, in words: files, hours of video, faces, and the time that is left."""

import time

from fer_runtime.archive.run import State
from fer_runtime.archive.work import Counts


class ProgressLine:
    """The line for a terminal; the time that is left goes by bytes, as hours are known only afterwards."""

    def __init__(self) -> None:
        self._started = time.monotonic()

    def __call__(self, state: State) -> str:
        """The line for this moment."""
        seconds = time.monotonic() - self._started
        now = sum(state.running.values(), state.done)
        parts = [
            f"{state.done.files:,} of {state.total.files:,} files",
            f"{now.video_s / 3600:.2f} h of video ({now.video_s / max(seconds, 1e-9):.1f} x real time)",
            f"{now.faces:,} faces",
        ]
        if state.done.failed:
            parts.insert(1, f"{state.done.failed:,} with errors")
        if left := _seconds_left(state.done, state.total, seconds):
            parts.append(f"{_clock(left)} left")
        return ", ".join(parts)


def _seconds_left(done: Counts, total: Counts, seconds: float) -> float | None:
    """By the bytes that are done; None while nothing is."""
    return seconds * (total.bytes - done.bytes) / done.bytes if done.bytes else None


def _clock(seconds: float) -> str:
    minutes, left = divmod(round(seconds), 60)
    return f"{minutes // 60}:{minutes % 60:02}:{left:02}"
