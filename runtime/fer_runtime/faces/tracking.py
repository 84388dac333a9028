"""Faces over time: identity and box between two searches of the whole frame, for a fraction of their cost."""

from collections.abc import Iterable
from dataclasses import dataclass, field, replace

import cv2
import numpy as np
from numpy.typing import NDArray

from fer_runtime.faces.detection import Detection, Detector
from fer_runtime.faces.similarity import difference, overlap, thumbnail
from fer_runtime.faces.smoothing import Smoother
from fer_runtime.system.profiler import Profile
from fer_runtime.types import Box, Frame

DEFAULT_INTERVAL_S = 0.5  # between searches of the whole frame: how late a new face may be found
MAX_UNSEEN_S = 0.6  # for which a face is kept without being seen: a turned head, a hand before it
MAX_FRAME_GAP_S = 1.5  # between two frames over which a face is the same: of cameras that give one per second
REGION = 2.2  # side of the region that is searched around a face, in the face's longer sides
MAX_FOLLOWED = 8  # faces: searching the regions of more of them costs more than the whole frame
STILL = 1.0  # mean change of a face's thumbnail, 0..255, under which it has not moved; see docs/runtime.md
MIN_OVERLAP = 0.3  # least intersection over union of one face in two frames
SCENE_CUT = 25.0  # mean change of a thumbnail's pixels, 0..255, from which on it shows another scene
SCENE_THUMBNAIL = (32, 24)  # width, height


@dataclass
class FaceState:
    """All that is remembered of one face: where it is, and what it was classified as."""

    number: int
    """From 1; never given twice."""
    detection: Detection
    """The last one."""
    seen: float
    """When that was, seconds on the source's clock."""
    thumbnail: NDArray[np.uint8] | None = None
    """Of the face, grey [16, 16], when its region was last searched."""
    smoother: Smoother = field(default_factory=Smoother)
    """Of its probabilities."""
    crop: NDArray[np.uint8] | None = None
    """The last that was classified, [channels, size, size]."""
    probabilities: NDArray[np.float32] | None = None
    """Of that crop, [classes]."""
    classified: float = 0.0
    """When that was, seconds on the source's clock."""


