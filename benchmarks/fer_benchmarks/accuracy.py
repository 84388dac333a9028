"""Accuracy of the very file that is timed, by the runtime's own code."""

from pathlib import Path

import numpy as np

from fer_runtime import dataset
from fer_runtime.metrics import Scores, score
from fer_runtime.session import Classifier


def measure(classifiers: list[Classifier], data: Path) -> tuple[str, list[Scores]]:
    """The split used (validation, else test, else all there is) and each classifier's scores on it. Raises FerError."""
    loaded: dict[int, dataset.Dataset] = {}
    results = []
    for classifier in classifiers:
        if classifier.size not in loaded:
            loaded[classifier.size] = dataset.load(data, classifier.size)
        faces_of = loaded[classifier.size].aligned(classifier.labels)
        split = next(name for name in ("valid", "test", "train") if name in faces_of.splits)
        faces = faces_of.splits[split]
        chunks = np.array_split(faces.pixels, max(1, len(faces) // 64))
        predicted = np.concatenate([classifier.logits(chunk).argmax(1) for chunk in chunks])
        results.append(score(predicted, faces.labels, classifier.labels))
    return split, results
