"""Whether a model's outputs seem to stand in another order than its labels, the usual slip with foreign networks."""

from typing import Protocol

import numpy as np
from numpy.typing import NDArray

MIN_GAIN = 0.15  # of accuracy, by which another order must be better
MIN_CHI_SQUARE = 25.0  # of McNemar's test between both orders: many orders are tried, so chance must be far away


class Scored(Protocol):
    """What has to be known of a model's scores."""

    @property
    def n(self) -> int:
        """Faces."""

    @property
    def accuracy(self) -> float:
        """Share of 1."""

    @property
    def recall(self) -> dict[str, float]:
        """By label, in the order of the outputs."""

    @property
    def confusion(self) -> list[list[int]]:
        """[true][predicted], in the same order."""


def better_order(scores: Scored) -> tuple[str, ...] | None:
    """The labels in an order that fits the faces far better than the model's own; None where there is none."""
    confusion, labels = np.array(scores.confusion), list(scores.recall)
    order = _best_order(confusion)
    outputs = np.arange(len(labels))
    fixed = confusion.diagonal()[order == outputs].sum()  # right in both orders
    gained, lost = confusion[order, outputs].sum() - fixed, confusion.trace() - fixed
    if gained - lost < MIN_GAIN * scores.n or (gained - lost) ** 2 < MIN_CHI_SQUARE * (gained + lost):
        return None
    return tuple(labels[index] for index in order)


def note(scores: Scored) -> str | None:
    """What to tell the user of a better order, with both accuracies; None where there is none."""
    order = better_order(scores)
    if order is None:
        return None
    labels = list(scores.recall)
    right = sum(scores.confusion[labels.index(label)][output] for output, label in enumerate(order))
    return (
        f"the labels fit these faces far better in another order: {right / scores.n:.1%} right instead of "
        f"{scores.accuracy:.1%} as {', '.join(order)}; was the network trained with that order? Then export it with it"
    )


def _best_order(confusion: NDArray[np.int64]) -> NDArray[np.int64]:
    """int64 [classes]: the true class that each output mostly stands for, each class once.

    The largest counts first, then swaps of two as long as one helps.
    """
    k = len(confusion)
    order = np.full(k, -1)
    for place in np.argsort(-confusion, axis=None, kind="stable"):
        true, output = divmod(int(place), k)
        if order[output] < 0 and true not in order:
            order[output] = true
    improved = True
    while improved:
        improved = False
        for a in range(k):
            for b in range(a):
                now = confusion[order[a], a] + confusion[order[b], b]
                if confusion[order[b], a] + confusion[order[a], b] > now:
                    order[[a, b]] = order[[b, a]]
                    improved = True
    return order
