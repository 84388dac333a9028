"""Faces over time: which face is which, from frame to frame."""

from collections.abc import Sequence
from math import inf, isfinite

import cv2
import numpy as np
from numpy.typing import NDArray

from fer_runtime.faces.detection import MIN_SCORE, Detection, Detector
from fer_runtime.faces.following import MIN_OVERLAP, Follower
from fer_runtime.faces.locating import Locator
from fer_runtime.faces.searching import DEFAULT_INTERVAL_S, Search
from fer_runtime.faces.similarity import difference, overlap
from fer_runtime.faces.state import FaceState
from fer_runtime.system.profiler import Profile
from fer_runtime.types import Box, Frame

MAX_UNSEEN_S = 0.6  # for which a face is kept without being seen: a turned head, a hand before it
MAX_FRAME_GAP_S = 1.5  # between two frames over which a face is the same: of cameras that give one per second
RARE_S = 0.25  # between two frames, from which on each is searched as if it stood alone
SPARSE_S = 0.06  # between two frames, from which on nothing is put off to the next
MIN_PAUSE_S = 0.2  # between searches for the sake of faces that were lost: some come and go
MAX_PROPOSALS = 8  # of a search, that are looked at closely: the likeliest
LOOKS = 2  # at proposals in one frame, so that none waits for many
SAME = 0.6  # overlap of two faces' boxes from which on they are one face, that of the older
SCENE_CUT = 25.0  # mean change of a thumbnail's pixels, 0..255, from which on it shows another scene
SCENE_THUMBNAIL = (32, 24)  # width, height


