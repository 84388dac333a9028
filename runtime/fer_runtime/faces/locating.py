"""Where known faces are now: a small network that sees the region around each face's last place."""

from collections.abc import Sequence
from functools import lru_cache
from math import exp

import cv2
import numpy as np
import onnxruntime as ort
from numpy.typing import NDArray

from fer_runtime.faces.detection import Detection
from fer_runtime.model.session import ASSETS, open_session
from fer_runtime.types import Box

SIZE = 48  # side of the region as the network sees it, pixels
REGION = 1.6  # side of the region, in the longer sides of the face's box
MODEL = "face-locator.onnx"
INPUT, OUTPUT = "regions", "places"


class Locator:
    """A network of our own, distilled from the detector's search nearby (train/fer_train/locator), in int8.

    It answers for one face in the region's middle, and always; its score says whether it is to be believed. Its boxes
    have the scale and place of the search nearby, in which every face is of one size.
    """

    def __init__(self, model: bytes | None = None) -> None:
        """model: an exported locator; the package's own when None."""
        self._session = open_session(model) if model else _session()

    def __call__(self, image: NDArray[np.uint8], boxes: Sequence[Box]) -> list[Detection]:
        """One answer for each box, as one batch. image: uint8 BGR [h, w, 3]; boxes: where the faces were."""
        squares = [_square(box) for box in boxes]
        regions = np.empty((len(boxes), 1, SIZE, SIZE), np.uint8)
        for region, square in zip(regions, squares, strict=True):
            region[0] = cut(image, *square)
        outputs: NDArray[np.float32] = self._session.run([OUTPUT], {INPUT: regions})[0]
        return [_detection(row, square) for row, square in zip(outputs, squares, strict=True)]


@lru_cache(maxsize=1)
def _session() -> ort.InferenceSession:
    """One for all loops of a process, as the detectors'."""
    return open_session((ASSETS / MODEL).read_bytes())


def _square(box: Box) -> tuple[int, int, int]:
    """(left, top, side) of the region around a box, whole pixels; the side can be halved as often as `cut` does.

    Halves of odd sides, which are means over fractions of pixels, take six times as long.
    """
    x, y, width, height = box
    side = max(2.0, REGION * max(width, height))
    step = 1
    while side / step >= 2 * SIZE:
        step *= 2
    side = step * round(side / step)
    return round(x + width / 2 - side / 2), round(y + height / 2 - side / 2), side


def cut(image: NDArray[np.uint8], left: int, top: int, side: int) -> NDArray[np.uint8]:
    """A square of an image (uint8 BGR [h, w, 3]) as the network takes it: grey uint8 [SIZE, SIZE].

    What lies outside repeats the image's edge.
    """
    height, width = image.shape[:2]
    inside = image[max(0, top) : max(0, top + side), max(0, left) : max(0, left + side)]
    if inside.size == 0:
        return np.zeros((SIZE, SIZE), np.uint8)
    grey = cv2.cvtColor(inside, cv2.COLOR_BGR2GRAY)
    pads = (max(0, -top), max(0, top + side - height), max(0, -left), max(0, left + side - width))
    if any(pads):
        grey = cv2.copyMakeBorder(grey, *pads, cv2.BORDER_REPLICATE)
    # Halves, then a linear step: one mean over fractions of pixels takes several times as long.
    while grey.shape[0] >= 2 * SIZE:
        half = grey.shape[0] // 2
        grey = cv2.resize(grey, (half, half), interpolation=cv2.INTER_AREA)
    return np.asarray(cv2.resize(grey, (SIZE, SIZE), interpolation=cv2.INTER_LINEAR), np.uint8)


def _detection(row: NDArray[np.float32], square: tuple[int, int, int]) -> Detection:
    """The network's outputs for one region: logit; centre, log size and landmarks, in its sides from its middle."""
    left, top, side = square
    logit, x, y, wide, high, *_ = row.tolist()
    across, down = left + side / 2, top + side / 2
    width, height = exp(min(wide, 1.0)) * side, exp(min(high, 1.0)) * side
    box = (across + x * side - width / 2, down + y * side - height / 2, width, height)
    landmarks = row[5:].reshape(5, 2) * np.float32(side) + np.array((across, down), np.float32)
    return Detection(box, 1 / (1 + exp(min(-logit, 99.0))), landmarks)
