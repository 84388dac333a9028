"""How accurate a model is: the very process that was timed classifies the labelled faces."""

from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from fer_benchmarks.classifiers.client import Worker
from fer_benchmarks.classifiers.specs import ModelSpec
from fer_benchmarks.results import DataFacts, ModelScores, packed
from fer_runtime.data import dataset, photos
from fer_runtime.data.dataset import Dataset, Faces
from fer_runtime.data.metrics import bootstrap, ece, score, with_missed
from fer_runtime.data.photos import Photos
from fer_runtime.model.preprocessing import FER2013, Framing

Kind = tuple[int, str, Framing, tuple[str, ...]]  # size in pixels, colour, and of photos framing and labels


@dataclass(frozen=True)
class Data:
    """The labelled faces, as each kind of model takes them, always the same ones in the same order."""

    name: str
    """Of the file or folder."""
    split: str
    sets: dict[Kind, Dataset]
    """The split alone, by kind."""
    notes: tuple[str, ...]
    """For the user."""
    missed: dict[Kind, NDArray[np.int64]] | None = None
    """Of photos: how many of each class show no face, int64 [classes], in the order of the kind's labels."""

    def kind(self, spec: ModelSpec) -> Kind:
        """Which of the sets the model takes."""
        whole = self.missed is not None
        return spec.size, spec.colour, spec.framing if whole else FER2013, spec.labels if whole else ()

    def faces(self, spec: ModelSpec) -> Faces:
        """In the model's size, colour and order of labels. Raises FerError for a class that it does not know."""
        return self.sets[self.kind(spec)].aligned(spec.labels).splits[self.split]

    def missed_by(self, spec: ModelSpec) -> NDArray[np.int64] | None:
        """Photos of each of the model's classes in which no face was found, int64 [classes]; None for faces."""
        return None if self.missed is None else self.missed[self.kind(spec)]

    def facts(self) -> DataFacts:
        """For the report."""
        first = next(iter(self.sets.values()))
        return DataFacts(self.name, self.split, len(first.splits[self.split]), first.fingerprint, list(self.notes))


def read(path: Path, specs: list[ModelSpec], whole: bool = False) -> Data:
    """The held-out split of the data, for all models; `whole` for photos, in which the faces are found first.

    Raises FerError, also for a class that one model does not know.
    """
    data = Data(path.name, "", {}, (), {} if whole else None)
    sets: dict[Kind, Dataset] = {}
    found: dict[Kind, Photos] = {}
    for spec in specs:
        kind = data.kind(spec)
        if whole and kind not in found:
            found[kind] = photos.load(path, spec)
            sets[kind] = found[kind].faces
        elif kind not in sets:
            sets[kind] = dataset.load(path, spec.size, colour=spec.colour)
    first = next(iter(sets.values()))
    split = first.held_out()[0]
    only = {kind: Dataset(of.classes, {split: of.splits[split]}) for kind, of in sets.items()}
    missed = {kind: of.missed[split] for kind, of in found.items()} if whole else None
    notes = list(first.notes)
    if missed and (count := int(next(iter(missed.values())).sum())):
        notes.append(f"{count} photos show no face that the detector finds")
    data = Data(path.name, split, only, tuple(notes), missed)
    for spec in specs:
        data.faces(spec)
    return data


def crops(faces: Faces) -> NDArray[np.uint8]:
    """Faces as they stand in a frame: uint8 [n, h, w] grey or [n, h, w, 3] BGR."""
    if faces.pixels.shape[1] == 1:
        return faces.pixels[:, 0]
    return np.ascontiguousarray(faces.pixels.transpose(0, 2, 3, 1)[..., ::-1])


def probabilities(worker: Worker, images: NDArray[np.uint8], scratch: Path) -> NDArray[np.float64]:
    """[n, classes], of the worker's model; scratch: a folder. Raises FerError when it dies."""
    file = scratch / "crops.npy"
    np.save(file, images)
    return worker.score(file, len(images))


def scores(
    spec: ModelSpec, found: NDArray[np.float64], faces: Faces, missed: NDArray[np.int64] | None = None
) -> ModelScores:
    """found: probabilities [n, classes] of the faces; missed: as of `Data.missed_by`. Figures have 5 digits."""
    predicted = found.argmax(1)
    scored = score(predicted, faces.labels, spec.labels)
    return ModelScores(
        **asdict(scored.rounded()),
        bootstrap={name: (round(low, 5), round(high, 5)) for name, (low, high) in bootstrap(scored).items()},
        worst_class=scored.worst,
        ece=round(ece(found, faces.labels), 5),
        correct=packed(predicted == faces.labels),
        missed=None if missed is None else missed.tolist(),
        with_missed=None
        if missed is None
        else dict(zip(("accuracy", "macro_recall"), np.round(with_missed(scored, missed), 5).tolist(), strict=True)),
    )
