"""The result drawn on its frame: box, label and a bar for each expression."""

import cv2
import numpy as np
from numpy.typing import NDArray

from fer_runtime.results import Face, Result

FONT = cv2.FONT_HERSHEY_SIMPLEX
WHITE, DARK = (255, 255, 255), (32, 32, 32)
ACCENT = (80, 200, 80)


def draw(image: NDArray[np.uint8], result: Result) -> NDArray[np.uint8]:
    """A copy of the frame (uint8 BGR [h, w, 3]) with every face of the result marked."""
    picture = image.copy()
    for face in result.faces:
        _draw_face(picture, face)
    return picture


def _draw_face(picture: NDArray[np.uint8], face: Face) -> None:
    x, y, width, height = face.box
    line = max(1, round(width / 60))
    cv2.rectangle(picture, (x, y), (x + width, y + height), ACCENT, line)
    scale = min(1.2, max(0.4, width / 180))
    text = f"{face.label} {face.probabilities[face.label]:.0%}"
    (text_width, text_height), below = cv2.getTextSize(text, FONT, scale, line)
    left = min(max(0, x), max(0, picture.shape[1] - text_width - 4))
    base = y - below - 2 if y - text_height - 2 * below > 0 else y + height + text_height + below
    cv2.rectangle(
        picture, (left, base - text_height - below), (left + text_width + 4, base + below), ACCENT, cv2.FILLED
    )
    cv2.putText(picture, text, (left + 2, base), FONT, scale, DARK, line, cv2.LINE_AA)
    if width >= 90:
        _draw_bars(picture, face)


def _draw_bars(picture: NDArray[np.uint8], face: Face) -> None:
    """A row for each label beside the box, on whichever side has room; left out where neither has."""
    x, y, width, height = face.box
    row = max(12, min(24, height // len(face.probabilities)))
    scale, span = row / 34, 5 * row
    needed = span + 5 * row
    left = x + width + 10 if x + width + 10 + needed <= picture.shape[1] else x - 10 - needed
    if left < 0:
        return
    for index, (label, probability) in enumerate(face.probabilities.items()):
        top = y + index * row
        ink = ACCENT if label == face.label else WHITE
        cv2.putText(picture, label, (left, top + row - 4), FONT, scale, DARK, 3, cv2.LINE_AA)
        cv2.putText(picture, label, (left, top + row - 4), FONT, scale, ink, 1, cv2.LINE_AA)
        start = left + 5 * row
        cv2.rectangle(picture, (start, top + 2), (start + span, top + row - 3), DARK, cv2.FILLED)
        cv2.rectangle(picture, (start, top + 2), (start + round(span * probability), top + row - 3), ink, cv2.FILLED)
