"""A worker's process: `python -m fer_runtime.archive.worker DESCRIPTOR`, spoken to over that inherited connection.

It reads `Setup`, then one `Task` after the other, and sends `Ready`, and for each task `Beat`s and its `Finished`.
"""

import os
import queue
import sys
import threading
import time
from multiprocessing.connection import Connection
from typing import Any

from fer_runtime.archive import leave_pandas_out
from fer_runtime.archive.messages import Beat, Failed, Finished, Ready, Split
from fer_runtime.archive.scoring import Scorer
from fer_runtime.archive.store import open_store
from fer_runtime.archive.work import score_unit
from fer_runtime.errors import FerError

BEAT_S = 0.5  # between two signs of life


def main() -> None:
    """Serve until the other end closes."""
    leave_pandas_out()
    connection = Connection(int(sys.argv[1]))
    tasks: queue.SimpleQueue[Any] = queue.SimpleQueue()
    # A thread of its own, so that the process ends at once when its parent is killed, whatever it does just then.
    threading.Thread(target=_receive, args=(connection, tasks), daemon=True).start()
    try:
        _serve(connection, tasks)
    except FerError as error:
        connection.send(Failed(str(error)))
    except Exception as error:
        if os.environ.get("FER_EDGE_DEBUG"):
            raise
        connection.send(Failed(f"unexpected {type(error).__name__} in a worker: {error}"))


def _receive(connection: Connection, tasks: "queue.SimpleQueue[Any]") -> None:
    while True:
        try:
            tasks.put(connection.recv())
        except (EOFError, OSError):
            os._exit(0)


def _serve(connection: Connection, tasks: "queue.SimpleQueue[Any]") -> None:
    """Open the networks and score the units that come. Raises FerError."""
    setup = tasks.get()
    scorer, store = Scorer(setup.options), open_store(setup.place)
    connection.send(Ready(scorer.labels))
    while True:
        task = tasks.get()
        beat = _Beating(connection)
        found = score_unit(scorer, store, task.unit, task.refused, beat)
        connection.send(Split(found) if isinstance(found, list) else Finished(found))


class _Beating:
    """Sends signs of life, at most one in BEAT_S and one for each new file."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._next, self._place = 0.0, -1

    def __call__(self, place: int, frames: int, video_s: float, faces: int) -> None:
        now = time.monotonic()
        if place != self._place or now >= self._next:
            self._connection.send(Beat(place, frames, video_s, faces))
            self._next, self._place = now + BEAT_S, place


if __name__ == "__main__":
    main()
