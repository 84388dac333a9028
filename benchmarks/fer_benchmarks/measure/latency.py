"""Latency: a fresh process a classifier, blocks of calls interleaved in random order, tight and at a camera's pace."""

import math
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from fer_benchmarks.classifiers.client import Worker, tolerating
from fer_benchmarks.classifiers.specs import Entrant
from fer_benchmarks.measure.energy import Meter
from fer_benchmarks.measure.statistics import Times, settled

BLOCK_S = 0.1  # of calls: short enough that a slow spell of the machine meets all classifiers alike
WARM_S = 0.02  # a block of the warm-up
MOST_WARM = 100  # blocks, then it counts as warm, and that is told
FEWEST_ROUNDS = 10
PEAK_EVERY = 10  # rounds: the large convolutions only have to be seen
ENERGY_S = 2.0


@dataclass(frozen=True)
class Setting:
    """threads: of the engine; batch: faces a call; seconds: of calls a classifier; pace: calls a second, or None."""

    threads: int
    batch: int
    seconds: float
    pace: float | None

    @property
    def block_s(self) -> float:
        """Of calls in a tight block."""
        return min(BLOCK_S, self.seconds / FEWEST_ROUNDS)

    @property
    def rounds(self) -> int:
        """Of tight blocks, one a classifier in each."""
        return max(FEWEST_ROUNDS, math.ceil(self.seconds / BLOCK_S))

    @property
    def paced_rounds(self) -> int:
        """Of blocks at a camera's pace, of a second each in a run of some seconds."""
        return max(FEWEST_ROUNDS // 2, math.ceil(self.seconds)) if self.pace else 0

    @property
    def steps(self) -> int:
        """How often `measure` ticks."""
        return self.rounds + self.paced_rounds


@dataclass
class Timed:
    """One classifier's times, in ms a call (of `batch` faces).

    start_ms: from the process's start to its first answer; load_ms: of that, the classifier; first_ms: its first call;
    warm_up: calls before they stopped getting faster; warm: whether they did; tight, paced: [blocks, calls];
    cpu_ms, paced_cpu_ms: processor time a call; joules: of the whole machine a call, or None; peak_bytes: of memory;
    failed: why there is nothing else.
    """

    start_ms: float = 0
    load_ms: float = 0
    first_ms: float = 0
    warm_up: int = 0
    warm: bool = True
    tight: Times = field(default_factory=lambda: np.empty((0, 0)))
    paced: Times | None = None
    cpu_ms: float = 0
    paced_cpu_ms: float | None = None
    joules: float | None = None
    peak_bytes: int | None = None
    failed: str | None = None


def measure(
    entrants: list[Entrant], peaks: list[Entrant], setting: Setting, meter: Meter | None, tick: Callable[[], None]
) -> list[Timed]:
    """Time the entrants, then the peaks, in one interleaved run; `tick` is called `setting.steps` times.

    Raises FerError when one of ours dies; a peer or another engine that does is told in its place.
    """
    with ExitStack() as closing:
        runs = [_Run(entrant, setting, closing) for entrant in (*entrants, *peaks)]
        rng = np.random.RandomState(0)
        for run in runs:
            run.warm_up()
        for number in range(setting.rounds):
            for index in rng.permutation(len(runs)):
                if index < len(entrants) or number % PEAK_EVERY == 0:
                    runs[index].tight_block()
            tick()
        for _ in range(setting.paced_rounds):
            for index in rng.permutation(len(entrants)):
                runs[index].paced_block()
            tick()
        if meter:
            for run in runs[: len(entrants)]:
                run.energy_block(meter)
        return [run.timed() for run in runs]


class _Run:
    """One entrant's worker and what it has answered so far."""

    def __init__(self, entrant: Entrant, setting: Setting, closing: ExitStack) -> None:
        self._entrant, self._setting, self._closing = entrant, setting, closing
        self._found, self._calls = Timed(), 1
        self._worker: Worker | None = None
        self._tight: list[dict[str, Any]] = []
        self._paced: list[dict[str, Any]] = []
        with tolerating(self._entrant, self._fail):
            worker = Worker(entrant, setting.threads)
            closing.callback(worker.close)
            self._worker = worker
            self._found.start_ms = worker.start_ms
            self._found.load_ms, self._found.first_ms = worker.ready["load_ms"], worker.ready["first_ms"]

    def warm_up(self) -> None:
        """Short blocks until they no longer get faster; then a block's number of calls is known."""
        if self._worker is None:
            return
        with tolerating(self._entrant, self._fail):
            medians = [self._median(self._worker.block(2, self._setting.batch))]
            while not settled(medians) and len(medians) < MOST_WARM:
                calls = max(1, round(WARM_S * 1e3 / medians[-1]))
                medians.append(self._median(self._worker.block(calls, self._setting.batch)))
                self._found.warm_up += calls
            self._found.warm = settled(medians)
            self._calls = max(1, round(self._setting.block_s * 1e3 / float(np.median(medians[-5:]))))

    def tight_block(self) -> None:
        """Calls back to back."""
        if self._worker:
            with tolerating(self._entrant, self._fail):
                self._tight.append(self._worker.block(self._calls, self._setting.batch))

    def paced_block(self) -> None:
        """Calls at the camera's pace."""
        if self._worker and self._setting.pace:
            calls = max(5, round(self._setting.pace * min(1.0, self._setting.seconds / 5)))
            with tolerating(self._entrant, self._fail):
                self._paced.append(self._worker.block(calls, self._setting.batch, self._setting.pace))

    def energy_block(self, meter: Meter) -> None:
        """A longer block, of which the machine tells the energy."""
        if self._worker:
            calls = round(self._calls * ENERGY_S / self._setting.block_s)
            with tolerating(self._entrant, self._fail):
                meter.start()
                self._worker.block(calls, self._setting.batch)
                joules = meter.stop()
                self._found.joules = joules / calls if joules else None

    def timed(self) -> Timed:
        """All of it."""
        if self._worker:
            found = self._found
            found.tight = np.array([block["ms"] for block in self._tight])
            found.cpu_ms = float(np.mean([block["cpu_ms"] for block in self._tight]))
            found.peak_bytes = [*self._tight, *self._paced][-1]["peak_bytes"]
            if self._paced:
                found.paced = np.array([block["ms"] for block in self._paced])
                found.paced_cpu_ms = float(np.mean([block["cpu_ms"] for block in self._paced]))
        return self._found

    def _fail(self, why: str) -> None:
        self._found, self._worker = Timed(failed=why), None

    @staticmethod
    def _median(block: dict[str, Any]) -> float:
        return float(np.median(block["ms"]))