class Tracker:
    """Follows faces by detection: the region of each known face and, when that is due, the whole frame first.

    It is due after `interval`, in a new scene, where a face was lost, and while there are many. Detections are joined
    to faces by overlap, the largest first (as in SORT, Bewley et al. 2016, arXiv:1602.00763, without its motion model:
    at a camera's pace a face overlaps itself). The box is always the region's, in which every face is of one size: the
    detector's boxes differ by some percent with a face's size, and the expressions named in them with those. Where the
    pixels of a face are what they were, it is not searched for.
    """

    def __init__(
        self, whole: Detector, nearby: Detector, profile: Profile, interval: float = DEFAULT_INTERVAL_S
    ) -> None:
        """whole: for frames; nearby: for a region about twice a face's size; profile: takes the durations of both.

        interval: seconds between two searches of the whole frame; 0: search every frame.
        """
        self._whole, self._nearby, self._profile, self._interval = whole, nearby, profile, interval
        self._faces: list[FaceState] = []
        self._count = 0  # of faces so far
        self._next_search = self._last = 0.0  # when the whole frame is searched next; time of the last frame
        self._scene: NDArray[np.uint8] | None = None

    def __call__(self, frame: Frame) -> list[FaceState]:
        """The faces of this frame, and those seen shortly before; a frame without a time stands alone."""
        image, at = frame.image, frame.at
        if at is None:
            self._faces = []
            return [self._new(self._near(image, d.box) or d, 0.0) for d in self._detect(image)]
        self._faces = [face for face in self._faces if self._is_known(face, at)]
        if self._is_cut(image):
            self._faces, self._next_search = [], at
        found = self._search(image, at) if self._is_search_due(at) else {}
        if len(self._faces) <= MAX_FOLLOWED:
            self._follow(found, image, at)
        else:
            self._take(found, at)
        self._last = at
        return list(self._faces)

    def _detect(self, image: NDArray[np.uint8]) -> list[Detection]:
        with self._profile.stage("detect"):
            return self._whole(image)

    def _is_known(self, face: FaceState, at: float) -> bool:
        """Whether a face is still expected: it was in the last frame, or missing for a short time only."""
        limit = MAX_FRAME_GAP_S if face.seen == self._last else MAX_UNSEEN_S
        return 0 <= at - face.seen <= limit

    def _new(self, detection: Detection, at: float) -> FaceState:
        self._count += 1
        return FaceState(self._count, detection, at)

    def _is_cut(self, image: NDArray[np.uint8]) -> bool:
        """Whether this is another scene than the last frame's; it only matters while faces are followed."""
        if not self._faces:
            self._scene = None
            return False
        small = cv2.cvtColor(cv2.resize(image, SCENE_THUMBNAIL, interpolation=cv2.INTER_NEAREST), cv2.COLOR_BGR2GRAY)
        before, self._scene = self._scene, small.astype(np.uint8, copy=False)
        return before is not None and float(cv2.absdiff(before, small).mean()) > SCENE_CUT

    def _is_search_due(self, at: float) -> bool:
        """Whether the whole frame is searched; where the clock jumped or there are many faces, it is."""
        return not 0 < self._next_search - at <= self._interval or len(self._faces) > MAX_FOLLOWED

    def _search(self, image: NDArray[np.uint8], at: float) -> dict[int, Detection]:
        """What a search of the whole frame finds of each face, by its number; faces it does not know yet are added."""
        self._next_search = at + self._interval
        detections = self._detect(image)
        boxes = [face.detection.box for face in self._faces]
        joined = _join(boxes, [detection.box for detection in detections])
        found = {self._faces[i].number: detections[j] for i, j in joined.items()}
        new = [self._new(d, at) for j, d in enumerate(detections) if j not in joined.values()]
        self._faces += new
        return found | {face.number: face.detection for face in new}

    def _take(self, found: dict[int, Detection], at: float) -> None:
        """Take every face as the search of the whole frame found it."""
        for face in self._faces:
            if face.number in found:
                face.detection, face.seen = found[face.number], at

    def _follow(self, found: dict[int, Detection], image: NDArray[np.uint8], at: float) -> None:
        """Bring every face to where it is now; where one was just lost, the next frame is searched as a whole."""
        if not self._faces:
            return
        with self._profile.stage("follow"):
            for face in self._faces:
                self._update(face, found.get(face.number), image, at)
        if any(self._last <= face.seen < at for face in self._faces):
            self._next_search = at

    def _update(self, face: FaceState, whole: Detection | None, image: NDArray[np.uint8], at: float) -> None:
        """Bring one face to where it is now; it stays as it was where it is not found.

        whole: what the search of the whole frame found. The face is searched for where it was, and there where that
        fails or is another face.
        """
        if whole is None and self._is_still(face, image):
            face.seen = at
            return
        last, target = face.detection, whole or face.detection
        near = self._near(image, last.box)
        if near is None or overlap(near.box, target.box) < MIN_OVERLAP:
            near = self._near(image, target.box) if target is not last else None
        if near is not None:
            face.thumbnail = thumbnail(image, near.box)
        if near or whole:
            face.detection, face.seen = near or target, at

    def _is_still(self, face: FaceState, image: NDArray[np.uint8]) -> bool:
        before = face.thumbnail
        return before is not None and difference(before, thumbnail(image, face.detection.box)) < STILL

    def _near(self, image: NDArray[np.uint8], box: Box) -> Detection | None:
        """The face in the region around `box`."""
        x, y, width, height = box
        half = REGION * max(width, height) / 2
        left, top = (max(0, round(centre - half)) for centre in (x + width / 2, y + height / 2))
        right, bottom = round(x + width / 2 + half), round(y + height / 2 + half)
        region = image[top:bottom, left:right]
        if min(region.shape[:2], default=0) < 8:
            return None
        moved = [_moved(detection, left, top) for detection in self._nearby(np.ascontiguousarray(region))]
        return _nearest(moved, box)


def _join(known: list[Box], found: list[Box]) -> dict[int, int]:
    """Which of the found boxes each known one is, by their indices; the pairs that overlap most first."""
    pairs = sorted(((overlap(a, b), i, j) for i, a in enumerate(known) for j, b in enumerate(found)), reverse=True)
    joined: dict[int, int] = {}
    for share, i, j in pairs:
        if share >= MIN_OVERLAP and i not in joined and j not in joined.values():
            joined[i] = j
    return joined


def _nearest(detections: Iterable[Detection], box: Box) -> Detection | None:
    share, best = max(((overlap(d.box, box), d) for d in detections), key=lambda pair: pair[0], default=(0.0, None))
    return best if share >= MIN_OVERLAP else None


def _moved(detection: Detection, left: int, top: int) -> Detection:
    x, y, width, height = detection.box
    landmarks = detection.landmarks + np.array([left, top], np.float32)
    return replace(detection, box=(x + left, y + top, width, height), landmarks=landmarks)
