"""From the listed files to the finished dataset: the plan, the workers, the parts."""

import fcntl
import os
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from fer_runtime.archive import ledger as ledgers
from fer_runtime.archive.inputs import SourceFile
from fer_runtime.archive.ledger import Ledger
from fer_runtime.archive.pool import Limits, Pieces, Pool, Progress
from fer_runtime.archive.store import Store
from fer_runtime.archive.units import Part, Unit
from fer_runtime.archive.work import Counts
from fer_runtime.errors import FerError

OnProgress = Callable[["State"], None]


@dataclass
class State:
    """How far a run is."""

    total: Counts
    """Files and bytes that there are to do."""
    done: Counts = field(default_factory=Counts)
    """In this run, in finished units."""
    running: dict[str, Counts] = field(default_factory=dict)
    """What is known of units that are being scored, by id: of the file that each is at."""


def score_all(ledger: Ledger, files: list[SourceFile], pool: Pool, on_progress: OnProgress, limits: Limits) -> None:
    """Score what is not finished, part by part. Raises FerError; what is finished until then stays.

    limits: the pool's; files that narrower ones have given up are tried again.
    """
    parts, staged = ledgers.plan_rest(ledger, files, limits)
    waiting = deque(unit for part in parts for unit in part.units if unit.id not in staged)
    state = State(Counts(files=sum(len(unit.files) for unit in waiting), bytes=sum(unit.bytes for unit in waiting)))
    progress = [_PartProgress(part, staged) for part in parts]
    owner = {unit.id: each for each in progress for unit in each.part.units}
    for each in progress:
        each.finish(ledger)
    running = 0
    while waiting or running:
        while waiting and running < pool.slots:
            pool.submit(waiting.popleft())
            running += 1
        for event in pool.wait():
            part = owner[event.unit.id]
            if isinstance(event, Progress):
                state.running[event.unit.id] = event.so_far
                continue
            running -= 1
            state.running.pop(event.unit.id, None)
            if isinstance(event, Pieces):
                part.replace(event.unit, event.pieces)
                owner |= {piece.id: part for piece in event.pieces}
                waiting.extendleft(piece for piece in reversed(event.pieces) if piece.id not in staged)
            else:
                state.done += event.counts
                part.left.discard(event.unit.id)
            part.finish(ledger)
        on_progress(state)
    ledgers.sweep(ledger.store)


class _PartProgress:
    """A part, and which of its units are to be scored yet."""

    def __init__(self, part: Part, staged: set[str]) -> None:
        self.part, self._staged = part, staged
        self._pieces: dict[str, list[Unit]] = {}  # of long videos, by the id of the whole
        self.left = {unit.id for unit in part.units} - staged

    def replace(self, whole: Unit, pieces: list[Unit]) -> None:
        """Take the pieces of a long video in its place."""
        self._pieces[whole.id] = pieces
        self.left.discard(whole.id)
        self.left |= {piece.id for piece in pieces} - self._staged

    def finish(self, ledger: Ledger) -> None:
        """Write the part, if all is there."""
        if not self.left:
            units = [[piece.id for piece in self._pieces.get(unit.id, [unit])] for unit in self.part.units]
            ledger.take(self.part.name, ledgers.merge(ledger.store, self.part.name, units))


@contextmanager
def alone(store: Store) -> Iterator[None]:
    """Hold a folder of results for one run at a time. Raises FerError where another has it."""
    folder = Path(store.place)
    if not folder.is_dir():  # a URL: there is no lock that all object stores have
        yield
        return
    handle = os.open(folder / ".lock", os.O_RDWR | os.O_CREAT, 0o666)
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise FerError(
                f"another fer-score writes into {store.place}: wait for its end, or give another --out"
            ) from None
        except OSError:  # some network file systems have no locks
            pass
        yield
    finally:
        os.close(handle)
