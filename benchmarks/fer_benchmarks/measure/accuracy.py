"""How accurate a model is: the very process that was timed classifies the labelled faces."""

from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from fer_benchmarks.classifiers.client import Worker
from fer_benchmarks.classifiers.specs import ModelSpec
from fer_benchmarks.results import DataFacts, ModelScores, packed
from fer_runtime.data import dataset
from fer_runtime.data.dataset import Dataset, Faces
from fer_runtime.data.metrics import bootstrap, ece, score

Kind = tuple[int, str]  # size in pixels, colour


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

    def faces(self, spec: ModelSpec) -> Faces:
        """In the model's size, colour and order of labels. Raises FerError for a class that it does not know."""
        return self.sets[spec.size, spec.colour].aligned(spec.labels).splits[self.split]

    def facts(self) -> DataFacts:
        """For the report."""
        first = next(iter(self.sets.values()))
        return DataFacts(self.name, self.split, len(first.splits[self.split]), first.fingerprint, list(self.notes))


def read(path: Path, specs: list[ModelSpec]) -> Data:
    """The held-out split of the data, for all models. Raises FerError, also for a class that one does not know."""
    kinds = dict.fromkeys((spec.size, spec.colour) for spec in specs)
    sets = {kind: dataset.load(path, kind[0], colour=kind[1]) for kind in kinds}
    first = next(iter(sets.values()))
    split = first.held_out()[0]
    only = {kind: Dataset(data.classes, {split: data.splits[split]}) for kind, data in sets.items()}
    data = Data(path.name, split, only, first.notes)
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


def scores(spec: ModelSpec, found: NDArray[np.float64], faces: Faces) -> ModelScores:
    """found: probabilities [n, classes] of the faces. Shares are rounded to 5 digits."""
    predicted = found.argmax(1)
    scored = score(predicted, faces.labels, spec.labels)
    return ModelScores(
        **asdict(scored.rounded()),
        bootstrap={name: (round(low, 5), round(high, 5)) for name, (low, high) in bootstrap(scored).items()},
        worst_class=scored.worst,
        ece=round(ece(found, faces.labels), 5),
        correct=packed(predicted == faces.labels),
    )
