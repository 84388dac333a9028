"""The data that a model is scored on: its pixels as the model takes them, its labels in the model's order."""

from pathlib import Path
from typing import Protocol

from fer_runtime.data import dataset
from fer_runtime.data.dataset import Dataset


class ModelInput(Protocol):
    """What has to be known of a model: a manifest says it, or options do."""

    @property
    def labels(self) -> tuple[str, ...]:
        """In the order of the model's outputs."""

    @property
    def size(self) -> int:
        """Side of its input in pixels."""

    @property
    def colour(self) -> str:
        """Of its input: "grey" or "rgb"."""


def load(path: Path, model: ModelInput) -> Dataset:
    """All splits of the data in `path`, as `model` takes them; `Dataset.held_out` is the one to score on.

    Raises FerError for data that cannot be read, and for a class that the model does not know.
    """
    return dataset.load(path, model.size, colour=model.colour).aligned(model.labels)
