"""The scores of all models: on the data as it is, under corruption, and against each other."""

import itertools
from contextlib import ExitStack
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from fer_benchmarks.classifiers.client import Worker, tolerating
from fer_benchmarks.classifiers.specs import ModelSpec
from fer_benchmarks.measure import accuracy, statistics
from fer_benchmarks.measure.accuracy import Data
from fer_benchmarks.measure.corruptions import CORRUPTIONS, SEVERITIES, corrupt
from fer_benchmarks.results import REPEATED, ModelResult, PairedTest, Robustness
from fer_runtime.data.dataset import stratified

ROBUSTNESS_FACES = 1000  # forty times each: all of FER2013's would take minutes per file


class Progress(Protocol):
    """Told what goes on."""

    def stage(self, text: str, steps: int) -> None:
        """The next stage begins, of so many steps."""

    def advance(self) -> None:
        """A step is done."""


def score(
    specs: list[ModelSpec],
    results: list[ModelResult],
    data: Data,
    threads: int,
    robust: bool,
    scratch: Path,
    progress: Progress,
) -> None:
    """Write into its result each model's accuracy, and with `robust` that under every corruption.

    scratch: a folder for the crops on their way. Raises FerError when one of ours dies.
    """
    running = [_Scoring(spec, result, data) for spec, result in zip(specs, results, strict=True)]
    corruptions = [(name, severity) for name in CORRUPTIONS for severity in SEVERITIES] if robust else []
    progress.stage("scoring", len(running) * (1 + len(corruptions)))
    with ExitStack() as closing:
        for each in running:
            each.open(threads, closing)
            each.score(scratch)
            progress.advance()
        for name, severity in corruptions:
            corrupted: dict[accuracy.Kind, NDArray[np.uint8]] = {}  # one at a time: a Raspberry Pi's memory is small
            for each in running:
                if each.kind not in corrupted:
                    corrupted[each.kind] = corrupt(each.few, name, severity)
                each.score_corrupted(name, corrupted[each.kind], scratch)
                progress.advance()
        for each in running:
            each.finish()


class _Scoring:
    """One model on the way to its scores."""

    def __init__(self, spec: ModelSpec, result: ModelResult, data: Data) -> None:
        self._spec, self._result, self._faces = spec, result, data.faces(spec)
        self.kind, self._missed = data.kind(spec), data.missed_by(spec)
        self.images = accuracy.crops(self._faces)
        self._few = stratified(self._faces, ROBUSTNESS_FACES)
        self.few = accuracy.crops(self._few)
        self._worker: Worker | None = None
        self._corrupted: dict[str, list[float]] = {}
        self._clean = 0.0

    def open(self, threads: int, closing: ExitStack) -> None:
        """Start the model; one that could not be timed is not scored either."""
        if not self._result.error:
            with tolerating(self._spec, self._fail):
                self._worker = Worker(self._spec, threads)
                closing.callback(self._worker.close)

    def score(self, scratch: Path) -> None:
        """The data as it is, and of it the faces that will be corrupted."""
        if self._worker:
            with tolerating(self._spec, self._fail):
                self._clean = self._accuracy(self._worker, self.few, scratch)
                found = accuracy.probabilities(self._worker, self.images, scratch)
                self._result.scores = accuracy.scores(self._spec, found, self._faces, self._missed)

    def score_corrupted(self, name: str, images: NDArray[np.uint8], scratch: Path) -> None:
        """The next severity of a corruption; another engine of the same file would only repeat it."""
        if self._worker and self._spec.engine not in REPEATED:
            with tolerating(self._spec, self._fail):
                self._corrupted.setdefault(name, []).append(self._accuracy(self._worker, images, scratch))

    def finish(self) -> None:
        """The mean over all corruptions."""
        if self._corrupted and not self._result.error:
            mean = round(float(np.mean(list(self._corrupted.values()))), 5)
            self._result.robustness = Robustness(len(self._few), self._clean, mean, self._corrupted)

    def _accuracy(self, worker: Worker, images: NDArray[np.uint8], scratch: Path) -> float:
        """On `few`, of which these are the images."""
        predicted = accuracy.probabilities(worker, images, scratch).argmax(1)
        return round(float((predicted == self._few.labels).mean()), 5)

    def _fail(self, why: str) -> None:
        self._result.error, self._worker = why, None


def paired_tests(results: list[ModelResult]) -> list[PairedTest]:
    """Each two models that were scored, on the same faces."""
    scored = [(result.name, result.scores.correct_faces()) for result in results if result.scores]
    return [
        PairedTest(a, b, paired.difference, paired.interval, paired.p, paired.only_a, paired.only_b)
        for (a, right_a), (b, right_b) in itertools.combinations(scored, 2)
        for paired in [statistics.mcnemar(right_a, right_b)]
    ]
