"""The result drawn on its frame: box, label and a bar for each expression."""

import cv2
import numpy as np
from numpy.typing import NDArray

from fer_runtime.types import Face, Result

FONT = cv2.FONT_HERSHEY_SIMPLEX
WHITE, DARK, ACCENT = (255, 255, 255), (32, 32, 32), (80, 200, 80)
MAX_LABEL_CHARS = 24
Area = tuple[int, int, int, int]  # x, y, width, height in pixels
MIN_ROW_HEIGHT = 12  # pixels: text below is not readable


def draw(image: NDArray[np.uint8], result: Result, bars: bool = True) -> NDArray[np.uint8]:
    """A copy of the frame (uint8 BGR [h, w, 3]) with every face of the result marked, with or without its bars."""
    picture = image.copy()
    taken = [face.box for face in result.faces]
    for face in result.faces if bars else ():
        _draw_bars(picture, face, taken)
    for face in result.faces:
        _draw_face(picture, face, taken)
    return picture


def caption(picture: NDArray[np.uint8], text: str) -> None:
    """Write a line at the picture's top, light on dark, so that it is readable on anything."""
    scale = max(0.45, picture.shape[0] / 1100)
    line = max(1, round(1.6 * scale))
    (width, height), below = cv2.getTextSize(text, FONT, scale, line)
    cv2.rectangle(picture, (0, 0), (width + 12, height + 2 * below + 4), DARK, cv2.FILLED)
    cv2.putText(picture, text, (6, height + below), FONT, scale, WHITE, line, cv2.LINE_AA)


def _draw_face(picture: NDArray[np.uint8], face: Face, taken: list[Area]) -> None:
    """The box, and its label above it or, where that is taken, below; the label is added to `taken`."""
    x, y, width, height = face.box
    # Readable both on a small face and on a large frame that will be shown smaller.
    scale = max(0.4, picture.shape[0] / 1500, min(1.2, width / 180))
    line = max(1, round(2 * scale))
    cv2.rectangle(picture, (x, y), (x + width, y + height), ACCENT, line + 1)
    text = f"{face.label[:MAX_LABEL_CHARS]} {face.confidence:.0%}"
    (text_width, text_height), below = cv2.getTextSize(text, FONT, scale, line)
    left = min(max(0, x), max(0, picture.shape[1] - text_width - 4))
    tall = text_height + 2 * below
    tops = (y - tall - 2, y + height + 2) if y - tall - 2 > 0 else (y + height + 2,)
    places = [(left, top, text_width + 4, tall) for top in tops]
    area = next((place for place in places if _is_apart(place, taken)), places[0])
    taken.append(area)
    top = area[1]
    cv2.rectangle(picture, (left, top), (left + text_width + 4, top + tall), ACCENT, cv2.FILLED)
    cv2.putText(picture, text, (left + 2, top + text_height + below), FONT, scale, DARK, line, cv2.LINE_AA)


def _draw_bars(picture: NDArray[np.uint8], face: Face, taken: list[Area]) -> None:
    """A row for each label on a dark panel beside the box, added to `taken`; left out where that has no room."""
    x, y, width, height = face.box
    row = min(30, height // len(face.probabilities))
    if row < MIN_ROW_HEIGHT:
        return
    scale, half = row / 34, 5 * row  # half the panel is labels, half bars
    panel, tall = 2 * half + 8, row * len(face.probabilities) + 4
    free = (left for left in (x + width + 8, x - 8 - panel) if _is_free((left, y, panel, tall), picture, taken))
    left = next(free, None)
    if left is None:
        return
    taken.append((left, y, panel, tall))
    area = picture[max(0, y) : y + tall, left : left + panel]
    area //= 3
    for index, (label, probability) in enumerate(face.probabilities.items()):
        base = y + (index + 1) * row
        ink = ACCENT if label == face.label else WHITE
        cv2.putText(picture, label[:MAX_LABEL_CHARS], (left + 4, base - 3), FONT, scale, ink, 1, cv2.LINE_AA)
        start = left + half + 4
        end = start + round((half - 4) * probability)
        cv2.rectangle(picture, (start, base - row + 4), (end, base - 2), ink, cv2.FILLED)


def _is_free(area: Area, picture: NDArray[np.uint8], taken: list[Area]) -> bool:
    """Whether `area` is inside the frame from left to right and touches nothing that is taken."""
    return _is_apart(area, taken) and area[0] >= 0 and area[0] + area[2] <= picture.shape[1]


def _is_apart(area: Area, taken: list[Area]) -> bool:
    x, y, width, height = area
    return all(
        x + width <= other[0] or other[0] + other[2] <= x or y + height <= other[1] or other[1] + other[3] <= y
        for other in taken
    )
