"""What was evaluated on what and with what, for the reports: names of files without their folders."""

import platform
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import onnxruntime
import torch

from fer_runtime.data.dataset import Dataset
from fer_runtime.files import sha256
from fer_runtime.model.manifest import Manifest


@dataclass(frozen=True)
class ModelFacts:
    """The evaluated model."""

    file: str
    sha256: str
    precision: str
    temperature: float
    labels: list[str]


@dataclass(frozen=True)
class DataFacts:
    """The labelled faces."""

    file: str
    fingerprint: str
    notes: list[str]


@dataclass(frozen=True)
class VotesFacts:
    """The file of FER+ votes."""

    file: str
    sha256: str


@dataclass(frozen=True)
class EvaluationFacts:
    """All of it."""

    model: ModelFacts
    data: DataFacts
    votes: VotesFacts | None
    versions: dict[str, str]
    """By package."""


def describe(model: Path, manifest: Manifest, data: Path, faces: Dataset, votes: Path | None) -> EvaluationFacts:
    """faces: read from `data`."""
    return EvaluationFacts(
        ModelFacts(model.name, sha256(model), manifest.precision, manifest.temperature, list(manifest.labels)),
        DataFacts(data.resolve().name, faces.fingerprint, list(faces.notes)),
        VotesFacts(votes.name, sha256(votes)) if votes else None,
        {
            "python": platform.python_version(),
            "numpy": np.__version__,
            "opencv": cv2.__version__,
            "onnxruntime": onnxruntime.__version__,
            "torch": str(torch.__version__),
        },
    )
