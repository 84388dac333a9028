"""Labelled faces composited into photographs without people."""

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from fer_runtime.types import Box

WIDTH, HEIGHT = 640, 480
FRAMES_PER_FACE = 5  # the first is searched as a whole, in the others the face is followed
BACKGROUNDS = ("coffee", "rocket", "chelsea", "brick", "grass", "gravel")  # of skimage.data, shipped with it


@dataclass(frozen=True)
class FacePlacement:
    """Where a face stands in a frame."""

    x: float
    """Of its centre, pixels."""
    y: float
    size: int
    """Of its side, pixels."""
    angle: int
    """Degrees, counter-clockwise."""

    @property
    def box(self) -> Box:
        """The square, before it was turned."""
        return self.x - self.size / 2, self.y - self.size / 2, self.size, self.size

    def moved(self, steps: int) -> "FacePlacement":
        """A pixel to the right for each step."""
        return FacePlacement(self.x + steps, self.y, self.size, self.angle)


def backgrounds() -> list[NDArray[np.uint8]]:
    """Photographs without faces, uint8 BGR [HEIGHT, WIDTH, 3]."""
    import skimage.data

    pictures = []
    for name in BACKGROUNDS:
        photo = getattr(skimage.data, name)()
        photo = cv2.cvtColor(photo, cv2.COLOR_RGB2BGR if photo.ndim == 3 else cv2.COLOR_GRAY2BGR)
        scale = max(WIDTH / photo.shape[1], HEIGHT / photo.shape[0])
        size = (max(WIDTH, round(photo.shape[1] * scale)), max(HEIGHT, round(photo.shape[0] * scale)))
        pictures.append(cv2.resize(photo, size, interpolation=cv2.INTER_AREA)[:HEIGHT, :WIDTH].astype(np.uint8))
    return pictures


def place(size: int, angle: int, rng: np.random.RandomState) -> FacePlacement:
    """Somewhere in the frame, where all of the turned square stays in it for FRAMES_PER_FACE frames."""
    turn = np.deg2rad(abs(angle))
    half = size / 2 * (np.cos(turn) + np.sin(turn)) + 1
    return FacePlacement(
        rng.uniform(half, WIDTH - half - FRAMES_PER_FACE), rng.uniform(half, HEIGHT - half), size, angle
    )


def paste(face: NDArray[np.uint8], background: NDArray[np.uint8], placement: FacePlacement) -> NDArray[np.uint8]:
    """The frame with the face in it. face: uint8 [channels, side, side], grey or red first.

    FER2013's faces are cut off at brow and chin. A detector wants the shape of a head, so each is continued by its
    mirror image and fades out in an oval round the square (as squares, a third fewer are found at 112 pixels).
    """
    picture = cv2.cvtColor(face[0], cv2.COLOR_GRAY2BGR) if len(face) == 1 else face[::-1].transpose(1, 2, 0)
    side = picture.shape[0]
    beyond = side // 2
    picture = cv2.copyMakeBorder(picture, beyond, beyond, beyond, beyond, cv2.BORDER_REFLECT_101)
    middle = side / 2 + beyond - 0.5
    rows, columns = np.mgrid[: len(picture), : len(picture)]
    alpha = np.clip((1 - np.hypot((columns - middle) / (0.75 * side), (rows - middle) / (0.92 * side))) / 0.15, 0, 1)
    matrix = cv2.getRotationMatrix2D((middle, middle), placement.angle, placement.size / side)
    matrix[:, 2] += placement.x - middle, placement.y - middle
    # Cubic: linear enlarging would blur the face, at a cost of its own that no camera has.
    shown = cv2.warpAffine(picture, matrix, (WIDTH, HEIGHT), flags=cv2.INTER_CUBIC)
    opaque = cv2.warpAffine(alpha.astype(np.float32), matrix, (WIDTH, HEIGHT))[:, :, None]
    return (shown * opaque + background * (1 - opaque)).round().astype(np.uint8)
