"""Where the time of a run goes, stage by stage."""

import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fer_runtime.system.host import peak_bytes

STAGES = ("capture", "decode", "detect", "follow", "crop", "classify", "smooth", "blur", "output")
OF_SOURCE = ("capture", "decode")  # in a thread of their own for cameras and streams
LATEST = 20_000  # measurements of a stage that are kept: a run may last for months


class Profile:
    """Durations of stages and ages of answers, the latest ones of each, and what the process has used."""

    def __init__(self) -> None:
        self._ms = {stage: Latest() for stage in STAGES}
        self._total = dict.fromkeys(STAGES, 0.0)
        self._cpu_of_source = self._own_source_cpu = 0.0  # seconds; the second: those in the loop's thread
        self._loop: tuple[int, float, float] | None = None  # the loop's thread, its CPU seconds at the start and so far
        self._ages = Latest()
        self._answers = 0
        self._started, self._cpu = time.monotonic(), time.process_time()

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Measure what is done inside as one of STAGES; each stage belongs to one thread."""
        cpu = time.thread_time() if name in OF_SOURCE else 0.0
        begin = time.perf_counter_ns()
        try:
            yield
        finally:
            took = (time.perf_counter_ns() - begin) / 1e6
            self._ms[name].append(took)
            self._total[name] += took
            if name in OF_SOURCE:
                spent = time.thread_time() - cpu
                self._cpu_of_source += spent
                if self._loop and self._loop[0] == threading.get_ident():
                    self._own_source_cpu += spent

    def looped(self) -> None:
        """Say that this thread runs the loop, at its start and after each frame: its CPU time is told apart."""
        now = time.thread_time()
        self._loop = (threading.get_ident(), self._loop[1] if self._loop else now, now)

    def answered(self, age_ms: float) -> None:
        """Count an answer, so many milliseconds after its frame was captured."""
        self._answers += 1
        self._ages.append(age_ms)

    def plain(self) -> dict[str, Any]:
        """For JSON. Milliseconds; share: of all measured time; n: how often, of the latest 20,000.

        cpu_seconds: of the process; loop_cpu_seconds: of the loop's thread, all but capture and decode;
        capture_cpu_seconds: of capture and decode, without the threads that a video decoder starts itself.
        """
        seconds = time.monotonic() - self._started
        total = sum(self._total.values()) or 1.0
        return {
            "answers": self._answers,
            "seconds": round(seconds, 3),
            "answers_a_second": round(self._answers / seconds, 2),
            "cpu_seconds": round(time.process_time() - self._cpu, 3),
            "loop_cpu_seconds": round(self._loop_cpu(), 3),
            "capture_cpu_seconds": round(self._cpu_of_source, 3),
            "peak_memory_bytes": peak_bytes(),
            "frame_age_ms": _percentiles(self._ages),
            "stages": {
                name: _percentiles(took) | {"share": round(self._total[name] / total, 4)}
                for name, took in self._ms.items()
                if took
            },
        }

    def table(self) -> str:
        """The same for a terminal."""
        plain = self.plain()
        lines = [f"{'stage':10}{'n':>8}{'p50 ms':>10}{'p95 ms':>10}{'p99 ms':>10}{'share':>8}"]
        rows = {**plain["stages"], "age": plain["frame_age_ms"]}
        for name, row in rows.items():
            times = "".join(f"{row[p]:10.3f}" for p in ("p50", "p95", "p99"))
            lines.append(
                f"{name:10}{row['n']:8}{times}{row['share']:8.1%}"
                if "share" in row
                else f"{name:10}{row['n']:8}{times}"
            )
        cpu, loop, capture = (
            f"{plain[f'{name}cpu_seconds'] / max(plain['seconds'], 1e-9):.1%}" for name in ("", "loop_", "capture_")
        )
        memory = plain["peak_memory_bytes"] / 2**20
        used = f"{cpu} of a core (the loop {loop}, capture and decode {capture}), {memory:.0f} MiB"
        return "\n".join([*lines, f"{plain['answers_a_second']:g} answers a second, {used}"])

    def _loop_cpu(self) -> float:
        return self._loop[2] - self._loop[1] - self._own_source_cpu if self._loop else 0.0

    def to_json(self) -> str:
        """`plain` as text."""
        return json.dumps(self.plain(), indent=2) + "\n"


class Latest:
    """The latest numbers; their memory is taken at once, so that no run of months grows by them."""

    def __init__(self) -> None:
        self._values = np.full(LATEST, np.nan, np.float32)
        self._count = 0

    def append(self, value: float) -> None:
        """Take one number in, and the oldest out when there are LATEST."""
        self._values[self._count % LATEST] = value
        self._count += 1

    def __len__(self) -> int:
        return min(self._count, LATEST)

    def kept(self) -> NDArray[np.float64]:
        """Those numbers, in no order."""
        return self._values[: len(self)].astype(np.float64)


def _percentiles(values: Latest) -> dict[str, float]:
    p50, p95, p99 = np.percentile(values.kept(), [50, 95, 99]).round(4).tolist() if values else (0.0, 0.0, 0.0)
    return {"n": len(values), "p50": p50, "p95": p95, "p99": p99}
