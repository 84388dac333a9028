"""The result drawn on its frame: box, label and a bar for each expression."""

import cv2
import numpy as np
from numpy.typing import NDArray

from fer_runtime.results import Face, Result

FONT = cv2.FONT_HERSHEY_SIMPLEX
WHITE, DARK, ACCENT = (255, 255, 255), (32, 32, 32), (80, 200, 80)
LONGEST_LABEL = 24  # characters


def draw(image: NDArray[np.uint8], result: Result) -> NDArray[np.uint8]:
    """A copy of the frame (uint8 BGR [h, w, 3]) with every face of the result marked."""
    picture = image.copy()
    for face in result.faces:
        _draw_face(picture, face)
    return picture


def _draw_face(picture: NDArray[np.uint8], face: Face) -> None:
    x, y, width, height = face.box
    # Readable both on a small face and on a large frame that will be shown smaller.
    scale = max(0.4, picture.shape[0] / 1500, min(1.2, width / 180))
    line = max(1, round(2 * scale))
    cv2.rectangle(picture, (x, y), (x + width, y + height), ACCENT, line)
    text = f"{face.label[:LONGEST_LABEL]} {face.probabilities[face.label]:.0%}"
    (text_width, text_height), below = cv2.getTextSize(text, FONT, scale, line)
    left = min(max(0, x), max(0, picture.shape[1] - text_width - 4))
    base = y - below - 2 if y - text_height - 2 * below > 0 else y + height + text_height + below
    corners = (left, base - text_height - below), (left + text_width + 4, base + below)
    cv2.rectangle(picture, *corners, ACCENT, cv2.FILLED)
    cv2.putText(picture, text, (left + 2, base), FONT, scale, DARK, line, cv2.LINE_AA)
    if width >= 90:
        _draw_bars(picture, face)


def _draw_bars(picture: NDArray[np.uint8], face: Face) -> None:
    """A row for each label on a dark panel beside the box, on whichever side has room; left out where neither has."""
    x, y, width, height = face.box
    row = max(12, min(30, height // len(face.probabilities)))
    scale, half = row / 34, 5 * row  # half the panel is labels, half bars
    panel = 2 * half + 8
    left = x + width + 8 if x + width + 8 + panel <= picture.shape[1] else x - 8 - panel
    if left < 0:
        return
    area = picture[max(0, y) : y + row * len(face.probabilities) + 4, left : left + panel]
    area //= 3
    for index, (label, probability) in enumerate(face.probabilities.items()):
        base = y + (index + 1) * row
        ink = ACCENT if label == face.label else WHITE
        cv2.putText(picture, label[:LONGEST_LABEL], (left + 4, base - 3), FONT, scale, ink, 1, cv2.LINE_AA)
        start = left + half + 4
        end = start + round((half - 4) * probability)
        cv2.rectangle(picture, (start, base - row + 4), (end, base - 2), ink, cv2.FILLED)
