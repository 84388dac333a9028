"""Latency: a process per model, blocks of calls interleaved in random order, back to back and at a camera's pace."""

import math
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, field

import numpy as np

from fer_benchmarks.classifiers.client import Worker, tolerating
from fer_benchmarks.classifiers.specs import ModelSpec
from fer_benchmarks.measure.energy import Meter
from fer_benchmarks.measure.statistics import Times, settled
from fer_benchmarks.protocol import Block

BLOCK_S = 0.1  # of calls: short enough that a slow spell of the machine meets all models alike
WARMUP_BLOCK_S = 0.02
MAX_WARMUP_BLOCKS = 100  # then it counts as warmed up, with a warning
MIN_ROUNDS = 10
PEAK_EVERY = 10  # rounds: the large convolutions only have to be seen
ENERGY_S = 2.0


@dataclass(frozen=True)
class TimingConfig:
    """How one setting is timed."""

    threads: int
    """Of each engine."""
    batch: int
    """Faces per call."""
    duration_s: float
    """Of calls per model."""
    pace_hz: float | None
    """Calls per second at a camera's pace; None: back to back alone."""

    @property
    def block_s(self) -> float:
        """Of calls in a block back to back."""
        return min(BLOCK_S, self.duration_s / MIN_ROUNDS)

    @property
    def rounds(self) -> int:
        """Of blocks back to back, one per model in each."""
        return max(MIN_ROUNDS, math.ceil(self.duration_s / BLOCK_S))

    @property
    def paced_rounds(self) -> int:
        """Of blocks at a camera's pace, of a second each in a run of some seconds."""
        return max(MIN_ROUNDS // 2, math.ceil(self.duration_s)) if self.pace_hz else 0

    @property
    def steps(self) -> int:
        """How often `measure` ticks."""
        return self.rounds + self.paced_rounds


@dataclass
class Timings:
    """One model's times in one setting; a call is one batch."""

    start_ms: float = 0
    """From the process's start to its first result."""
    load_ms: float = 0
    """Of that, loading the model."""
    first_ms: float = 0
    """Of that, the first call."""
    warmup_calls: int = 0
    """Calls before they stopped getting faster."""
    warmed_up: bool = True
    """Whether they did."""
    back_to_back: Times = field(default_factory=lambda: np.empty((0, 0)))
    """float64 [blocks, calls], ms."""
    paced: Times | None = None
    """float64 [blocks, calls], ms."""
    cpu_ms: float = 0
    """Processor time per call."""
    paced_cpu_ms: float | None = None
    """Processor time per call."""
    energy_j: float | None = None
    """Of the whole machine per call, joules."""
    peak_memory_bytes: int | None = None
    error: str | None = None
    """Why there is nothing else."""


def measure(
    specs: list[ModelSpec], peaks: list[ModelSpec], config: TimingConfig, meter: Meter | None, tick: Callable[[], None]
) -> list[Timings]:
    """Time the models, then the peaks, in one interleaved run; `tick` is called `config.steps` times.

    Raises FerError when one of ours dies; of a peer or another engine the timings hold the error.
    """
    with ExitStack() as closing:
        runs = [_ModelRun(spec, config, closing) for spec in (*specs, *peaks)]
        rng = np.random.RandomState(0)
        for run in runs:
            run.warm_up()
        for number in range(config.rounds):
            for index in rng.permutation(len(runs)):
                if index < len(specs) or number % PEAK_EVERY == 0:
                    runs[index].back_to_back_block()
            tick()
        for _ in range(config.paced_rounds):
            for index in rng.permutation(len(specs)):
                runs[index].paced_block()
            tick()
        if meter:
            for run in runs[: len(specs)]:
                run.energy_block(meter)
        return [run.timings() for run in runs]


class _ModelRun:
    """One model's worker and its blocks so far."""

    def __init__(self, spec: ModelSpec, config: TimingConfig, closing: ExitStack) -> None:
        self._spec, self._config = spec, config
        self._found, self._calls = Timings(), 1
        self._worker: Worker | None = None
        self._back_to_back: list[Block] = []
        self._paced: list[Block] = []
        with tolerating(self._spec, self._fail):
            worker = Worker(spec, config.threads)
            closing.callback(worker.close)
            self._worker = worker
            self._found.start_ms = worker.start_ms
            self._found.load_ms, self._found.first_ms = worker.ready.load_ms, worker.ready.first_ms

    def warm_up(self) -> None:
        """Short blocks until they no longer get faster; then a block's number of calls is known."""
        if self._worker is None:
            return
        with tolerating(self._spec, self._fail):
            medians = [self._median(self._worker.block(2, self._config.batch))]
            while not settled(medians) and len(medians) < MAX_WARMUP_BLOCKS:
                calls = max(1, round(WARMUP_BLOCK_S * 1e3 / medians[-1]))
                medians.append(self._median(self._worker.block(calls, self._config.batch)))
                self._found.warmup_calls += calls
            self._found.warmed_up = settled(medians)
            self._calls = max(1, round(self._config.block_s * 1e3 / float(np.median(medians[-5:]))))

    def back_to_back_block(self) -> None:
        """Calls back to back."""
        if self._worker:
            with tolerating(self._spec, self._fail):
                self._back_to_back.append(self._worker.block(self._calls, self._config.batch))

    def paced_block(self) -> None:
        """Calls at the camera's pace."""
        if self._worker and self._config.pace_hz:
            calls = max(5, round(self._config.pace_hz * min(1.0, self._config.duration_s / 5)))
            with tolerating(self._spec, self._fail):
                self._paced.append(self._worker.block(calls, self._config.batch, self._config.pace_hz))

    def energy_block(self, meter: Meter) -> None:
        """A longer block, of which the machine measures the energy."""
        if self._worker:
            calls = round(self._calls * ENERGY_S / self._config.block_s)
            with tolerating(self._spec, self._fail):
                meter.start()
                self._worker.block(calls, self._config.batch)
                joules = meter.stop()
                self._found.energy_j = joules / calls if joules else None

    def timings(self) -> Timings:
        """All of it."""
        if self._worker:
            found = self._found
            found.back_to_back = np.array([block.ms for block in self._back_to_back])
            found.cpu_ms = float(np.mean([block.cpu_ms for block in self._back_to_back]))
            found.peak_memory_bytes = [*self._back_to_back, *self._paced][-1].peak_memory_bytes
            if self._paced:
                found.paced = np.array([block.ms for block in self._paced])
                found.paced_cpu_ms = float(np.mean([block.cpu_ms for block in self._paced]))
        return self._found

    def _fail(self, why: str) -> None:
        self._found, self._worker = Timings(error=why), None

    @staticmethod
    def _median(block: Block) -> float:
        return float(np.median(block.ms))
