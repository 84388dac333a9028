"""How right a classifier is: its very process that was timed answers the data's crops."""

import base64
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fer_benchmarks.classifiers.client import Worker
from fer_benchmarks.classifiers.specs import Entrant
from fer_runtime.data import dataset
from fer_runtime.data.dataset import Dataset, Faces
from fer_runtime.data.metrics import bootstrap, ece, score

Kind = tuple[int, str]  # size in pixels, colour


@dataclass(frozen=True)
class Data:
    """The faces to score on, as each kind of classifier takes them, always the same ones in the same order.

    split: which of the data's; sets: by kind; notes: what a user should be told.
    """

    split: str
    sets: dict[Kind, Dataset]
    notes: tuple[str, ...]

    def faces(self, entrant: Entrant) -> Faces:
        """In the entrant's size, colour and order of labels. Raises FerError for a class that it does not know."""
        return self.sets[entrant.size, entrant.colour].aligned(entrant.labels).splits[self.split]

    def plain(self, path: Path) -> dict[str, Any]:
        """For JSON."""
        first = next(iter(self.sets.values()))
        return {
            "name": path.name,
            "split": self.split,
            "n": len(first.splits[self.split]),
            "fingerprint": first.fingerprint,
            "notes": list(self.notes),
        }


def read(path: Path, entrants: list[Entrant]) -> Data:
    """The held-out split of the data, for all entrants. Raises FerError, also for a class that one does not know."""
    kinds = dict.fromkeys((entrant.size, entrant.colour) for entrant in entrants)
    sets = {kind: dataset.load(path, kind[0], colour=kind[1]) for kind in kinds}
    first = next(iter(sets.values()))
    split = first.held_out()[0]
    only = {kind: Dataset(data.classes, {split: data.splits[split]}) for kind, data in sets.items()}
    data = Data(split, only, first.notes)
    for entrant in entrants:
        data.faces(entrant)
    return data


def crops(faces: Faces) -> NDArray[np.uint8]:
    """Faces as they stand in a frame: uint8 [n, h, w] grey or [n, h, w, 3] BGR."""
    if faces.pixels.shape[1] == 1:
        return faces.pixels[:, 0]
    return np.ascontiguousarray(faces.pixels.transpose(0, 2, 3, 1)[..., ::-1])


def answers(worker: Worker, images: NDArray[np.uint8], scratch: Path) -> NDArray[np.float64]:
    """Probabilities [n, classes] of the worker's classifier; scratch: a folder. Raises FerError when it dies."""
    file = scratch / "crops.npy"
    np.save(file, images)
    return worker.score(file, len(images))


def scores(entrant: Entrant, probabilities: NDArray[np.float64], faces: Faces) -> dict[str, Any]:
    """Plain figures for JSON; `right` has a bit a face, packed, in base64, for paired comparisons later."""
    found = score(probabilities.argmax(1), faces.labels, entrant.labels)
    return found.plain() | {
        "bootstrap": {name: [round(end, 5) for end in ends] for name, ends in bootstrap(found).items()},
        "worst": found.worst,
        "ece": round(ece(probabilities, faces.labels), 5),
        "right": base64.b64encode(np.packbits(probabilities.argmax(1) == faces.labels).tobytes()).decode(),
    }


def right(plain: dict[str, Any]) -> NDArray[np.bool_]:
    """bool [n] out of `scores`. Raises ValueError for bits that do not fit."""
    bits = np.unpackbits(np.frombuffer(base64.b64decode(plain["right"]), np.uint8))
    if not 0 <= len(bits) - plain["n"] < 8:
        raise ValueError("`right` does not have a bit a face")
    return bits[: plain["n"]].astype(bool)
