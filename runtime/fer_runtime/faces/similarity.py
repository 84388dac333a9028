"""How alike two boxes are, and two images of a face."""

import cv2
import numpy as np
from numpy.typing import NDArray

from fer_runtime.types import Box

THUMBNAIL = 16  # pixels of a side: the mean of many pixels hides a sensor's noise, and keeps a face's movements


def overlap(a: Box, b: Box) -> float:
    """Intersection over union, 0 to 1."""
    width = min(a[0] + a[2], b[0] + b[2]) - max(a[0], b[0])
    height = min(a[1] + a[3], b[1] + b[3]) - max(a[1], b[1])
    inside = max(0.0, width) * max(0.0, height)
    return inside / (a[2] * a[3] + b[2] * b[3] - inside) if inside else 0.0


def thumbnail(image: NDArray[np.uint8], box: Box) -> NDArray[np.uint8]:
    """The box of a frame (uint8 BGR [h, w, 3]), as far as it is inside, as grey uint8 [16, 16]."""
    x, y, width, height = (round(value) for value in box)
    inside = image[max(0, y) : max(1, y + height), max(0, x) : max(1, x + width)]
    if inside.size == 0:
        return np.zeros((THUMBNAIL, THUMBNAIL), np.uint8)
    small = cv2.resize(inside, (THUMBNAIL, THUMBNAIL), interpolation=cv2.INTER_AREA)
    return cv2.cvtColor(small, cv2.COLOR_BGR2GRAY).astype(np.uint8, copy=False)


def difference(a: NDArray[np.uint8], b: NDArray[np.uint8]) -> float:
    """Mean absolute difference of two images of one shape, 0..255."""
    return float(cv2.norm(a, b, cv2.NORM_L1)) / a.size
