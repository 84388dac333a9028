"""How right a classifier is: accuracy, macro-F1, precision and recall of each class."""

from dataclasses import dataclass
from math import sqrt
from typing import Any

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Scores:
    """Shares of 1. n: faces; interval: half the 95 % interval of accuracy (Wilson); confusion: [true][predicted]."""

    n: int
    accuracy: float
    interval: float
    macro_f1: float
    precision: dict[str, float]
    recall: dict[str, float]
    confusion: list[list[int]]

    def line(self) -> str:
        """In one line, for the terminal."""
        accuracy = f"accuracy {self.accuracy:.2%} +- {self.interval:.2%} (n = {self.n})"
        return f"{accuracy}, macro-F1 {self.macro_f1:.3f}"

    def plain(self) -> dict[str, Any]:
        """For JSON, rounded to 5 digits."""
        return {
            "n": self.n,
            "accuracy": round(self.accuracy, 5),
            "interval": round(self.interval, 5),
            "macro_f1": round(self.macro_f1, 5),
            "precision": {label: round(value, 5) for label, value in self.precision.items()},
            "recall": {label: round(value, 5) for label, value in self.recall.items()},
            "confusion": self.confusion,
        }


def score(predicted: NDArray[np.int64], labels: NDArray[np.int64], classes: tuple[str, ...]) -> Scores:
    """predicted, labels: int64 [n], indices into `classes`; n >= 1. A class nobody has or predicts scores 0."""
    k, n = len(classes), len(labels)
    confusion = np.bincount(labels * k + predicted, minlength=k * k).reshape(k, k)
    right = np.diag(confusion)
    precision = right / np.maximum(confusion.sum(0), 1)
    recall = right / np.maximum(confusion.sum(1), 1)
    f1 = 2 * precision * recall / np.maximum(precision + recall, 1e-12)
    present = confusion.sum(1) > 0  # a class that the data lacks says nothing about the classifier
    accuracy = float(right.sum() / n)
    return Scores(
        n,
        accuracy,
        _half_interval(accuracy, n),
        float(f1[present].mean()),
        dict(zip(classes, precision.tolist(), strict=True)),
        dict(zip(classes, recall.tolist(), strict=True)),
        confusion.tolist(),
    )


def _half_interval(share: float, n: int) -> float:
    """Half the width of Wilson's 95 % interval (Wilson 1927)."""
    z = 1.96
    return z * sqrt(share * (1 - share) / n + z * z / (4 * n * n)) / (1 + z * z / n)
