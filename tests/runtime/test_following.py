"""Known faces are followed by the locator, held against the detector, and searched for where it is not sure."""

from collections.abc import Sequence
from dataclasses import replace
from math import log

import numpy as np
import pytest
from numpy.typing import NDArray

from fer_benchmarks.demo_clip import FPS, placements, render
from fer_runtime.faces.detection import Detection, RetinaFace
from fer_runtime.faces.following import MAX_UNCONFIRMED_S, RETRY_S, Follower
from fer_runtime.faces.locating import Locator
from fer_runtime.faces.similarity import overlap
from fer_runtime.faces.state import FaceState
from fer_runtime.types import Box

Image = NDArray[np.uint8]
SECONDS = 2


class Counted:
    """The real detector of regions, which counts its calls."""

    def __init__(self) -> None:
        self.detector, self.calls = RetinaFace.nearby(), 0

    def __call__(self, frame: Image) -> list[Detection]:
        self.calls += 1
        return self.detector(frame)


class Doctored(Locator):
    """The real locator, whose boxes are enlarged and whose certainty is multiplied."""

    def __init__(self, scale: float = 1.0, certainty: float = 1.0) -> None:
        super().__init__()
        self.scale, self.certainty = scale, certainty

    def __call__(self, image: Image, boxes: Sequence[Box]) -> list[Detection]:
        return [
            replace(each, box=self._enlarged(each.box), score=each.score * self.certainty)
            for each in super().__call__(image, boxes)
        ]

    def _enlarged(self, box: Box) -> Box:
        x, y, width, height = box
        beyond = self.scale - 1
        return x - beyond * width / 2, y - beyond * height / 2, self.scale * width, self.scale * height


def states() -> list[FaceState]:
    detector = Follower(RetinaFace.nearby())
    found = [detector.near(render(0), placed.face) for placed in placements(0)]
    return [FaceState(i, each, 0.0) for i, each in enumerate(found) if each is not None]


def followed(follower: Follower, seconds: float = SECONDS) -> list[list[Box]]:
    """The boxes of the demo's two faces in every frame, as the follower brings them there."""
    faces, boxes = states(), []
    for index in range(1, round(seconds * FPS)):
        follower(faces, {}, render(index), index / FPS)
        assert all(face.seen == index / FPS for face in faces)
        boxes.append([face.detection.box for face in faces])
    return boxes


def pairs(boxes: list[list[Box]], others: list[list[Box]]) -> list[tuple[Box, Box]]:
    """The boxes of one face in one frame, in two runs."""
    return [pair for one, other in zip(boxes, others, strict=True) for pair in zip(one, other, strict=True)]


@pytest.fixture(scope="module")
def by_detector() -> list[list[Box]]:
    return followed(Follower(RetinaFace.nearby()))


def test_the_locator_follows_where_the_detector_would(by_detector: list[list[Box]]) -> None:
    nearby = Counted()
    boxes = followed(Follower(nearby, Locator()))
    assert nearby.calls <= 2 * (3 + SECONDS)  # of 2 * FPS * SECONDS
    shares = [
        overlap(a, b) for one, other in zip(boxes, by_detector, strict=True) for a, b in zip(one, other, strict=True)
    ]
    assert np.percentile(shares, 5) > 0.75


def test_a_locator_that_sees_heads_too_large_is_corrected(by_detector: list[list[Box]]) -> None:
    """By the first check already for the most part, whatever a kind of head does to the network."""
    plain, enlarged = (followed(Follower(RetinaFace.nearby(), Doctored(scale))) for scale in (1.0, 1.15))
    for boxes in (plain, enlarged):
        ratios = [
            log(a[3] / b[3])
            for one, other in zip(boxes, by_detector, strict=True)
            for a, b in zip(one, other, strict=True)
        ]
        assert abs(np.mean(ratios[len(ratios) // 2 :])) < 0.04


def test_the_detector_searches_where_the_locator_is_not_sure(by_detector: list[list[Box]]) -> None:
    nearby = Counted()
    assert followed(Follower(nearby, Doctored(certainty=0.1))) == by_detector
    assert nearby.calls >= len(by_detector)


def test_a_face_that_only_the_locator_sees_is_lost_in_the_end() -> None:
    """The detector has the last word: what it does not see for MAX_UNCONFIRMED_S is no face."""
    follower = Follower(lambda _: [], Locator())
    faces = states()
    for index in range(1, 3 * FPS):
        follower(faces, {}, render(index), index / FPS)
    assert all(0 < face.seen <= MAX_UNCONFIRMED_S for face in faces)


def test_a_face_that_moves_fast_is_looked_for_where_it_should_be() -> None:
    """By 0.6 of its width from frame to frame, so that it hardly overlaps itself."""
    follower = Follower(RetinaFace.nearby(), Locator())
    faces = states()[:1]
    x, y, width, height = faces[0].detection.box
    step = round(0.6 * width)
    scene, left, top = render(0), round(x - width), round(y - height)
    head = scene[top : top + round(3 * height), left : left + round(3 * width)].copy()
    for index in range(1, 7):
        shown = np.full_like(scene, 130)
        speed = step if index > 3 else index * step // 4  # it gathers speed
        left = min(left + speed, scene.shape[1] - head.shape[1])
        shown[top : top + head.shape[0], left : left + head.shape[1]] = head
        follower(faces, {}, shown, index / FPS)
        assert faces[0].seen == index / FPS
        assert overlap(faces[0].detection.box, (left + width, y, width, height)) > 0.5


def test_a_face_that_nobody_sees_is_looked_for_at_intervals_and_at_once_where_a_search_proposes_it() -> None:
    nearby, faces = Counted(), states()
    follower, empty = Follower(nearby, Locator()), np.full_like(render(0), 130)
    for index in range(1, FPS):
        follower(faces, {}, empty, index / FPS)
    assert nearby.calls <= len(faces) * (1 + 1 / RETRY_S)
    follower(faces, {}, empty, 1.0)
    before = nearby.calls
    follower(faces, {face.number: replace(face.detection, score=0.2) for face in faces}, render(0), 1.0 + 1 / FPS)
    assert nearby.calls == before + len(faces)
    assert all(face.seen == 1.0 + 1 / FPS for face in faces)


@pytest.mark.parametrize(("checks", "wait", "busy", "due"), [
    (0, 0.0, True, True),  # a new face's box has not been held against the detector's yet
    (3, -0.04, False, True),
    (3, -0.04, True, False),
    (3, -0.21, True, True),  # a camera of few frames, each of which is searched
    (3, 0.5, False, False),
    (3, 5.0, True, True),  # the clock went back
])  # fmt: skip
def test_a_check_waits_for_a_frame_that_costs_less(checks: int, wait: float, busy: bool, due: bool) -> None:
    nearby = Counted()
    face = replace(states()[0], checks=checks, next_check=1.0 + wait, seen=0.96, confirmed=0.9)
    Follower(nearby, Locator())([face], {}, render(0), 1.0, busy)
    assert nearby.calls == due
    assert face.seen == 1.0


def test_two_checks_fall_into_two_frames() -> None:
    nearby, faces = Counted(), [replace(face, checks=3, next_check=0.99, seen=0.96, confirmed=0.9) for face in states()]
    follower, calls = Follower(nearby, Locator()), []
    for index in range(3):
        before = nearby.calls
        follower(faces, {}, render(0), 1.0 + index / FPS)
        calls.append(nearby.calls - before)
    assert calls == [1, 1, 0]
