"""Recall and false detections on labelled photographs, through the whole loop."""

import csv
from dataclasses import dataclass, replace
from pathlib import Path

from fer_runtime.errors import FerError
from fer_runtime.faces.similarity import overlap
from fer_runtime.model.session import Classifier
from fer_runtime.pipeline.loop import Loop
from fer_runtime.sources.factory import open_source
from fer_runtime.sources.files import Pictures
from fer_runtime.types import Box, Frame

FPS = 25
MIN_IOU = 0.4  # of a found face with a labelled one, unless its centre lies inside


@dataclass(frozen=True)
class DetectionResult:
    """Found and missed faces of labelled photographs."""

    photos: int
    faces: int
    """Labelled ones."""
    found: int
    """Of the labelled ones."""
    false_alarms: int
    """Found faces that are not labelled."""
    missed: tuple[str, ...]
    """File and box of each."""


def measure(folder: Path, classifier: Classifier, seconds: float = 0.0) -> DetectionResult:
    """Run the loop on the photographs that a folder's `boxes.csv` names: image,x,y,w,h in pixels, one row per face.

    seconds: for which each photograph is shown as a video that stands still, whose last frame counts; 0: as a picture.
    A photograph without a face has a row without numbers; those that are not named do not count. Raises FerError.
    """
    labelled = _boxes(folder / "boxes.csv")
    photos = {frame.name: frame for frame in open_source(str(folder)).frames() if frame.name in labelled}
    absent = labelled.keys() - photos.keys()
    if absent:
        raise FerError(f"{folder / 'boxes.csv'} has boxes of {min(absent)}, which cannot be read there")
    found = {name: _found(frame, classifier, seconds) for name, frame in photos.items()}
    matched = {name: match(found[name], boxes) for name, boxes in labelled.items()}
    missed = [f"{name} {box}" for name, boxes in labelled.items() for box in boxes if box not in matched[name]]
    faces, seen = (sum(map(len, each.values())) for each in (labelled, found))
    return DetectionResult(len(photos), faces, faces - len(missed), seen - (faces - len(missed)), tuple(missed))


def _found(photo: Frame, classifier: Classifier, seconds: float) -> list[Box]:
    """The boxes of the faces in a photograph, shown for so long."""
    loop = Loop(Pictures([]), classifier)
    if not seconds:
        return [face.box for face in loop.process(photo).faces]
    for index in range(1 + round(seconds * FPS)):
        result = loop.process(replace(photo, index=index, at=index / FPS))
    return [face.box for face in result.faces]


def match(found: list[Box], labelled: list[Box]) -> list[Box]:
    """The labelled boxes that were found: each found one counts for one of them, those that overlap most first."""
    pairs = sorted(((overlap(f, b), i, j) for i, f in enumerate(found) for j, b in enumerate(labelled)), reverse=True)
    taken: dict[int, int] = {}
    for share, i, j in pairs:
        if (share >= MIN_IOU or centre_inside(found[i], labelled[j])) and i not in taken and j not in taken.values():
            taken[i] = j
    return [labelled[j] for j in sorted(taken.values())]


def centre_inside(box: Box, other: Box) -> bool:
    """Whether the centre of `box` lies in `other`."""
    x, y = box[0] + box[2] / 2, box[1] + box[3] / 2
    return other[0] <= x <= other[0] + other[2] and other[1] <= y <= other[1] + other[3]


def _boxes(path: Path) -> dict[str, list[Box]]:
    """By image. Raises FerError."""
    boxes: dict[str, list[Box]] = {}
    try:
        with path.open(newline="", encoding="utf-8") as file:
            for row in csv.DictReader(file):
                of_image = boxes.setdefault(row["image"], [])
                if any(row[name] for name in "xywh"):
                    x, y, width, height = (float(row[name]) for name in "xywh")
                    of_image.append((x, y, width, height))
    except (OSError, KeyError, TypeError, ValueError) as error:
        raise FerError(f"{path} cannot be read as boxes ({error}): expected the columns image,x,y,w,h") from error
    return boxes
