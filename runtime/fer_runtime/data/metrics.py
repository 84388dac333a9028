"""How often a classifier is right (accuracy, macro-F1, precision and recall per class), and its calibration."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import sqrt
from statistics import fmean
from typing import Any

import numpy as np
from numpy.typing import NDArray

BINS = 15  # of the calibration error, as in Guo et al. 2017
RESAMPLES = 10_000  # with fewer, the ends of an interval move in the digits that are printed


@dataclass(frozen=True)
class Scores:
    """A classifier on labelled faces; shares of 1."""

    n: int
    """Faces."""
    accuracy: float
    """Share of faces whose label is predicted."""
    interval: float
    """Half the width of accuracy's 95 % interval (Wilson)."""
    macro_f1: float
    """Mean F1 of the classes that the data has."""
    precision: dict[str, float]
    """By label, in the order of the model's outputs."""
    recall: dict[str, float]
    """By label, in the same order."""
    confusion: list[list[int]]
    """Faces, [true][predicted], in the same order."""

    @property
    def faces(self) -> dict[str, int]:
        """How many faces of each class the data has; classes that it lacks are left out."""
        return {label: sum(row) for label, row in zip(self.recall, self.confusion, strict=True) if sum(row)}

    @property
    def macro_recall(self) -> float:
        """Mean recall of the classes that the data has: unlike accuracy, the same for any mix of classes."""
        return fmean(self.recall[label] for label in self.faces)

    @property
    def worst(self) -> str:
        """The class with the lowest recall, of those that the data has."""
        return min(self.faces, key=lambda label: self.recall[label])

    def line(self) -> str:
        """In one line, for the terminal."""
        accuracy = f"accuracy {self.accuracy:.2%} +- {self.interval:.2%} (n = {self.n})"
        return f"{accuracy}, macro-F1 {self.macro_f1:.3f}"

    def rounded(self) -> "Scores":
        """To 5 digits, as reports hold it."""
        return replace(
            self,
            accuracy=round(self.accuracy, 5),
            interval=round(self.interval, 5),
            macro_f1=round(self.macro_f1, 5),
            precision={label: round(value, 5) for label, value in self.precision.items()},
            recall={label: round(value, 5) for label, value in self.recall.items()},
        )


def score(predicted: NDArray[np.int64], labels: NDArray[np.int64], classes: tuple[str, ...]) -> Scores:
    """predicted, labels: int64 [n], indices into `classes`; n >= 1. A class nobody has or predicts scores 0."""
    k, n = len(classes), len(labels)
    confusion = np.bincount(labels * k + predicted, minlength=k * k).reshape(k, k)
    right = np.diag(confusion)
    precision = right / np.maximum(confusion.sum(0), 1)
    recall = right / np.maximum(confusion.sum(1), 1)
    accuracy = float(right.sum() / n)
    return Scores(
        n,
        accuracy,
        half_interval(accuracy, n),
        float(_macro_f1(confusion)),
        dict(zip(classes, precision.tolist(), strict=True)),
        dict(zip(classes, recall.tolist(), strict=True)),
        confusion.tolist(),
    )


def with_missed(scores: Scores, missed: NDArray[np.int64]) -> tuple[float, float]:
    """Accuracy and macro recall when a photo in which no face was found counts as wrong.

    missed: such photos of each class, int64 [classes].
    """
    confusion = _counted(scores, missed)
    return float(confusion.trace() / confusion.sum()), float(_macro_recall(confusion))


def _counted(scores: Scores, missed: NDArray[np.int64] | None) -> NDArray[np.int64]:
    """The confusion matrix, int64 [classes, classes]; with photos without a face, these as a column behind it."""
    confusion: NDArray[np.int64] = np.array(scores.confusion, np.int64)
    return confusion if missed is None else np.column_stack([confusion, missed])


def bootstrap(scores: Scores, missed: NDArray[np.int64] | None = None) -> dict[str, tuple[float, float]]:
    """95 % intervals (low, high) of "accuracy", "macro_f1" and "macro_recall": faces are drawn again (Efron 1979).

    missed: as for `with_missed`. The figures depend on the counts of (true, predicted) pairs alone, so that a
    multinomial draw of the confusion matrix is exactly that. Percentiles of a fixed seed. Of faces that are all right,
    or all wrong, every draw is the same: the interval is then a point, and Wilson's in `Scores` says more.
    """
    confusion = _counted(scores, missed)
    n = int(confusion.sum())
    rng = np.random.RandomState(0)  # a fixed stream in every numpy version
    draws = rng.multinomial(n, confusion.ravel() / n, RESAMPLES).reshape(-1, *confusion.shape)
    figures = {
        "accuracy": draws.trace(axis1=1, axis2=2) / n,
        "macro_f1": _macro_f1(draws),
        "macro_recall": _macro_recall(draws),
    }
    ends = {name: np.percentile(drawn, [2.5, 97.5]).tolist() for name, drawn in figures.items()}
    return {name: (low, high) for name, (low, high) in ends.items()}


