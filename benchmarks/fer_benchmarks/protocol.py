"""What a process that is measured understands: one JSON object a line in, one a line out.

It needs numpy alone, so that a peer's worker can use it in an environment of its own (docs/benchmarks.md).
"""

import json
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, TextIO

import numpy as np
from numpy.typing import NDArray

CHUNK = 64  # faces at once when scoring

# Face crops as a camera's frame gives them, uint8 [n, h, w] grey or [n, h, w, 3] BGR -> probabilities [n, classes].
Answer = Callable[[NDArray[np.uint8]], NDArray[np.floating[Any]]]


def serve(load: Callable[[], Answer], crops: NDArray[np.uint8]) -> None:
    """Load a classifier, then time and score it as standard input asks, until that ends.

    crops: uint8 [n, h, w], what is timed; calls take them in turn.
    Lines in: {"calls": n, "batch": b, "pace": calls a second or null}, or {"score": file of crops (.npy)}.
    Lines out: first {"load_ms", "first_ms"}; then {"ms": [a number a call], "cpu_ms": a call's mean, "peak_bytes"}, or
    {"probabilities": [a row a crop]}.
    """
    out = _own_stdout()
    start = time.perf_counter()
    answer = load()
    loaded = time.perf_counter()
    answer(crops[:1])
    first = time.perf_counter()
    _say(out, {"load_ms": (loaded - start) * 1e3, "first_ms": (first - loaded) * 1e3})
    for line in sys.stdin:
        asked = json.loads(line)
        if "score" in asked:
            faces = np.load(asked["score"])
            chunks = [answer(faces[at : at + CHUNK]).tolist() for at in range(0, len(faces), CHUNK)]
            _say(out, {"probabilities": [row for chunk in chunks for row in chunk]})
        else:
            _say(out, _block(answer, crops, asked["calls"], asked["batch"], asked["pace"]))


def _block(answer: Answer, crops: NDArray[np.uint8], calls: int, batch: int, pace: float | None) -> dict[str, Any]:
    """Time so many calls, back to back or each at its moment of a camera's pace."""
    batches = [crops[np.arange(at, at + batch) % len(crops)] for at in range(0, len(crops), batch)]
    took = []
    busy, begun = time.process_time(), time.perf_counter()
    for call in range(calls):
        faces = batches[call % len(batches)]
        if pace:
            time.sleep(max(0.0, begun + call / pace - time.perf_counter()))
        begin = time.perf_counter_ns()
        answer(faces)
        took.append((time.perf_counter_ns() - begin) / 1e6)
    cpu_ms = (time.process_time() - busy) * 1e3 / calls
    return {"ms": took, "cpu_ms": cpu_ms, "peak_bytes": _peak_bytes()}


def _own_stdout() -> TextIO:
    """Standard output for our answers alone: what libraries print there goes to standard error."""
    out = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    return out


def _say(out: TextIO, plain: dict[str, Any]) -> None:
    out.write(json.dumps(plain) + "\n")
    out.flush()


def _peak_bytes() -> int | None:
    """Largest resident memory so far; None where the system does not tell it."""
    status = Path("/proc/self/status")
    if not status.exists():
        return None
    return next(int(line.split()[1]) * 1024 for line in status.read_text().splitlines() if line.startswith("VmHWM:"))