class Tracker:
    """Searches frames for new faces when that is due, and follows the known ones in every frame.

    A search is due after an interval, in a new scene, and where a face was lost. What it finds is joined to the known
    faces by overlap, the largest first (as in SORT, Bewley et al. 2016, arXiv:1602.00763, without its motion model: at
    a camera's pace a face overlaps itself). Of the rest, what the search is sure of is a new face; what it proposes
    with less certainty is looked at closely by the nearby detector, some in each of the next frames.

    A search takes longer than all else. So where faces are known already, a live source's frames are searched and
    looked at when their result is out (`look_around`); what is found shows from the next frame on.

    Between frames far apart a face goes farther than it is looked for. So rare ones are searched as a whole, each, and
    the detector alone follows; in sparse ones all proposals are looked at, and a lost face is searched for, at once.
    """

    def __init__(
        self,
        whole: Detector,
        nearby: Detector,
        profile: Profile,
        interval: float = DEFAULT_INTERVAL_S,
        locator: Locator | None = None,
        proposer: Detector | None = None,
        live: bool = False,
    ) -> None:
        """whole: for frames; nearby: for a region about twice a face's size; profile: takes the durations of both.

        interval: seconds between two searches; 0: search every whole frame. locator: follows the faces of which it is
        sure; without one the nearby detector follows them all. proposer: for most searches, in place of whole:
        cheaper, and not sure of all that it finds. live: results are waited for, and `look_around` is called.
        """
        self._live = live
        self._whole, self._profile, self._rare_s = whole, profile, min(interval, RARE_S)
        self._search = Search(proposer or whole, interval, whole if proposer else None)
        self._follower = Follower(nearby, locator)
        self._faces: list[FaceState] = []
        self._count = 0  # of faces so far
        self._last = -inf  # time of the last frame
        self._scene: NDArray[np.uint8] | None = None
        self._proposals: list[Detection] = []  # of the last search, not looked at yet
        self._may_look = False  # around in the last frame: what was due there has waited for its result

    def __call__(self, frame: Frame) -> list[FaceState]:
        """The faces of this frame, and those seen shortly before; a frame without a time stands alone."""
        image, at = frame.image, frame.at
        self._may_look = False
        if at is None:
            with self._profile.stage("detect"):
                found = self._whole(image)
            self._faces = []
            return [self._new(self._follower.near(image, each.box) or each, 0.0) for each in found]
        self._faces = [face for face in self._faces if self._is_known(face, at)]
        if self._is_cut(image):
            self._faces, self._proposals = [], []
            self._search.hasten(at)
        self._bring_up_to_date(image, at)
        self._last = at
        return list(self._faces)

    def look_around(self, frame: Frame) -> None:
        """To be called with the frame that was the last, when its result is out: looks for further faces in it."""
        if not self._may_look or frame.at is None:
            return
        self._may_look = False
        if self._search.is_due(frame.at):
            self._find(frame.image, frame.at)
        elif self._proposals:
            self._look_at_proposals(frame.image, LOOKS, frame.at)

    def _bring_up_to_date(self, image: NDArray[np.uint8], at: float) -> None:
        if len(self._faces) > self._follower.most:
            with self._profile.stage("detect"):
                found = self._joined(self._whole(image), at)
            for face in self._faces:
                if face.number in found:
                    face.detection, face.seen = found[face.number], at
            return
        gap = at - self._last
        rare, sparse = isfinite(gap) and not 0 < gap < self._rare_s, gap >= SPARSE_S
        due = self._search.is_due(at)
        later = self._live and not sparse and bool(self._faces)
        searched = rare or (due and not later)
        found = self._searched(image, at, rare) if searched else {}
        self._follow(self._faces, found, image, at, searched or due, rare)
        if any(self._last <= face.seen < at for face in self._faces):  # one was lost just now
            if sparse and not searched:
                searched = True
                self._find(image, at, whole=True)
            self._search.hasten(at, MIN_PAUSE_S)
        if (sparse or not searched) and not later:
            self._look_at_proposals(image, MAX_PROPOSALS if sparse else LOOKS, at)
        self._may_look = later and not searched

    def _follow(
        self,
        faces: Sequence[FaceState],
        found: dict[int, Detection],
        image: NDArray[np.uint8],
        at: float,
        busy: bool,
        rare: bool = False,
    ) -> None:
        if not faces:
            return
        with self._profile.stage("follow"):
            self._follower(faces, found, image, at, busy, locate=not rare)
        self._faces = _distinct(self._faces)

    def _find(self, image: NDArray[np.uint8], at: float, whole: bool = False) -> None:
        """Search the frame in which the known faces were looked for already, for new ones and those not found."""
        known = self._count
        found = self._searched(image, at, whole)
        for face in self._faces:
            if face.number in found and found[face.number].score >= MIN_SCORE:
                face.confirmed = at
        new = [face for face in self._faces if face.number in found and (face.seen < at or face.number > known)]
        self._follow(new, found, image, at, busy=True)

    def _searched(self, image: NDArray[np.uint8], at: float, whole: bool) -> dict[int, Detection]:
        """Search the frame: what was found of each face, new ones too, by its number."""
        with self._profile.stage("detect"):
            detections = self._search(image, at, [face.detection.box for face in self._faces], whole)
        if detections is None:
            return {}
        return self._joined(detections, at)

    def _look_at_proposals(self, image: NDArray[np.uint8], looks: int, at: float) -> None:
        """Add those of the next proposals that are faces, after so many looks at most."""
        while self._proposals and looks:
            box = self._proposals.pop(0).box
            if any(overlap(face.detection.box, box) >= MIN_OVERLAP for face in self._faces):
                continue
            looks -= 1
            with self._profile.stage("detect"):
                near = self._follower.near(image, box)
            if near and near.score >= MIN_SCORE and not _join([face.detection.box for face in self._faces], [near.box]):
                self._faces.append(self._new(near, at))

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
        return before is not None and difference(before, self._scene) > SCENE_CUT

    def _joined(self, detections: Sequence[Detection], at: float) -> dict[int, Detection]:
        """What a search found of each face, by its number; faces that are not known yet are added, or proposed."""
        joined = _join([face.detection.box for face in self._faces], [detection.box for detection in detections])
        found = {self._faces[i].number: detections[j] for i, j in joined.items()}
        rest = [detection for j, detection in enumerate(detections) if j not in joined.values()]
        self._proposals = [each for each in rest if each.score < MIN_SCORE][:MAX_PROPOSALS]
        new = [self._new(each, at) for each in rest if each.score >= MIN_SCORE]
        self._faces += new
        return found | {face.number: face.detection for face in new}


def _join(known: list[Box], found: list[Box]) -> dict[int, int]:
    """Which of the found boxes each known one is, by their indices; the pairs that overlap most first."""
    pairs = sorted(((overlap(a, b), i, j) for i, a in enumerate(known) for j, b in enumerate(found)), reverse=True)
    joined: dict[int, int] = {}
    for share, i, j in pairs:
        if share >= MIN_OVERLAP and i not in joined and j not in joined.values():
            joined[i] = j
    return joined


def _distinct(faces: list[FaceState]) -> list[FaceState]:
    """The faces without those that have come to lie on an older one."""
    kept: list[FaceState] = []
    for face in faces:
        if all(overlap(face.detection.box, other.detection.box) < SAME for other in kept):
            kept.append(face)
    return kept
