"""Balance: what to add to a network's logits so that it predicts each class as often as in a stated mix."""

from dataclasses import dataclass

import torch
from torch import Tensor

from fer_train.recipe import MIXES as MIXES  # there, since commands name them before torch is imported

ROUNDS, STEP = 400, 0.05  # of `balance`: counts jump, so each step is small against the differences between logits
KEPT_FACES = 2048  # in four views each: their logits take 112 KB of a checkpoint for seven classes


@dataclass(frozen=True)
class Evidence:
    """What a checkpoint carries for another balance: how a network predicts, and how often each class occurs."""

    logits: Tensor
    """Of views of training faces, without any balance: float16 [n, classes]."""
    labels: tuple[float, ...]
    """Share of the training faces with each label."""
    votes: tuple[float, ...]
    """Share of the votes for each class; those of `labels` for a network that learned from labels alone."""


def mix(name: str, labels: Tensor, votes: Tensor) -> Tensor:
    """Shares of the classes to balance on, float [classes], summing to 1.

    name: one of MIXES; "between" is the geometric mean of the first two. labels, votes: how often each class is
    labelled and voted for, float [classes].
    """
    shares = {
        "labels": labels,
        "votes": votes,
        "between": ((labels / labels.sum()) * (votes / votes.sum())).sqrt(),
        "uniform": torch.ones_like(labels),
    }[name]
    return shares / shares.sum()


def balance(logits: Tensor, shares: Tensor) -> Tensor:
    """What to add to logits so that each class is predicted as often as in `shares`: float [classes], sums to 0.

    An unsure network predicts frequent, easy classes; its probabilities are right on average, its predictions are
    not. logits: float [n, classes]; shares: float [classes], as of `mix`.
    """
    classes = logits.shape[1]
    wanted = shares * len(logits)
    bias = torch.zeros(classes)
    best, nearest = bias, float("inf")
    for _ in range(ROUNDS):
        counts = torch.bincount((logits + bias).argmax(1), minlength=classes)
        away = float((counts - wanted).abs().sum())
        if away < nearest:
            best, nearest = bias, away
        bias = bias + STEP * ((wanted + 1).log() - (counts + 1).log())
        bias = bias - bias.mean()
    return best


def described(name: str, shares: Tensor, added: Tensor) -> dict[str, object]:
    """As a manifest tells it."""
    rounded = ([round(value, 4) for value in values.tolist()] for values in (shares, added))
    return {"mix": name} | dict(zip(("shares", "added"), rounded, strict=True))
