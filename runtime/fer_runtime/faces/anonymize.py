"""Faces made unrecognisable, before any output sees the picture."""

from collections.abc import Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

from fer_runtime.faces.detection import RetinaFace
from fer_runtime.faces.similarity import overlap
from fer_runtime.types import Box

MARGIN = 0.35  # of a box's sides, added on each side: hair, ears and a head that moves on
MEMORY_S = 1.0  # for which a place stays covered after a face was last found there
TILES = 4  # across a face: both eyes are in two of them; what a network or a person could tell is gone, not just soft
MIN_SAME_OVERLAP = 0.7  # overlap with a face's place of before, which the new one then stands for


class Blur:
    """Covers every place where a face is, may be, or was a moment ago with coarse tiles.

    It searches every frame as a whole itself, with a detector that rather covers too much, since the loop's finds a new
    face up to half a second late. A face that no detector sees, as one turned away, is not covered unless it was seen
    just before.
    """

    def __init__(self, threads: int = 1) -> None:
        """threads: of its detector, which works at twice the loop's resolution, with a low threshold."""
        self._detector = RetinaFace(side=640, threshold=0.25, threads=threads)
        self._places: list[tuple[Box, float]] = []  # and when a face was last found there

    def __call__(self, image: NDArray[np.uint8], boxes: Sequence[Box], at: float | None) -> NDArray[np.uint8]:
        """A copy of the frame (uint8 BGR [h, w, 3]) without its faces; boxes: those known, at: its time, seconds."""
        found = [*boxes, *(detection.box for detection in self._detector(image))]
        if at is None:
            self._places = [(box, 0.0) for box in found]
        else:
            self._places = [
                (box, seen)
                for box, seen in self._places
                if 0 <= at - seen < MEMORY_S and all(overlap(box, new) < MIN_SAME_OVERLAP for new in found)
            ] + [(box, at) for box in found]
        picture = image.copy()
        for box, _ in self._places:
            _cover(picture, box)
        return picture


def _cover(picture: NDArray[np.uint8], box: Box) -> None:
    x, y, width, height = box
    left, top = (max(0, round(v)) for v in (x - MARGIN * width, y - MARGIN * height))
    right, bottom = (max(0, round(v)) for v in (x + (1 + MARGIN) * width, y + (1 + MARGIN) * height))
    area = picture[top:bottom, left:right]
    if area.size:
        tile = max(1.0, min(width, height) / TILES)
        across, down = (max(1, round(side / tile)) for side in (area.shape[1], area.shape[0]))
        tiles = cv2.resize(area, (across, down), interpolation=cv2.INTER_AREA)
        area[:] = cv2.resize(tiles, (area.shape[1], area.shape[0]), interpolation=cv2.INTER_NEAREST)
