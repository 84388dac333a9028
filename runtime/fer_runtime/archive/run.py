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
from fer_runtime.archive.pool import Pool, Progress, Scored
from fer_runtime.archive.store import Store
from fer_runtime.archive.units import Part
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


def score_all(ledger: Ledger, files: list[SourceFile], pool: Pool, on_progress: OnProgress) -> None:
    """Score what is not finished, part by part. Raises FerError; what is finished until then stays."""
    parts, staged = ledgers.plan_rest(ledger, files)
    left = {part.name: {unit.id for unit in part.units} - staged for part in parts}
    owner = {unit.id: part for part in parts for unit in part.units}
    waiting = deque(unit for part in parts for unit in part.units if unit.id not in staged)
    state = State(Counts(files=sum(len(unit.files) for unit in waiting), bytes=sum(unit.bytes for unit in waiting)))
    for part in parts:
        if not left[part.name]:
            _finish(ledger, part)
    running = 0
    while waiting or running:
        while waiting and running < pool.slots:
            pool.submit(waiting.popleft())
            running += 1
        for event in pool.wait():
            if isinstance(event, Progress):
                state.running[event.unit.id] = event.so_far
                continue
            running -= 1
            _count(state, event)
            part = owner[event.unit.id]
            left[part.name].discard(event.unit.id)
            if not left[part.name]:
                _finish(ledger, part)
        on_progress(state)
    ledgers.sweep(ledger.store)


def _count(state: State, event: Scored) -> None:
    state.running.pop(event.unit.id, None)
    state.done += event.counts


def _finish(ledger: Ledger, part: Part) -> None:
    sources = ledgers.merge(ledger.store, part.name, [unit.id for unit in part.units])
    ledger.take(part.name, sources)


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
