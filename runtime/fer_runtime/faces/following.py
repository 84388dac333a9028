"""Where known faces are now: by the locator, and by the detector where the locator is not sure."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from math import exp, log

import numpy as np
from numpy.typing import NDArray

from fer_runtime.faces.detection import MIN_SCORE, Detection, Detector, moved
from fer_runtime.faces.locating import Locator
from fer_runtime.faces.similarity import difference, overlap, thumbnail
from fer_runtime.faces.state import FaceState
from fer_runtime.types import Box

REGION = 2.2  # side of the region that the detector searches around a face, in the face's longer sides
MIN_LOCATED = 0.7  # score of the locator, below which the detector searches the region
MAX_OFFSET = 0.1  # of a face's longer side from the middle of the locator's region, beyond which the region is moved
# Seconds after which the locator's box is held against the detector's, the first times and then always: a network this
# small sees some heads some percent larger or smaller.
CHECK_INTERVALS_S = (0.2, 0.4, 1.0)
MAX_UNCONFIRMED_S = 1.5  # for which the locator is believed where the detector does not see a face
PRIOR_CHECKS = 0.4  # that say there is no such difference: the detector's noise by the differences between heads
MIN_WEIGHT = 0.2  # of a check in the average
RETRY_S = 0.09  # between the detector's looks for a face that neither it nor the locator saw
MAX_PREDICTION_S = 0.2  # for which a face is taken to move on as it did
SIZE_TIME_CONSTANT_S = 0.2  # of the average of a box's sides
STILL = 1.0  # mean change of a face's thumbnail, 0..255, under which it has not moved; see docs/runtime.md
MIN_OVERLAP = 0.3  # least intersection over union of one face in two frames


class Follower:
    """Brings every known face to where it is now.

    The box is always that of the detector in the region, in which every face is of one size, or the locator's brought
    to that: the detector's boxes differ by some percent with a face's size, and the expressions named with them.
    """

    def __init__(self, nearby: Detector, locator: Locator | None = None) -> None:
        """nearby: detector of a region about twice a face's size. locator: without one, nearby follows all faces."""
        self._nearby, self._locator = nearby, locator
        self.most = 8 if locator is None else 32
        """Faces; following more of them costs more than searching the whole frame."""

    def __call__(
        self,
        faces: Sequence[FaceState],
        found: Mapping[int, Detection],
        image: NDArray[np.uint8],
        at: float,
        busy: bool = False,
        locate: bool = True,
    ) -> None:
        """Update what is known of these faces; one that is not found stays as it was.

        found: by number, the faces that a search of the frame found in this one; where it is not sure (MIN_SCORE), they
        are places to look at. image: uint8 BGR [h, w, 3]; at: its time, seconds on the source's clock. busy: whether
        this frame costs enough already, so that what may wait does. locate: whether the locator is asked, if there is
        one; the last frame has to be recent for that.
        """
        before = [(face.seen, face.detection.box) for face in faces]
        for face in faces:
            if face.number in found and found[face.number].score >= MIN_SCORE:
                face.confirmed = at
        by_locator = self._locator is not None and locate
        for face in self._unlocated(faces, found, image, at, busy) if by_locator else faces:
            self._detect(face, found.get(face.number), image, at)
        for face, (seen, box) in zip(faces, before, strict=True):
            _note_velocity(face, box, face.seen - seen)

    def _unlocated(
        self,
        faces: Sequence[FaceState],
        found: Mapping[int, Detection],
        image: NDArray[np.uint8],
        at: float,
        busy: bool,
    ) -> list[FaceState]:
        """Bring the faces that the locator is sure of to where they are; returns those that the detector looks for."""
        unlocated = []
        for face, (detection, anchor) in zip(faces, self._locate(faces, found, image, at), strict=True):
            target = found[face.number].box if face.number in found else _expected(face, at)
            sure = detection.score >= MIN_LOCATED and overlap(detection.box, target) >= MIN_OVERLAP
            if sure and _is_check_due(face, at, busy):
                self._check(face, detection, image, at)
                busy = True
            if sure and 0 <= at - face.confirmed < MAX_UNCONFIRMED_S:
                box = _corrected(detection.box, face.offset)
                if face.anchor is not None:
                    box = _steadied(box, face.detection.box, at - face.seen)
                face.detection = Detection(box, detection.score, detection.landmarks)
                face.anchor, face.seen, face.thumbnail = anchor, at, None
            else:
                face.anchor = None
                if face.number in found or not 0 < face.next_look - at <= RETRY_S:
                    unlocated.append(face)
        return unlocated

    def _check(self, face: FaceState, located: Detection, image: NDArray[np.uint8], at: float) -> None:
        """Ask the detector for the face that the locator sees, and keep how its box differs."""
        near = self.near(image, located.box)
        if near is None:
            face.next_check = at + CHECK_INTERVALS_S[0]
            return
        weight = max(MIN_WEIGHT, 1 / (face.checks + 1 + PRIOR_CHECKS))
        face.offset += weight * (_offset(near.box, located.box) - face.offset)
        face.next_check = at + CHECK_INTERVALS_S[min(face.checks, len(CHECK_INTERVALS_S) - 1)]
        face.checks += 1
        face.confirmed = at

    def _locate(
        self, faces: Sequence[FaceState], found: Mapping[int, Detection], image: NDArray[np.uint8], at: float
    ) -> list[tuple[Detection, Box]]:
        """What the locator sees of each face, and the box about which it looked.

        A face away from its region's middle is looked at again, in the middle, where the locator is surest. While it
        hardly moves the region stays: the same pixels give the same box.
        """
        assert self._locator is not None
        anchors = [
            found[face.number].box if face.number in found and face.anchor is None else _expected(face, at)
            for face in faces
        ]
        located = list(zip(self._locator(image, anchors), anchors, strict=True)) if faces else []
        boxes = {
            i: box
            for i, (face, (detection, anchor)) in enumerate(zip(faces, located, strict=True))
            if detection.score >= MIN_LOCATED and _is_off(box := _corrected(detection.box, face.offset), anchor)
        }
        if boxes:
            again = self._locator(image, list(boxes.values()))
            for (i, box), detection in zip(boxes.items(), again, strict=True):
                located[i] = detection, box
        return located

    def _detect(self, face: FaceState, whole: Detection | None, image: NDArray[np.uint8], at: float) -> None:
        """Bring one face to where the detector finds it, if it does.

        whole: what the search of the whole frame found. The face is searched for where it was, and there where that
        fails or is another face; not at all where the pixels are what they were.
        """
        if whole is None and _is_still(face, image):
            face.seen = at
            return
        expected = _expected(face, at)
        target = whole or replace(face.detection, box=expected)
        near = self.near(image, expected)
        if near is None or overlap(near.box, target.box) < MIN_OVERLAP:
            near = self.near(image, whole.box) if whole else None
        if near is not None:
            face.thumbnail = thumbnail(image, near.box)
        if near or (whole and whole.score >= MIN_SCORE):
            face.detection, face.seen, face.confirmed = near or target, at, at
        else:
            face.next_look = at + RETRY_S

    def near(self, image: NDArray[np.uint8], box: Box) -> Detection | None:
        """The face that the detector finds in the region around `box` of an image (uint8 BGR [h, w, 3])."""
        x, y, width, height = box
        half = REGION * max(width, height) / 2
        left, top = (max(0, round(centre - half)) for centre in (x + width / 2, y + height / 2))
        right, bottom = round(x + width / 2 + half), round(y + height / 2 + half)
        region = image[top:bottom, left:right]
        if min(region.shape[:2], default=0) < 8:
            return None
        found = [moved(detection, left, top) for detection in self._nearby(np.ascontiguousarray(region))]
        return _nearest(found, box)


