"""Pairs of pictures that are one photo: another crop, brightness, watermark or compression, or its mirror image."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

SIDE = 48  # of the pictures, to which the numbers below belong
LOW = 8  # lowest frequencies, across and down, that the search looks at
COARSE = 0.90  # cosine of low frequencies from which two pictures are compared pixel by pixel
SHIFT = 3  # pixels by which two crops of one photo may be apart
SAME = 0.94  # correlation of pixels from which they are one photo
BLANK = 2.0  # grey levels: a lower standard deviation shows nothing (FER2013: 13 lie below 0.7, the next at 4.4)
ROWS = 256  # pictures held against all others at a time: with 32,000 others, 33 MB of cosines


@dataclass(frozen=True)
class Match:
    """Two pictures of one photo."""

    first: int
    """Index of one of them."""
    second: int
    """Index of the other, larger."""
    correlation: float
    """Of their pixels, up to 1."""
    mirrored: bool
    """Whether one is the other's mirror image."""


def is_blank(picture: NDArray[np.uint8]) -> bool:
    """Whether a picture (uint8 [48, 48]) has no contrast, or next to none, away from its edge."""
    return bool(_inner(picture).std() < BLANK)


def matches(pictures: NDArray[np.uint8], track: Callable[[range], Iterable[int]]) -> Iterator[Match]:
    """All pairs of one photo among `pictures`, uint8 [n, 48, 48], none of them blank; `track` shows the steps.

    Every two pictures are compared by their 63 lowest frequencies, as pHash does (Zauner 2010, "Implementation and
    Benchmarking of Perceptual Image Hash Functions"), but as numbers, not as bits: three in four of FER2013's pairs
    differ in more than the 3 bits that an index of hashes finds. Pairs that come near are compared by their pixels,
    under shifts. Of 400 FER2013 faces, it finds again all that are mirrored, darkened to 60 %, saved as JPEG of quality
    50 or shifted by 1 pixel, nine in ten shifted by 2 to a side, one in five by 3, and few turned by 5 degrees or
    zoomed by a tenth.

    Both thresholds were chosen by looking at FER2013's pairs. Of 72 drawn from correlations of 0.94 to 0.95, each is
    one photo (or two of one moment), as are 72 that only a shift brings above 0.94, and all 27 mirrored ones. From
    0.92 to 0.94 a few show two people; from 0.90 to 0.92 one in six does.
    """
    plain = _low_frequencies(pictures)
    flipped = plain * np.tile((-1.0) ** np.arange(LOW, dtype=np.float32), LOW)[1:]  # a mirror turns odd waves over
    for start in track(range(0, len(pictures), ROWS)):
        best: dict[tuple[int, int], Match] = {}
        for mirrored, others in ((False, plain), (True, flipped)):
            rows, columns = np.nonzero(plain[start : start + ROWS] @ others[start:].T > COARSE)
            for first, second in zip(rows[rows < columns] + start, columns[rows < columns] + start, strict=True):
                match = _compared(pictures, int(first), int(second), mirrored)
                other = best.get((match.first, match.second))  # the same pair, not mirrored
                if match.correlation > (other.correlation if other else SAME):
                    best[match.first, match.second] = match
        yield from best.values()


def _low_frequencies(pictures: NDArray[np.uint8]) -> NDArray[np.float32]:
    """float32 [n, 63] of length 1: the lowest frequencies of the cosine transform (DCT-II) but the mean."""
    waves = np.cos(np.pi * np.outer(np.arange(LOW), 2 * np.arange(SIDE) + 1) / (2 * SIDE)).astype(np.float32)
    waves[0] /= np.sqrt(2)
    low = np.empty((len(pictures), LOW * LOW - 1), np.float32)
    for start in range(0, len(pictures), ROWS):
        low[start : start + ROWS] = (waves @ pictures[start : start + ROWS] @ waves.T).reshape(-1, LOW * LOW)[:, 1:]
    low /= np.maximum(np.linalg.norm(low, axis=1, keepdims=True), 1e-6)
    return low


def _compared(pictures: NDArray[np.uint8], first: int, second: int, mirrored: bool) -> Match:
    """The best correlation of the first picture's inner part with the second picture, over all shifts."""
    other = pictures[second, :, ::-1].copy() if mirrored else pictures[second]
    found = cv2.matchTemplate(other, _inner(pictures[first]).copy(), cv2.TM_CCOEFF_NORMED)
    return Match(first, second, float(found.max()), mirrored)


def _inner(picture: NDArray[np.uint8]) -> NDArray[np.uint8]:
    return picture[SHIFT:-SHIFT, SHIFT:-SHIFT]
