"""Accuracy of the very file that is timed, by the runtime's own code."""

from pathlib import Path

from fer_runtime import dataset
from fer_runtime.dataset import Faces
from fer_runtime.metrics import Scores, score
from fer_runtime.session import Classifier


def faces_for(classifiers: list[Classifier], path: Path) -> tuple[str, list[Faces], tuple[str, ...]]:
    """The split that is scored, its faces for each classifier (in its size and label order), and notes for the user.

    Raises FerError for bad data or a class that a classifier does not know.
    """
    kinds = [(classifier.size, classifier.manifest.colour) for classifier in classifiers]
    by_kind = {(size, colour): dataset.load(path, size, colour=colour) for size, colour in set(kinds)}
    aligned = [by_kind[kind].aligned(each.labels) for kind, each in zip(kinds, classifiers, strict=True)]
    return aligned[0].held_out()[0], [data.held_out()[1] for data in aligned], aligned[0].notes


def measure(classifier: Classifier, faces: Faces) -> Scores:
    """Scores of the classifier on its faces."""
    return score(classifier.predict(faces.pixels), faces.labels, classifier.labels)