def _is_check_due(face: FaceState, at: float, busy: bool) -> bool:
    """Whether the detector is to be asked now; in a busy frame only for a new face, and where that is late already."""
    wait = face.next_check - at
    if 0 < wait <= CHECK_INTERVALS_S[-1]:
        return False
    return not busy or not face.checks or not -CHECK_INTERVALS_S[0] < wait <= 0


def _is_off(box: Box, anchor: Box) -> bool:
    """Whether a face is away from the middle of its region, or of another size than that was made for."""
    x, y, width, height = box
    limit = MAX_OFFSET * max(width, height)
    right, down = x + width / 2 - anchor[0] - anchor[2] / 2, y + height / 2 - anchor[1] - anchor[3] / 2
    return max(abs(right), abs(down), abs(max(width, height) - max(anchor[2:]))) > limit


def _expected(face: FaceState, at: float) -> Box:
    """Where a face is to be looked for: about its anchor, or, where it moves fast, where it should be by now."""
    x, y, width, height = face.detection.box
    right, down = (speed * min(max(0.0, at - face.seen), MAX_PREDICTION_S) for speed in face.velocity)
    if max(abs(right), abs(down)) <= MAX_OFFSET * max(width, height):
        return face.anchor or face.detection.box
    return x + right, y + down, width, height


def _note_velocity(face: FaceState, before: Box, seconds: float) -> None:
    """Its mean with the last one, so that one odd box does not send the search astray; none after a longer absence."""
    if not 0 < seconds <= MAX_PREDICTION_S:
        face.velocity = (0.0, 0.0) if seconds else face.velocity
        return
    box = face.detection.box
    right, down = (
        (last + (box[i] + box[i + 2] / 2 - before[i] - before[i + 2] / 2) / seconds) / 2
        for i, last in enumerate(face.velocity)
    )
    face.velocity = right, down


def _offset(box: Box, located: Box) -> NDArray[np.float64]:
    """Of a box from another: x and y of the middle in the other's sides, and the logarithms of the sides' ratios."""
    middles = [(a[i] + a[i + 2] / 2) for a in (box, located) for i in (0, 1)]
    right, down = (middles[0] - middles[2]) / located[2], (middles[1] - middles[3]) / located[3]
    return np.array([right, down, log(box[2] / located[2]), log(box[3] / located[3])])


def _corrected(box: Box, offset: NDArray[np.float64]) -> Box:
    """The box moved and enlarged by an `_offset`."""
    right, down, wider, higher = offset.tolist()
    width, height = box[2] * exp(wider), box[3] * exp(higher)
    x, y = box[0] + (0.5 + right) * box[2] - width / 2, box[1] + (0.5 + down) * box[3] - height / 2
    return x, y, width, height


def _steadied(box: Box, last: Box, seconds: float) -> Box:
    """The box with sides averaged over time, as a face's size changes slowly and the locator's flickers."""
    share = 1 - exp(-max(0.0, seconds) / SIZE_TIME_CONSTANT_S)
    width, height = (last[i] + share * (box[i] - last[i]) for i in (2, 3))
    return box[0] + (box[2] - width) / 2, box[1] + (box[3] - height) / 2, width, height


def _is_still(face: FaceState, image: NDArray[np.uint8]) -> bool:
    before = face.thumbnail
    return before is not None and difference(before, thumbnail(image, face.detection.box)) < STILL


def _nearest(detections: Iterable[Detection], box: Box) -> Detection | None:
    share, best = max(((overlap(d.box, box), d) for d in detections), key=lambda pair: pair[0], default=(0.0, None))
    return best if share >= MIN_OVERLAP else None
