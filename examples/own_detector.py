"""A detector of your own: it brightens dark frames before another detector searches them.

Run it with `python examples/own_detector.py people.mp4`.
"""

import sys

import cv2
import numpy as np
from numpy.typing import NDArray

from fer_runtime import Classifier, Detection, Detector, Loop, open_source
from fer_runtime.faces.detection import RetinaFace


class Brightened:
    """Another detector, on brightened frames."""

    def __init__(self, detector: Detector, gamma: float = 0.5) -> None:
        """detector: gets the brightened frames; gamma: exponent of pixels of 0..1, smaller is brighter."""
        self.detector = detector
        self.table = np.round(255 * np.linspace(0, 1, 256) ** gamma).astype(np.uint8)

    def __call__(self, frame: NDArray[np.uint8]) -> list[Detection]:
        """frame: uint8 BGR [height, width, 3] -> its faces, most likely first."""
        return self.detector(np.asarray(cv2.LUT(frame, self.table), np.uint8))


# One detector searches whole frames, the other the small region around each known face.
whole, nearby = Brightened(RetinaFace()), Brightened(RetinaFace.nearby())
for _, result in Loop(open_source(sys.argv[1]), Classifier(), whole, nearby):
    for face in result.faces:
        print(result.frame, face.track, face.box, face.label)
