"""A model's scores on a split, for a .pt through torch and for an .onnx through the runtime."""

from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from fer_runtime.dataset import Dataset, Faces, is_copy
from fer_runtime.metrics import Scores, score
from fer_runtime.session import Classifier
from fer_train import checkpoint
from fer_train.fit import predict


class Model:
    """Either kind of file. labels: in the order of the logits; size: input side in pixels."""

    def __init__(self, path: Path) -> None:
        """Raises FerError for a file that is neither a checkpoint of ours nor an exported model."""
        self._network: torch.nn.Module | None = None
        if path.suffix.lower() == ".onnx":
            self._classifier = Classifier(path)
            manifest = self._classifier.manifest
        else:
            loaded = checkpoint.load(path)
            self._network, manifest = loaded.network, loaded.manifest
        self.labels, self.size = manifest.labels, manifest.size

    def predictions(self, faces: Faces) -> NDArray[np.int64]:
        """The likeliest class of each face, int64 [n]."""
        if self._network is not None:
            return predict(self._network, faces, torch.device("cpu")).argmax(1).numpy()
        return self._classifier.predict(faces.pixels)


def evaluate(model: Model, data: Dataset, wanted: str | None) -> dict[str, Scores]:
    """Scores of each split asked for: "valid", "test", "all", or None for the best the data has.

    Where the data has a train split, each other split is also scored without the images whose pixels stand in train.
    Raises FerError for a split or class that is not there.
    """
    data = data.aligned(model.labels)
    names = list(data.splits) if wanted == "all" else [wanted or data.held_out()[0]]
    scores: dict[str, Scores] = {}
    for name in names:
        faces = data.split(name)
        predicted = model.predictions(faces)
        scores[name] = score(predicted, faces.labels, model.labels)
        if name != "train" and "train" in data.splits:
            own = ~is_copy(faces, [data.splits["train"]])
            if own.any() and not own.all():
                scores[f"{name}, not in train"] = score(predicted[own], faces.labels[own], model.labels)
    return scores
