"""The scores of all classifiers: on the data as it is, under corruption, and against each other."""

import itertools
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fer_benchmarks.classifiers.client import Worker, tolerating
from fer_benchmarks.classifiers.specs import Entrant
from fer_benchmarks.measure import accuracy, statistics
from fer_benchmarks.measure.accuracy import Data
from fer_benchmarks.measure.corruptions import CORRUPTIONS, SEVERITIES, corrupt
from fer_runtime.data.dataset import stratified

ROBUST_FACES = 1000  # forty times each: all of FER2013's would take minutes a file

Say = Callable[[str, int], None]  # what goes on, and of how many steps; "" for a step done


def score(
    entrants: list[Entrant], rows: list[dict[str, Any]], data: Data, threads: int, robust: bool, scratch: Path, say: Say
) -> None:
    """Write into its row each entrant's accuracy, and with `robust` that under every corruption.

    scratch: a folder for the crops on their way. Raises FerError when one of ours dies.
    """
    running = [_Scored(entrant, row, data) for entrant, row in zip(entrants, rows, strict=True)]
    corruptions = [(name, severity) for name in CORRUPTIONS for severity in SEVERITIES] if robust else []
    say("scoring", len(running) * (1 + len(corruptions)))
    with ExitStack() as closing:
        for each in running:
            each.open(threads, closing)
            each.score(scratch)
            say("", 1)
        for name, severity in corruptions:
            corrupted: dict[accuracy.Kind, NDArray[np.uint8]] = {}  # one at a time: a Raspberry Pi's memory is small
            for each in running:
                if each.kind not in corrupted:
                    corrupted[each.kind] = corrupt(each.few, name, severity)
                each.score_corrupted(name, corrupted[each.kind], scratch)
                say("", 1)
        for each in running:
            each.finish()


class _Scored:
    """One row on its way to its scores."""

    def __init__(self, entrant: Entrant, row: dict[str, Any], data: Data) -> None:
        self._entrant, self._row, self._faces = entrant, row, data.faces(entrant)
        self.kind = (entrant.size, entrant.colour)
        self.images = accuracy.crops(self._faces)
        self._few = stratified(self._faces, ROBUST_FACES)
        self.few = accuracy.crops(self._few)
        self._worker: Worker | None = None
        self._found: dict[str, list[float]] = {}
        self._clean = 0.0

    def open(self, threads: int, closing: ExitStack) -> None:
        """Start the classifier; one that could not be timed is not scored either."""
        if not self._row["failed"]:
            with tolerating(self._entrant, self._fail):
                self._worker = Worker(self._entrant, threads)
                closing.callback(self._worker.close)

    def score(self, scratch: Path) -> None:
        """The data as it is, and of it the faces that will be corrupted."""
        if self._worker:
            with tolerating(self._entrant, self._fail):
                self._clean = self._share(self.few, scratch)
                found = accuracy.answers(self._worker, self.images, scratch)
                self._row["scores"] = accuracy.scores(self._entrant, found, self._faces)

    def score_corrupted(self, name: str, images: NDArray[np.uint8], scratch: Path) -> None:
        """The next severity of a corruption; another engine of the same file would only say it again."""
        if self._worker and self._entrant.engine != "cv2":
            with tolerating(self._entrant, self._fail):
                self._found.setdefault(name, []).append(self._share(images, scratch))

    def finish(self) -> None:
        """The mean over all corruptions."""
        if self._found and not self._row["failed"]:
            mean = float(np.mean(list(self._found.values())))
            few = {"n": len(self._few), "clean": self._clean}
            self._row["robust"] = few | {"mean": round(mean, 5), "accuracy": self._found}

    def _share(self, images: NDArray[np.uint8], scratch: Path) -> float:
        """Of the few that is answered right."""
        assert self._worker
        answer = accuracy.answers(self._worker, images, scratch).argmax(1)
        return round(float((answer == self._few.labels).mean()), 5)

    def _fail(self, why: str) -> None:
        self._row["failed"], self._worker = why, None


def pairs(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Each two classifiers that were scored, on the same faces."""
    scored = [row for row in rows if row["scores"]]
    return [
        {"a": a["name"], "b": b["name"]}
        | asdict(statistics.mcnemar(accuracy.right(a["scores"]), accuracy.right(b["scores"])))
        for a, b in itertools.combinations(scored, 2)
    ]
