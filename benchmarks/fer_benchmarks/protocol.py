"""The protocol between fer-bench and the process of a model under test: one JSON object per line in, one per line out.

It needs numpy alone, so that a peer's worker can use it in an environment of its own (docs/benchmarks.md).
"""

import json
import os
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, TextIO

import numpy as np
from numpy.typing import NDArray

SCORE_BATCH = 64  # faces at once when scoring

# Face crops as a camera's frame gives them, uint8 [n, h, w] grey or [n, h, w, 3] BGR -> probabilities [n, classes].
Predict = Callable[[NDArray[np.uint8]], NDArray[np.floating[Any]]]


@dataclass(frozen=True)
class Ready:
    """A worker's first line: the classifier is loaded and has run once."""

    load_ms: float
    first_ms: float
    """Of the first call."""


@dataclass(frozen=True)
class Block:
    """The reply to a request for timed calls."""

    ms: list[float]
    """One number per call."""
    cpu_ms: float
    """Processor time per call, the mean."""
    peak_memory_bytes: int | None
    """Largest resident memory of the process so far; None where the system does not report it."""


@dataclass(frozen=True)
class Scored:
    """The reply to a request for a file of crops."""

    probabilities: list[list[float]]
    """One row per crop, one number per class."""


def serve(load: Callable[[], Predict], crops: NDArray[np.uint8]) -> None:
    """Load a classifier, then time and score it as standard input asks, until that ends.

    crops: uint8 [n, h, w], what is timed; calls take them in turn.
    Lines in: {"calls": n, "batch": b, "pace_hz": calls per second or null}, or {"score": file of crops (.npy)}.
    Lines out: first `Ready`, then a `Block` or a `Scored` for each request, as JSON.
    """
    out = own_stdout()
    start = time.perf_counter()
    predict = load()
    loaded = time.perf_counter()
    predict(crops[:1])
    first = time.perf_counter()
    write(out, Ready((loaded - start) * 1e3, (first - loaded) * 1e3))
    for line in sys.stdin:
        request = json.loads(line)
        if "score" in request:
            faces = np.load(request["score"])
            chunks = [predict(faces[at : at + SCORE_BATCH]).tolist() for at in range(0, len(faces), SCORE_BATCH)]
            write(out, Scored([row for chunk in chunks for row in chunk]))
        else:
            write(out, _block(predict, crops, request["calls"], request["batch"], request["pace_hz"]))


def _block(predict: Predict, crops: NDArray[np.uint8], calls: int, batch: int, pace_hz: float | None) -> Block:
    """Time so many calls, back to back or each at its moment of a camera's pace."""
    batches = [crops[np.arange(at, at + batch) % len(crops)] for at in range(0, len(crops), batch)]
    took = []
    busy, begun = time.process_time(), time.perf_counter()
    for call in range(calls):
        faces = batches[call % len(batches)]
        if pace_hz:
            time.sleep(max(0.0, begun + call / pace_hz - time.perf_counter()))
        begin = time.perf_counter_ns()
        predict(faces)
        took.append((time.perf_counter_ns() - begin) / 1e6)
    return Block(took, (time.process_time() - busy) * 1e3 / calls, _peak_memory_bytes())


def own_stdout() -> TextIO:
    """Standard output for replies alone: what libraries print there goes to standard error."""
    out = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    return out


def write(out: TextIO, message: Ready | Block | Scored) -> None:
    """Send one line."""
    out.write(json.dumps(asdict(message)) + "\n")
    out.flush()


def _peak_memory_bytes() -> int | None:
    status = Path("/proc/self/status")
    if not status.exists():
        return None
    return next(int(line.split()[1]) * 1024 for line in status.read_text().splitlines() if line.startswith("VmHWM:"))
