"""Searches for new faces: when a frame is searched, and how much of it."""

from collections.abc import Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

from fer_runtime.faces.detection import Detection, Detector, moved, shrunk_side
from fer_runtime.types import Box

DEFAULT_INTERVAL_S = 0.4  # between searches: with the looks at what they propose, a new face is found within 0.5 s
MAX_QUIET_S = 2.0  # after which the whole frame is searched though nothing changed
FINE_INTERVAL_S = 4.0  # between searches of a whole frame at the detector's own scale
MIN_COLOUR = 4.0  # mean spread of the cells' channels, 0..255 (photos: 17 to 53), below which all searches are fine
MAP = (40, 30)  # cells across and down in which changes are looked for: a face that can be found covers several
SAMPLES = 8  # pixels across and down that stand for a cell: their mean hides a sensor's noise
MIN_CHANGE = 3.0  # of a cell's mean, 0..255
MARGIN = 0.15  # of the frame's sides, searched around what changed: a face shows beyond what moves of it
HEAD = 0.3  # of a known face's sides, on each side, in which changes are its own


class Search:
    """Looks for faces at intervals where something changed since the last time, and now and then everywhere.

    Where only a part of the frame changed, that part is searched, as a frame of its size would be.
    """

    def __init__(self, detector: Detector, interval: float = DEFAULT_INTERVAL_S, fine: Detector | None = None) -> None:
        """detector: of frames. interval: seconds between two searches.

        fine: sees what the detector misses; it searches the first frame, a new scene and one every FINE_INTERVAL_S, and
        in place of the detector what has no colour, where that misses more.
        """
        self._detector, self._interval, self._fine = detector, interval, fine or detector
        self._refined = -np.inf  # when the last fine search was
        self._next = self._last = self._whole = -np.inf  # when one is due; when the last was, and that of a whole frame
        self._map: NDArray[np.uint8] | None = None  # of the frame that was searched last

    def hasten(self, at: float, pause: float = 0.0) -> None:
        """Search a whole frame from this time on, as in another scene. pause: least seconds since the last search."""
        self._next, self._map = min(self._next, max(at, self._last + pause)), None
        if not pause:
            self._refined = -np.inf

    def is_due(self, at: float) -> bool:
        """Whether the frame of this time, seconds on the source's clock, is looked at; where the clock jumped it is."""
        return not 0 < self._next - at <= self._interval

    def __call__(
        self, image: NDArray[np.uint8], at: float, known: Sequence[Box], whole: bool = False
    ) -> list[Detection] | None:
        """The faces in what is searched of this frame (uint8 BGR [h, w, 3]); None where nothing is.

        at: its time, seconds. known: boxes of the faces that are followed. whole: search all of it, finely.
        """
        self._next, self._last = at + self._interval, at
        cells = _cells(image)
        before, now = self._map, np.asarray(cv2.cvtColor(cells, cv2.COLOR_BGR2GRAY), np.uint8)
        if whole:
            self._refined = -np.inf
        if whole or before is None or not 0 <= at - self._whole < MAX_QUIET_S:
            area: tuple[int, int, int, int] | None = (0, 0, image.shape[1], image.shape[0])
        else:
            area = _changed(before, now, image.shape[:2], known)
        if area is None:
            return None
        self._map = now
        return self._detect(image, area, at, self._fine if _is_grey(cells) else self._detector)

    def _detect(
        self, image: NDArray[np.uint8], area: tuple[int, int, int, int], at: float, detector: Detector
    ) -> list[Detection]:
        """Search this part (left, top, right, bottom), or the whole frame where that costs no more."""
        left, top, right, bottom = area
        if _pixels(right - left, bottom - top) < _pixels(image.shape[1], image.shape[0]):
            return [moved(each, left, top) for each in detector(image[top:bottom, left:right])]
        self._whole = at
        if not 0 <= at - self._refined < FINE_INTERVAL_S:
            self._refined = at
            return self._fine(image)
        return detector(image)


def _pixels(width: int, height: int) -> float:
    """That a detector looks at in a frame of this size, or a number in proportion to it."""
    return (shrunk_side(width, height) / max(width, height)) ** 2 * width * height


def _cells(image: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Mean colour of each cell, uint8 BGR [30, 40, 3]."""
    samples = cv2.resize(image, (MAP[0] * SAMPLES, MAP[1] * SAMPLES), interpolation=cv2.INTER_NEAREST)
    return np.asarray(cv2.resize(samples, MAP, interpolation=cv2.INTER_AREA), np.uint8)


def _is_grey(cells: NDArray[np.uint8]) -> bool:
    return float((cells.max(2) - cells.min(2)).mean()) < MIN_COLOUR


def _changed(
    before: NDArray[np.uint8], now: NDArray[np.uint8], shape: tuple[int, ...], known: Sequence[Box]
) -> tuple[int, int, int, int] | None:
    """Left, top, right and bottom of the part of the frame in which cells changed beside known faces, with a margin."""
    height, width = shape[:2]
    changed = cv2.absdiff(before, now) > MIN_CHANGE
    across, down = MAP[0] / width, MAP[1] / height
    for x, y, w, h in known:
        rows = slice(max(0, int((y - HEAD * h) * down)), max(0, int((y + (1 + HEAD) * h) * down) + 1))
        changed[rows, max(0, int((x - HEAD * w) * across)) : max(0, int((x + (1 + HEAD) * w) * across) + 1)] = False
    rows_with, columns_with = np.flatnonzero(changed.any(1)), np.flatnonzero(changed.any(0))
    if not rows_with.size:
        return None
    left, right = columns_with[0] / MAP[0] - MARGIN, (columns_with[-1] + 1) / MAP[0] + MARGIN
    top, bottom = rows_with[0] / MAP[1] - MARGIN, (rows_with[-1] + 1) / MAP[1] + MARGIN
    return (
        round(max(0.0, left) * width),
        round(max(0.0, top) * height),
        round(min(1.0, right) * width),
        round(min(1.0, bottom) * height),
    )
