"""The locator: where a known face is now, as the detector would say, and how sure it is."""

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from fer_benchmarks.demo_clip import placements, render
from fer_runtime.faces.detection import Detection, RetinaFace
from fer_runtime.faces.following import MIN_LOCATED, Follower
from fer_runtime.faces.locating import SIZE, Locator, cut
from fer_runtime.faces.similarity import overlap
from fer_runtime.types import Box


def shifted(box: Box, right: float, down: float, scale: float = 1.0) -> Box:
    """The box, moved by these shares of its height and enlarged about its middle."""
    x, y, width, height = box
    middle = x + width / 2 + right * height, y + height / 2 + down * height
    return middle[0] - scale * width / 2, middle[1] - scale * height / 2, scale * width, scale * height


def found_nearby(image: NDArray[np.uint8]) -> list[Detection]:
    follower = Follower(RetinaFace.nearby())
    seen = (follower.near(image, placed.face) for placed in placements(0))
    return [each for each in seen if each is not None]


@pytest.mark.parametrize(("right", "down", "scale"), [(0, 0, 1), (0.1, -0.05, 1), (-0.1, 0.1, 1.1), (0.15, 0, 0.9)])
def test_boxes_and_landmarks_lie_where_the_detector_sees_them(right: float, down: float, scale: float) -> None:
    """Wherever the face was in the last frame: in pixels of the frame, and in the order of the boxes."""
    image = render(0)
    faces = found_nearby(image)
    located = Locator()(image, [shifted(face.box, right, down, scale) for face in faces])
    assert len(located) == len(faces) == 2
    for face, found in zip(faces, located, strict=True):
        assert overlap(face.box, found.box) > 0.75
        assert np.abs(face.landmarks - found.landmarks).mean() < 0.08 * face.box[3]


def test_it_is_not_sure_of_what_is_no_face() -> None:
    noise = np.random.RandomState(0).randint(0, 256, (200, 200, 3)).astype(np.uint8)
    flat = np.full((200, 200, 3), 128, np.uint8)
    for image in (noise, flat, cv2.GaussianBlur(noise, (0, 0), 9)):
        (found,) = Locator()(np.asarray(image, np.uint8), [(60, 60, 60, 80)])
        assert found.score < MIN_LOCATED


@pytest.mark.parametrize("box", [(-40, -50, 60, 80), (280, 200, 60, 80), (500, 500, 60, 80), (10, 10, 0.5, 0.5)])
def test_a_region_beyond_the_frame_is_answered_without_an_error(box: Box) -> None:
    image = np.random.RandomState(1).randint(0, 256, (240, 320, 3)).astype(np.uint8)
    (found,) = Locator()(image, [box])
    assert np.isfinite([*found.box, found.score, *found.landmarks.ravel()]).all()


def test_the_region_is_what_the_frame_shows_there_and_repeats_its_edge() -> None:
    image = np.zeros((100, 100, 3), np.uint8)
    image[:, 50:] = 200
    inside = cut(image, 26, 20, SIZE)
    assert (inside[:, :24] == 0).all()
    assert (inside[:, 24:] == 200).all()
    assert (cut(image, 90, 20, 40) == 200).all()
    assert (cut(image, -300, 20, 40) == 0).all()
