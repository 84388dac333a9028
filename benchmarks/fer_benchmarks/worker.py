"""One model in a process of its own: `python -m fer_benchmarks.worker MODEL THREADS`.

It answers with one JSON line when it is ready, then one for each number of calls that it reads from standard input.
"""

import json
import sys
import time
from pathlib import Path

import numpy as np

from fer_runtime.machine import peak_bytes
from fer_runtime.session import Classifier

WARM_SECONDS = 0.3


def main() -> None:
    """Load, warm up, then time blocks of single calls at batch 1 until standard input ends."""
    start = time.perf_counter()
    classifier = Classifier(Path(sys.argv[1]), int(sys.argv[2]))
    load_ms = (time.perf_counter() - start) * 1e3
    side = classifier.size
    faces = np.random.RandomState(0).randint(0, 256, (64, 1, classifier.manifest.channels, side, side)).astype(np.uint8)
    start = time.perf_counter()
    classifier(faces[0])
    first_ms = (time.perf_counter() - start) * 1e3
    while time.perf_counter() - start < WARM_SECONDS:
        classifier(faces[0])
    _answer({"load_ms": load_ms, "first_ms": first_ms})
    for line in sys.stdin:
        took = []
        for call in range(int(line)):
            face = faces[call % len(faces)]
            begin = time.perf_counter_ns()
            classifier(face)
            took.append((time.perf_counter_ns() - begin) / 1e6)
        _answer({"ms": took, "peak_bytes": peak_bytes()})


def _answer(plain: dict[str, object]) -> None:
    print(json.dumps(plain), flush=True)


if __name__ == "__main__":
    main()