def one_hot(labels: NDArray[np.int64], classes: int) -> NDArray[np.float64]:
    """int64 [n] -> float64 [n, classes]: targets of one label each."""
    targets: NDArray[np.float64] = np.eye(classes)[labels]
    return targets


def at_mix(targets: NDArray[np.floating[Any]], shares: Sequence[float]) -> NDArray[np.float64]:
    """`targets`, weighted so that the classes occur as often among them as in a stated mix (label shift).

    targets: float [n, classes], a row's sum the face's weight; shares: of each class in the mix. Every vote counts the
    mix's share of its class over the targets' own (Saerens et al. 2002); a class that the targets lack is left out.
    """
    own = targets.sum(0, dtype=np.float64)
    ratio = np.divide(np.array(shares), own / own.sum(), out=np.zeros(len(own)), where=own > 0)
    return np.asarray(targets * ratio, np.float64)


def reliability(
    probabilities: NDArray[np.floating[Any]], targets: NDArray[np.int64] | NDArray[np.floating[Any]]
) -> NDArray[np.float64]:
    """Accuracy at each confidence: float64 [15, 3], rows of faces, mean confidence, accuracy.

    probabilities: float [n, classes]; targets: labels, int64 [n], or votes, float [n, classes], whose rows sum to the
    face's weight: of these the share of the predicted class is right. Confidence is the largest probability; bin i
    holds those in (i/15, (i+1)/15]; a bin without faces is 0 throughout.
    """
    if targets.ndim == 1:
        targets = one_hot(targets.astype(np.int64), probabilities.shape[1])
    confidence = probabilities.max(1).astype(np.float64)
    bins = np.clip(np.ceil(confidence * BINS).astype(np.int64) - 1, 0, BINS - 1)
    weights = targets.sum(1)
    right = targets[np.arange(len(targets)), probabilities.argmax(1)]
    faces, confident, correct = (np.bincount(bins, each, BINS) for each in (weights, weights * confidence, right))
    held = np.where(faces > 0, faces, 1)
    return np.stack([faces, confident / held, correct / held], 1).astype(np.float64)


def ece(probabilities: NDArray[np.floating[Any]], targets: NDArray[np.int64] | NDArray[np.floating[Any]]) -> float:
    """Expected calibration error, 0 to 1, in 15 bins of equal width (Guo et al. 2017, arXiv:1706.04599).

    The mean distance between confidence and accuracy; arguments as for `reliability`, n >= 1.
    """
    faces, confidence, accuracy = reliability(probabilities, targets).T
    return float((faces * np.abs(confidence - accuracy)).sum() / faces.sum())


def _macro_f1(confusion: NDArray[np.int64]) -> NDArray[np.float64]:
    """Mean F1 of the classes that the data has, for confusion matrices int64 [..., classes, classes or one more]."""
    right = confusion.diagonal(axis1=-2, axis2=-1)
    labelled, predicted = confusion.sum(-1), confusion[..., : confusion.shape[-2]].sum(-2)
    f1 = 2 * right / np.maximum(labelled + predicted, 1)
    present = labelled > 0  # a class that the data lacks says nothing about the classifier
    mean: NDArray[np.float64] = (f1 * present).sum(-1) / present.sum(-1)
    return mean


def _macro_recall(confusion: NDArray[np.int64]) -> NDArray[np.float64]:
    """Mean recall of the classes that the data has, for confusion matrices as of `_macro_f1`."""
    labelled = confusion.sum(-1)
    recall = confusion.diagonal(axis1=-2, axis2=-1) / np.maximum(labelled, 1)
    mean: NDArray[np.float64] = recall.sum(-1) / (labelled > 0).sum(-1)
    return mean


def half_interval(share: float, n: int) -> float:
    """Half the width of Wilson's 95 % interval (Wilson 1927)."""
    z = 1.96
    return z * sqrt(share * (1 - share) / n + z * z / (4 * n * n)) / (1 + z * z / n)
