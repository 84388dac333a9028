"""How well a model knows labelled faces, for a .pt through torch and for an .onnx through the runtime."""

from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from fer_runtime.data.dataset import Dataset, Faces, is_copy
from fer_runtime.data.label_order import better_order
from fer_runtime.data.metrics import Scores, at_mix, bootstrap, ece, one_hot, reliability, score, with_missed
from fer_runtime.errors import FerError
from fer_runtime.model.inference import batched, softmax
from fer_runtime.model.manifest import Manifest
from fer_runtime.model.session import Classifier
from fer_train import checkpoint
from fer_train.data.ferplus import Votes, left_out
from fer_train.inference import predict


class Model:
    """A checkpoint in PyTorch, or an exported model in onnxruntime."""

    manifest: Manifest
    """Its facts."""

    def __init__(self, path: Path) -> None:
        """Raises FerError for a file that is neither a checkpoint of ours nor an exported model."""
        self._path = path
        self._network: torch.nn.Module | None = None
        if path.suffix.lower() == ".onnx":
            self._classifier = Classifier(path)
            self.manifest = self._classifier.manifest
        else:
            loaded = checkpoint.load(path)
            self._network, self.manifest = loaded.network, loaded.manifest

    def logits(self, faces: Faces) -> NDArray[np.float32]:
        """float32 [n, classes]. Raises FerError where one is not finite."""
        if self._network is None:
            return batched(self._classifier.logits, faces.pixels)
        logits: NDArray[np.float32] = predict(self._network, faces.pixels).numpy()
        if not np.isfinite(logits).all():
            raise FerError(f"{self._path} gives numbers that are not finite: train the model again")
        return logits


@dataclass(frozen=True)
class Logits:
    """A model's logits on some faces."""

    plain: NDArray[np.float32]
    """Of the faces, [n, classes]."""
    mirrored: NDArray[np.float32]
    """Of their mirror images, [n, classes]."""

    def take(self, index: NDArray[np.int64]) -> "Logits":
        """Those at `index` (int64 [k])."""
        return Logits(self.plain[index], self.mirrored[index])


@dataclass(frozen=True)
class Section:
    """One model scored against one kind of label on some faces; figures of two sections need not be comparable."""

    name: str
    """The split, and which part of it or which labels."""
    faces: Faces
    """With the labels that count here."""
    probabilities: NDArray[np.float64]
    """At the stored temperature, [n, classes]."""
    scores: Scores
    """Accuracy, macro-F1 and the confusion matrix."""
    ranges: dict[str, tuple[float, float]]
    """95 % intervals of accuracy, macro-F1 and macro recall (`bootstrap`)."""
    ece: tuple[float, float]
    """Expected calibration error at temperature 1 and at the stored one."""
    ece_at_mix: tuple[float, float] | None
    """The same of faces weighted to the mix that the model is balanced on; None for a model without one."""
    reliability: tuple[NDArray[np.float64], NDArray[np.float64]]
    """Bins of the calibration error (`metrics.reliability`), for the same two."""
    flip_accuracy: float
    """Of the mean of a face's probabilities and its mirror image's."""
    left_out: dict[str, int] = field(default_factory=dict)
    """Faces without a label, by reason."""
    vote_ece: tuple[float, float] | None = None
    """With votes: the calibration error when every single vote is a label, for the same two temperatures."""
    vote_ece_at_mix: tuple[float, float] | None = None
    """The same, weighted to the balanced mix."""
    missed: NDArray[np.int64] | None = None
    """Photos of each class in which no face was found, int64 [classes], with --photos."""

    @property
    def with_missed(self) -> tuple[float, float]:
        """Accuracy and macro recall when a photo in which no face was found counts as wrong."""
        assert self.missed is not None
        return with_missed(self.scores, self.missed)

    def plain(self) -> dict[str, Any]:
        """For JSON, rounded to 5 digits; docs/reference/json.md says what each key means."""
        return (
            asdict(self.scores.rounded())
            | {
                "bootstrap": {name: np.round(ends, 5).tolist() for name, ends in self.ranges.items()},
                "macro_recall": round(self.scores.macro_recall, 5),
                "worst_class": self.scores.worst,
                "better_label_order": better_order(self.scores),
                "ece": _rounded(self.ece),
                "ece_at_mix": _rounded(self.ece_at_mix),
                "vote_ece": _rounded(self.vote_ece),
                "vote_ece_at_mix": _rounded(self.vote_ece_at_mix),
                "reliability": [np.round(bins, 5).tolist() for bins in self.reliability],
                "flip_averaged_accuracy": round(self.flip_accuracy, 5),
                "left_out": self.left_out,
            }
            | (
                {
                    "missed": self.missed.tolist(),
                    "with_missed": dict(zip(("accuracy", "macro_recall"), np.round(self.with_missed, 5), strict=True)),
                }
                if self.missed is not None
                else {}
            )
        )


