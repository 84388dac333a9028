"""Faces over time: identity and box between two looks at the whole frame, for a fraction of its cost."""

from collections.abc import Iterable
from dataclasses import dataclass, replace

import cv2
import numpy as np
from numpy.typing import NDArray

from fer_runtime.faces.detection import Detection, Detector
from fer_runtime.faces.similarity import difference, overlap, thumbnail
from fer_runtime.system.profiler import Profile
from fer_runtime.types import Box, Frame

INTERVAL = 0.5  # seconds between looks at the whole frame: how late a new face may be found
PATIENCE = 0.6  # seconds that a face is kept without being seen: a turned head, a hand before it
REGION = 2.2  # side of what is looked at around a face, in its longer sides
MOST_NEARBY = 8  # faces: looking at more of them one by one costs more than the whole frame
STILL = 1.0  # mean change of a face's thumbnail, 0..255, under which it is where it was; see docs/runtime.md
SAME = 0.3  # least overlap (intersection over union) of one face in two looks
CUT = 25.0  # mean change of a thumbnail's pixels, 0..255, that tells another scene
THUMBNAIL = (32, 24)


@dataclass(frozen=True)
class Track:
    """One face over time. number: from 1, never given twice; detection: the last one; seen: when that was, seconds."""

    number: int
    detection: Detection
    seen: float


class Tracker:
    """Follows faces by detection: the neighbourhood of each known face and, when that is due, the whole frame first.

    It is due after `interval`, in a new scene, where a face was lost, and while there are many. Detections are joined
    to tracks by overlap, the largest first (as in SORT, Bewley et al. 2016, arXiv:1602.00763, without its motion model:
    at a camera's pace a face overlaps itself). The box is always the neighbourhood's, in which every face is of one
    size: the detector's boxes differ by some percent with a face's size, and the expressions named in them with those.
    Where the pixels of a face are what they were, it is not looked for.
    """

    def __init__(self, whole: Detector, nearby: Detector, profile: Profile, interval: float = INTERVAL) -> None:
        """whole: for frames; nearby: for a region about twice a face's size; profile: takes the durations of both.

        interval: seconds between two looks at the whole frame; 0: at every frame.
        """
        self._whole, self._nearby, self._profile, self._interval = whole, nearby, profile, interval
        self._tracks: list[Track] = []
        self._thumbnails: dict[int, NDArray[np.uint8]] = {}  # of each track, when it was last looked for
        self._given = 0
        self._due = self._at = 0.0
        self._scene: NDArray[np.uint8] | None = None

    def __call__(self, frame: Frame) -> list[Track]:
        """The faces of this frame, and those that were seen shortly before; a frame without a time stands alone."""
        image, at = frame.image, frame.at
        if at is None:
            self._tracks = []
            return [self._begun(self._near(image, d.box) or d, 0.0) for d in self._detected(image)]
        self._tracks = [track for track in self._tracks if 0 <= at - track.seen <= PATIENCE]
        if not self._tracks:
            self._scene = None
        elif self._is_cut(image):
            self._tracks, self._due = [], at
        if not 0 <= self._due - at <= self._interval or len(self._tracks) > MOST_NEARBY:
            self._due = at
        before = {track.number: track for track in self._tracks}
        looked = at >= self._due
        if looked:
            self._tracks = self._joined(self._detected(image), at)
            self._due = at + self._interval
        if self._tracks and len(self._tracks) <= MOST_NEARBY:
            with self._profile.stage("follow"):
                self._tracks = [self._followed(track, before.get(track.number), image, at) for track in self._tracks]
            if any(self._at <= track.seen < at for track in self._tracks):
                self._due = at  # just lost: the next frame is looked at as a whole
        self._at = at
        self._thumbnails = {t.number: self._thumbnails[t.number] for t in self._tracks if t.number in self._thumbnails}
        return list(self._tracks)

    def _detected(self, image: NDArray[np.uint8]) -> list[Detection]:
        with self._profile.stage("detect"):
            return self._whole(image)

    def _is_cut(self, image: NDArray[np.uint8]) -> bool:
        small = cv2.cvtColor(cv2.resize(image, THUMBNAIL, interpolation=cv2.INTER_NEAREST), cv2.COLOR_BGR2GRAY)
        before, self._scene = self._scene, small.astype(np.uint8, copy=False)
        return before is not None and float(cv2.absdiff(before, small).mean()) > CUT

    def _begun(self, detection: Detection, at: float) -> Track:
        self._given += 1
        return Track(self._given, detection, at)

    def _joined(self, detections: list[Detection], at: float) -> list[Track]:
        """Every track with its detection, then the ones that were not found, then new ones."""
        pairs = sorted(
            (
                (overlap(t.detection.box, d.box), i, j)
                for i, t in enumerate(self._tracks)
                for j, d in enumerate(detections)
            ),
            reverse=True,
        )
        taken: dict[int, int] = {}
        for share, track, detection in pairs:
            if share >= SAME and track not in taken and detection not in taken.values():
                taken[track] = detection
        known = [
            replace(track, detection=detections[taken[i]], seen=at) if i in taken else track
            for i, track in enumerate(self._tracks)
        ]
        return known + [self._begun(d, at) for j, d in enumerate(detections) if j not in taken.values()]

    def _followed(self, track: Track, before: Track | None, image: NDArray[np.uint8], at: float) -> Track:
        """The track where the face is now, or as it was where it is not found. before: as it was, None for a new one.

        It is looked for where it was; a look at the whole frame, which `track` may come from, helps where that fails.
        """
        last = before or track
        if track is before and self._is_still(track, image):
            return replace(track, seen=at)
        found = self._near(image, last.detection.box)
        if found is None or overlap(found.box, track.detection.box) < SAME:
            found = self._near(image, track.detection.box) if track is not last else None
        if found is None:
            return track
        self._thumbnails[track.number] = thumbnail(image, found.box)
        return replace(track, detection=found, seen=at)

    def _is_still(self, track: Track, image: NDArray[np.uint8]) -> bool:
        before = self._thumbnails.get(track.number)
        return before is not None and difference(before, thumbnail(image, track.detection.box)) < STILL

    def _near(self, image: NDArray[np.uint8], box: Box) -> Detection | None:
        """The face about where `box` is."""
        x, y, width, height = box
        half = REGION * max(width, height) / 2
        left, top = (max(0, round(centre - half)) for centre in (x + width / 2, y + height / 2))
        right, bottom = round(x + width / 2 + half), round(y + height / 2 + half)
        region = image[top:bottom, left:right]
        if min(region.shape[:2], default=0) < 8:
            return None
        moved = [_moved(detection, left, top) for detection in self._nearby(np.ascontiguousarray(region))]
        return _nearest(moved, box)


def _nearest(detections: Iterable[Detection], box: Box) -> Detection | None:
    share, best = max(((overlap(d.box, box), d) for d in detections), key=lambda pair: pair[0], default=(0.0, None))
    return best if share >= SAME else None


def _moved(detection: Detection, left: int, top: int) -> Detection:
    x, y, width, height = detection.box
    landmarks = detection.landmarks + np.array([left, top], np.float32)
    return replace(detection, box=(x + left, y + top, width, height), landmarks=landmarks)
