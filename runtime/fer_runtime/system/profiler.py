"""Where the time of a run goes, stage by stage."""

import json
import threading
import time
from dataclasses import asdict, dataclass

import numpy as np
from numpy.typing import NDArray

from fer_runtime.system.host import peak_bytes

SCHEMA = 2
STAGES = ("capture", "decode", "detect", "follow", "crop", "classify", "smooth", "blur", "output")
SOURCE_STAGES = ("capture", "decode")  # in a thread of their own for cameras and streams
MAX_SAMPLES = 20_000  # per stage; older ones are dropped, as a run may last for months


@dataclass(frozen=True)
class Percentiles:
    """Of the latest 20,000 measurements, in milliseconds."""

    n: int
    """Measurements."""
    p50: float
    p95: float
    p99: float


@dataclass(frozen=True)
class StageTimes(Percentiles):
    """How long one stage takes."""

    share: float
    """Of the time of all stages."""


@dataclass(frozen=True)
class Usage:
    """A run so far, as `--profile` writes it."""

    frames: int
    """With a result."""
    seconds: float
    """Since the start."""
    fps: float
    """Frames with a result per second."""
    cpu_seconds: float
    """Of the process."""
    loop_cpu_seconds: float
    """Of the loop's thread, without capture and decode."""
    capture_cpu_seconds: float
    """Of capture and decode, without the threads that a video decoder starts itself."""
    peak_memory_bytes: int
    frame_age_ms: Percentiles
    """From a frame's capture to its result."""
    stages: dict[str, StageTimes]


class Profile:
    """Durations of stages and ages of frames at their results, the latest ones of each, and what the process uses."""

    def __init__(self) -> None:
        self._stages = {name: (SourceStage if name in SOURCE_STAGES else Stage)() for name in STAGES}
        self._loop: tuple[int, float, float] | None = None  # the loop's thread, its CPU seconds at the start and so far
        self._ages = RingBuffer()
        self._frames = 0
        self._started, self._cpu = time.monotonic(), time.process_time()

    def stage(self, name: str) -> "Stage":
        """Measures what is done inside (`with`) as one of STAGES; each stage belongs to one thread."""
        return self._stages[name]

    def mark_loop(self) -> None:
        """Called by the thread that runs the loop, at its start and after each frame: its CPU time is counted apart."""
        now = time.thread_time()
        self._loop = (threading.get_ident(), self._loop[1] if self._loop else now, now)

    def count_result(self, age_ms: float) -> None:
        """Count a result; age_ms: milliseconds since the capture of its frame."""
        self._frames += 1
        self._ages.append(age_ms)

    def usage(self) -> Usage:
        """All of it so far."""
        seconds = time.monotonic() - self._started
        total_ms = sum(stage.total_ms for stage in self._stages.values()) or 1.0
        return Usage(
            frames=self._frames,
            seconds=round(seconds, 3),
            fps=round(self._frames / seconds, 2),
            cpu_seconds=round(time.process_time() - self._cpu, 3),
            loop_cpu_seconds=round(self._loop_cpu(), 3),
            capture_cpu_seconds=round(sum(stage.cpu_s for stage in self._of_source()), 3),
            peak_memory_bytes=peak_bytes(),
            frame_age_ms=Percentiles(len(self._ages), *_percentiles(self._ages)),
            stages={
                name: StageTimes(len(stage.ms), *_percentiles(stage.ms), round(stage.total_ms / total_ms, 4))
                for name, stage in self._stages.items()
                if stage.ms
            },
        )

    def table(self) -> str:
        """The same for a terminal."""
        usage = self.usage()
        lines = [f"{'stage':10}{'n':>8}{'p50 ms':>10}{'p95 ms':>10}{'p99 ms':>10}{'share':>8}"]
        lines += [f"{_row(name, stage)}{stage.share:8.1%}" for name, stage in usage.stages.items()]
        lines.append(_row("age", usage.frame_age_ms))
        cpu, loop, capture = (
            f"{spent / max(usage.seconds, 1e-9):.1%}"
            for spent in (usage.cpu_seconds, usage.loop_cpu_seconds, usage.capture_cpu_seconds)
        )
        memory = usage.peak_memory_bytes / 2**20
        used = f"{cpu} of a core (the loop {loop}, capture and decode {capture}), {memory:.0f} MiB"
        return "\n".join([*lines, f"{usage.fps:g} fps, {used}"])

    def _of_source(self) -> list["SourceStage"]:
        return [stage for stage in self._stages.values() if isinstance(stage, SourceStage)]

    def _loop_cpu(self) -> float:
        if self._loop is None:
            return 0.0
        thread, start, now = self._loop
        return now - start - sum(stage.cpu_s for stage in self._of_source() if stage.thread == thread)

    def to_json(self) -> str:
        """`usage` as JSON, schema 2."""
        return json.dumps({"schema": SCHEMA} | asdict(self.usage()), indent=2) + "\n"


class Stage:
    """One stage's stopwatch; a class of its own, as a generator for each use costs several times as much."""

    def __init__(self) -> None:
        self.ms, self.total_ms = RingBuffer(), 0.0
        self._begin = 0

    def __enter__(self) -> None:
        self._begin = time.perf_counter_ns()

    def __exit__(self, *_: object) -> None:
        took_ms = (time.perf_counter_ns() - self._begin) / 1e6
        self.ms.append(took_ms)
        self.total_ms += took_ms


class SourceStage(Stage):
    """Of the source's stages the CPU time is measured too."""

    def __init__(self) -> None:
        super().__init__()
        self.cpu_s = self._cpu = 0.0
        self.thread = 0
        """The one in which it ran last."""

    def __enter__(self) -> None:
        super().__enter__()
        self._cpu = time.thread_time()

    def __exit__(self, *_: object) -> None:
        self.cpu_s += time.thread_time() - self._cpu
        self.thread = threading.get_ident()
        super().__exit__()


class RingBuffer:
    """The latest numbers; their memory is taken at once, so that no run of months grows by them."""

    def __init__(self) -> None:
        self._values = np.full(MAX_SAMPLES, np.nan, np.float32)
        self._count = 0

    def append(self, value: float) -> None:
        """Take one number in, and the oldest out when there are MAX_SAMPLES."""
        self._values[self._count % MAX_SAMPLES] = value
        self._count += 1

    def __len__(self) -> int:
        return min(self._count, MAX_SAMPLES)

    def kept(self) -> NDArray[np.float64]:
        """Those numbers, in no order."""
        return self._values[: len(self)].astype(np.float64)


def _percentiles(values: RingBuffer) -> tuple[float, float, float]:
    """p50, p95, p99."""
    p50, p95, p99 = np.percentile(values.kept(), [50, 95, 99]).round(4).tolist() if values else (0.0, 0.0, 0.0)
    return p50, p95, p99


def _row(name: str, times: Percentiles) -> str:
    return f"{name:10}{times.n:8}{times.p50:10.3f}{times.p95:10.3f}{times.p99:10.3f}"