@dataclass(frozen=True)
class Evaluation:
    """Sections against the data's own labels, and apart from them those against the votes' majority."""

    labelled: list[Section]
    voted: list[Section]

    def plain(self) -> dict[str, Any]:
        """For JSON: the two kinds of figure under keys of their own, "splits" and "voted_splits"."""
        both = {"splits": self.labelled, "voted_splits": self.voted}
        return {key: {section.name: section.plain() for section in sections} for key, sections in both.items()}


def evaluate(model: Model, data: Dataset, wanted: str | None, votes: Votes | None) -> Evaluation:
    """Score `model` on each split asked for: "valid", "test", "all", or None for the best the data has.

    data: as the model takes it (fer_runtime.data.scoring_set). Where it has a train split, each other split is also
    scored without the images whose exact duplicates are in train.
    With `votes`, each of these is scored a second time, against the class with most votes.
    Raises FerError for a split that is not there, or votes for none of the faces.
    """
    found = Evaluation([], [])
    for name in list(data.splits) if wanted == "all" else [wanted or data.held_out()[0]]:
        everything = data.split(name)
        turned = replace(everything, pixels=np.ascontiguousarray(everything.pixels[..., ::-1]))
        logits = Logits(model.logits(everything), model.logits(turned))
        for part, index in _parts(name, data).items():
            faces, its_logits = everything.take(index), logits.take(index)
            found.labelled.append(_section(part, faces, its_logits, model.manifest))
            if votes:
                majority = votes.majority(faces.names)
                if (known := np.flatnonzero(majority >= 0)).size:
                    voted = replace(faces, labels=majority).take(known)
                    section = _section(f"{part}, FER+ majority", voted, its_logits.take(known), model.manifest)
                    vote_ece, at_mix = _calibration(its_logits.plain, votes.shares(faces.names)[0], model.manifest)
                    section = replace(section, vote_ece=vote_ece, vote_ece_at_mix=at_mix)
                    found.voted.append(replace(section, left_out=left_out(majority)))
    if votes and not found.voted:
        example = found.labelled[0].faces.names[0]
        raise FerError(f"the votes name a class for none of the faces: expected lines for paths such as {example!r}")
    return found


def _parts(name: str, data: Dataset) -> dict[str, NDArray[np.int64]]:
    """Which faces of a split make a section: all of them, and those that do not stand in train."""
    faces = data.split(name)
    parts = {name: np.arange(len(faces))}
    if name != "train" and "train" in data.splits:
        own = np.flatnonzero(~is_copy(faces, [data.splits["train"]]))
        if 0 < len(own) < len(faces):
            parts[f"{name}, not in train"] = own
    return parts


def _section(name: str, faces: Faces, logits: Logits, manifest: Manifest) -> Section:
    scores = score(logits.plain.argmax(1), faces.labels, manifest.labels)
    raw, scaled = (softmax(logits.plain, temperature) for temperature in (1.0, manifest.temperature))
    both = scaled + softmax(logits.mirrored, manifest.temperature)
    own, weighted = _calibration(logits.plain, one_hot(faces.labels, len(manifest.labels)), manifest)
    return Section(
        name,
        faces,
        scaled,
        scores,
        bootstrap(scores),
        own,
        weighted,
        (reliability(raw, faces.labels), reliability(scaled, faces.labels)),
        float((both.argmax(1) == faces.labels).mean()),
    )


def _calibration(
    logits: NDArray[np.float32], targets: NDArray[np.floating[Any]], manifest: Manifest
) -> tuple[tuple[float, float], tuple[float, float] | None]:
    """The ECE at temperature 1 and at the stored one: of `targets` as they are, and weighted to the balanced mix."""
    raw, scaled = (softmax(logits, temperature) for temperature in (1.0, manifest.temperature))
    shares = manifest.balance.get("shares")
    weighted = at_mix(targets, shares) if shares else None
    return (
        (ece(raw, targets), ece(scaled, targets)),
        None if weighted is None else (ece(raw, weighted), ece(scaled, weighted)),
    )


def _rounded(figures: tuple[float, float] | None) -> list[float] | None:
    return None if figures is None else [round(figure, 5) for figure in figures]
