"""What is written reaches the disk within seconds, so that a power cut costs no more than those."""

import contextlib
import os
import threading
import time
from pathlib import Path

FLUSH_S = 5.0  # Linux by itself keeps new data in memory for 30 seconds and more


class Flusher:
    """Has the system write a growing file's new data to its disk, in a thread: a memory card may take a second."""

    def __init__(self) -> None:
        self._next = time.monotonic() + FLUSH_S
        self._thread: threading.Thread | None = None

    def after_write(self, path: Path) -> None:
        """To be called after each write: flushes `path` when FLUSH_S have passed since the last time."""
        if time.monotonic() < self._next or (self._thread and self._thread.is_alive()):
            return
        self._next = time.monotonic() + FLUSH_S
        self._thread = threading.Thread(target=_flush, args=[path], name="flush", daemon=True)
        self._thread.start()


def _flush(path: Path) -> None:
    with contextlib.suppress(OSError):  # removed meanwhile; a failing disk fails the next write too
        if path.is_file():  # and not a pipe, to whose writer this would be a reader
            with path.open("rb") as file:
                os.fsync(file)
