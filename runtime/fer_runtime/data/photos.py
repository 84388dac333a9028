"""Labelled photos as the camera's pipeline sees them: the face is found, framed and cut out."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from fer_runtime.data import class_names, index
from fer_runtime.data.dataset import Dataset, Faces
from fer_runtime.data.decode import decode_bgr, read_picture
from fer_runtime.data.index import SPLITS, Entry, Split
from fer_runtime.data.scoring_set import ModelInput
from fer_runtime.errors import FerError
from fer_runtime.faces.detection import Detection, Detector, RetinaFace
from fer_runtime.model.preprocessing import Framing, crop, tilt


class FramedInput(ModelInput, Protocol):
    """What has to be known of a model to cut out faces for it."""

    @property
    def framing(self) -> Framing:
        """Where the detector's box lies in its faces."""


@dataclass(frozen=True)
class Photos:
    """Photos of one face each, or of one that is larger than the others."""

    faces: Dataset
    """The faces that were found, as the model takes them."""
    missed: dict[Split, NDArray[np.int64]]
    """How many photos of each class show no face that the detector finds, int64 [classes]."""


def find(read: Callable[[], bytes], detector: Detector) -> tuple[NDArray[np.uint8] | None, list[Detection]]:
    """The photo, uint8 BGR [h, w, 3], turned as its EXIF data says, and the faces on it; None if it is broken."""
    image = read_picture(read, decode_bgr)
    return image, [] if image is None else detector(image)


def load(path: Path, model: FramedInput) -> Photos:
    """The largest face of each photo in `path`, a folder or zip of photos in class folders.

    Raises FerError for data that cannot be read, a class that the model does not know, or photos without any face.
    """
    detector = RetinaFace()
    with index.opened(path) as photos:
        meant, notes = class_names.of_model(photos.classes, model.labels)
        by_split = {split: [entry for entry in photos.entries if entry.split == split] for split in SPLITS}
        cut = {split: _cut(here, meant, model, detector) for split, here in by_split.items() if here}
    found = {split: faces for split, (faces, _) in cut.items() if faces is not None}
    if not found:
        raise FerError(f"no face was found on any photo in {path}: expected photos, or face crops without --photos")
    faces = Dataset(model.labels, found, (*photos.notes, *notes), photos.understood)
    return Photos(faces, {split: cut[split][1] for split in found})


def _cut(
    entries: list[Entry], meant: dict[str, str], model: FramedInput, detector: Detector
) -> tuple[Faces | None, NDArray[np.int64]]:
    """The faces of one split, None without any, and how many photos of each class show none.

    meant: the model's class for each of the data's.
    """
    crops: list[NDArray[np.uint8]] = []
    labels: list[int] = []
    names: list[str] = []
    missed = np.zeros(len(model.labels), np.int64)
    for entry in entries:
        label = model.labels.index(meant[entry.label])
        photo, detections = find(entry.read, detector)
        if photo is None or not detections:
            missed[label] += 1
            continue
        face = max(detections, key=lambda each: each.box[3])
        crops.append(crop(photo, face.box, model.framing, model.size, model.colour, tilt(face.landmarks)))
        labels.append(label)
        names.append(entry.name)
    return (Faces(np.stack(crops), np.array(labels, np.int64), tuple(names)) if crops else None), missed
