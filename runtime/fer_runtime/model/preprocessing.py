"""From a detection in a frame to the square face crop the network was trained on."""

from dataclasses import dataclass
from math import atan2, degrees

import cv2
import numpy as np
from numpy.typing import NDArray

from fer_runtime.types import Box

CHANNELS = {"grey": 1, "rgb": 3}
MIN_TILT, MAX_TILT = 12.0, 45.0  # degrees: a face that leans by less is left as it is, see docs/runtime.md


@dataclass(frozen=True)
class Framing:
    """Where the detector's box falls in a training face, in shares of the training frame's side.

    Measured: see fer_train.training.calibration.
    """

    centre_x: float
    """Of the box."""
    centre_y: float
    """Of the box."""
    height: float
    """Of the box."""


# Measured on FER2013's training faces (fer_train.training.calibration); for data in which the detector finds no faces.
FER2013 = Framing(centre_x=0.5038, centre_y=0.514, height=1.0279)


def crop_square(box: Box, framing: Framing) -> tuple[float, float, float]:
    """(left, top, side) in pixels of the square in which `box` lies as it does in the training faces."""
    x, y, width, height = box
    side = height / framing.height
    return x + width / 2 - framing.centre_x * side, y + height / 2 - framing.centre_y * side, side


def tilt(landmarks: NDArray[np.float32]) -> float:
    """Degrees by which a face with these landmarks ([5, 2]: eyes, nose, mouth corners) leans clockwise.

    0 below MIN_TILT, where the eyes' line is no surer than the head's, and beyond MAX_TILT, where it is no face's.
    """
    across, down = (landmarks[1] - landmarks[0]).tolist()
    angle = degrees(atan2(down, across))
    return angle if MIN_TILT <= abs(angle) <= MAX_TILT else 0.0


def crop(
    frame: NDArray[np.uint8], box: Box, framing: Framing, size: int, colour: str = "grey", angle: float = 0.0
) -> NDArray[np.uint8]:
    """The face in `box` of a frame (uint8 BGR [h, w, 3] or grey [h, w]) as uint8 [channels, size, size].

    angle: degrees by which it leans clockwise; it is turned back about the crop's centre. Parts of the crop outside the
    frame repeat the frame's edge.
    """
    left, top, side = crop_square(box, framing)
    if not angle:
        return to_face(_square(frame, left, top, side), size, colour)
    margin = (size + 3) // 4  # on each side: at 45 degrees the corners reach 0.21 of the side beyond it
    beyond = side * margin / size
    wide = size + 2 * margin
    face = to_face(_square(frame, left - beyond, top - beyond, side + 2 * beyond), wide, colour)
    turn = cv2.getRotationMatrix2D(((wide - 1) / 2, (wide - 1) / 2), angle, 1)
    turn[:, 2] -= margin
    return np.stack([cv2.warpAffine(channel, turn, (size, size)).astype(np.uint8, copy=False) for channel in face])


def _square(frame: NDArray[np.uint8], left: float, top: float, side: float) -> NDArray[np.uint8]:
    """The square of these pixels, with the frame's edge repeated beyond it; black where nothing of it is inside."""
    height, width = frame.shape[:2]
    pixels = max(1, round(side))
    x0, y0 = round(left), round(top)
    x1, y1 = x0 + pixels, y0 + pixels
    inside = frame[max(0, y0) : max(0, min(height, y1)), max(0, x0) : max(0, min(width, x1))]
    if inside.size == 0:
        return np.zeros((1, 1, *frame.shape[2:]), np.uint8)
    pads = (max(0, -y0), max(0, y1 - height), max(0, -x0), max(0, x1 - width))
    if any(pads):
        inside = cv2.copyMakeBorder(inside, *pads, cv2.BORDER_REPLICATE).astype(np.uint8, copy=False)
    return inside


def to_face(image: NDArray[np.uint8], size: int, colour: str = "grey") -> NDArray[np.uint8]:
    """Any image (uint8 BGR [h, w, 3] or grey [h, w]), or its centre square if oblong, as uint8 [channels, size, size].

    colour: "grey", one channel, or "rgb", three in this order.
    """
    height, width = image.shape[:2]
    if height != width:
        side = min(height, width)
        top, left = (height - side) // 2, (width - side) // 2
        image = image[top : top + side, left : left + side]
    if colour == "grey" and image.ndim == 3:
        image = cv2.cvtColor(image, cv2.COLOR_BGR2GRAY).astype(np.uint8, copy=False)
    if image.shape[0] != size:
        shrinking = image.shape[0] > size
        image = cv2.resize(image, (size, size), interpolation=cv2.INTER_AREA if shrinking else cv2.INTER_LINEAR).astype(
            np.uint8, copy=False
        )
    if colour == "grey":
        return np.ascontiguousarray(image[None])
    channels = image[:, :, ::-1].transpose(2, 0, 1) if image.ndim == 3 else np.stack([image] * 3)
    return np.ascontiguousarray(channels)
