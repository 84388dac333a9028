"""Training frame and camera crop are the same thing."""

import cv2
import numpy as np
import pytest

from fer_runtime.model.preprocessing import FER2013, Framing, crop, crop_square, tilt, to_face
from helpers.drawn import draw_face


@pytest.mark.parametrize("side", [48, 96, 130, 211])
def test_a_face_pasted_into_a_frame_comes_back(side: int) -> None:
    face = draw_face("happy", np.random.RandomState(0))
    frame = np.full((480, 640, 3), 90, np.uint8)
    frame[100 : 100 + side, 200 : 200 + side] = cv2.resize(face, (side, side), interpolation=cv2.INTER_LINEAR)[
        :, :, None
    ]
    framing = Framing(0.5, 0.52, 1.03)
    height = framing.height * side
    width = 0.8 * height
    box = (200 + 0.5 * side - width / 2, 100 + 0.52 * side - height / 2, width, height)
    assert crop_square(box, framing) == pytest.approx((200, 100, side))
    found = crop(frame, box, framing, 48)
    assert np.abs(found.astype(int) - face).mean() < 12
    if side == 48:
        assert np.array_equal(found[0], face)


@pytest.mark.parametrize(
    "box", [(-30, -30, 60, 60), (600, 440, 80, 80), (-500, 0, 50, 50), (0, 0, 0.1, 0.1), (0, 0, 2000, 2000)]
)
def test_crops_beyond_the_frame_are_whole_faces_still(box: tuple[float, float, float, float]) -> None:
    frame = np.full((480, 640, 3), 77, np.uint8)
    found = crop(frame, box, FER2013, 48)
    assert found.shape == (1, 48, 48)
    assert found.dtype == np.uint8
    assert set(np.unique(found)) <= {0, 77}


def test_oblong_images_keep_their_shape() -> None:
    image = np.zeros((48, 96), np.uint8)
    image[:, 24:72] = 200
    assert (to_face(image, 48) == 200).all()


@pytest.mark.parametrize("angle", [-30, -15, 20, 40])
def test_a_leaning_face_is_turned_back(angle: float) -> None:
    face = draw_face("happy", np.random.RandomState(0))
    side, centre = 120, (320, 240)
    turn = cv2.getRotationMatrix2D((24, 24), -angle, side / 48)  # clockwise
    turn[:, 2] += np.array(centre) - 24
    frame = np.full((480, 640), 90, np.uint8)
    cv2.warpAffine(face, turn, (640, 480), dst=frame, flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_TRANSPARENT)
    box = (centre[0] - 50.0, centre[1] - 60.0, 100.0, 120.0)
    framing = Framing(0.5, 0.5, 1.0)
    as_it_is, turned = (crop(frame, box, framing, 48, "grey", each)[0, 8:40, 8:40] for each in (0.0, angle))
    wanted = face[8:40, 8:40].astype(int)
    assert np.abs(turned - wanted).mean() < 0.5 * np.abs(as_it_is - wanted).mean()
    assert crop(frame[:, :, None].repeat(3, 2), box, framing, 48, "rgb", angle).shape == (3, 48, 48)


def test_only_faces_that_clearly_lean_are_turned() -> None:
    def eyes(angle: float) -> np.ndarray:
        other = (100 + 40 * np.cos(np.radians(angle)), 100 + 40 * np.sin(np.radians(angle)))
        return np.array([(100, 100), other, (0, 0), (0, 0), (0, 0)], np.float32)

    assert [tilt(eyes(angle)) for angle in (0, 5, -11, 80, -100, 180)] == [0] * 6
    assert [tilt(eyes(angle)) for angle in (13, -20, 44)] == pytest.approx([13, -20, 44], abs=0.01)
