"""A window on the desktop."""

import subprocess
import sys
import time
from dataclasses import replace

import cv2
import numpy as np
from numpy.typing import NDArray

from fer_runtime.outputs.overlay import caption, draw
from fer_runtime.types import Result

QUIT_KEYS = (ord("q"), 27)  # 27: Esc
LOST_AFTER_S = 1.0  # without a frame
FPS_SMOOTHING = 0.1  # weight of the newest interval in the moving average


class Window:
    """Shows every frame with its result; q, Esc or closing it ends the loop."""

    TITLE = "fer-run (q ends)"

    def __init__(self, mirror: bool = False) -> None:
        """mirror: show people as a mirror does, as they expect of a camera that faces them; the text stays readable."""
        # The normal GUI is a window alone; the expanded one of Qt has buttons, and a key that saves the picture.
        cv2.namedWindow(self.TITLE, cv2.WINDOW_NORMAL | cv2.WINDOW_KEEPRATIO | cv2.WINDOW_GUI_NORMAL)
        self._mirror = mirror
        self._last: NDArray[np.uint8] | None = None  # the last picture, without the line on top
        self._at = 0.0
        self._interval = 0.0  # mean seconds between two frames

    def write(self, image: NDArray[np.uint8], result: Result) -> bool:
        """Show the frame; False when the user wants to end."""
        if self._mirror:
            image, result = mirrored(image, result)
        picture = draw(image, result)
        now = time.monotonic()
        if self._last is None:
            cv2.resizeWindow(self.TITLE, min(1280, picture.shape[1]), min(720, picture.shape[0]))
        else:
            share = FPS_SMOOTHING if self._interval else 1.0
            self._interval += share * (now - self._at - self._interval)
        self._last, self._at = picture, now
        fps = f"{1 / self._interval:.0f} fps" if self._interval else "- fps"
        return self._show(f"{fps}, {result.age_ms:.0f} ms old, {len(result.faces)} faces")

    def on_idle(self, seconds: float) -> bool:
        """Show the last frame again, and since when there was none; False when the user wants to end."""
        if self._last is None or seconds < LOST_AFTER_S:
            return self._goes_on()
        return self._show(f"no picture for {seconds:.0f} s")

    def close(self) -> None:
        """Close the window."""
        cv2.destroyAllWindows()

    def _show(self, line: str) -> bool:
        if self._last is not None:
            picture = self._last.copy()
            caption(picture, line)
            cv2.imshow(self.TITLE, picture)
        return self._goes_on()

    def _goes_on(self) -> bool:
        key = cv2.waitKey(1) & 0xFF
        return key not in QUIT_KEYS and cv2.getWindowProperty(self.TITLE, cv2.WND_PROP_VISIBLE) >= 1


def mirrored(image: NDArray[np.uint8], result: Result) -> tuple[NDArray[np.uint8], Result]:
    """Frame and boxes with left and right exchanged."""
    width = image.shape[1]
    faces = tuple(replace(f, box=(width - f.box[0] - f.box[2], *f.box[1:])) for f in result.faces)
    return cv2.flip(image, 1).astype(np.uint8, copy=False), replace(result, faces=faces)


def can_open() -> bool:
    """Whether a window can be opened here, tried in a process of its own.

    Where the display is dead Qt ends the whole process, and a headless OpenCV has no windows at all.
    """
    probe = "import cv2; cv2.namedWindow('probe')"
    done = subprocess.run([sys.executable, "-P", "-c", probe], capture_output=True, check=False)  # noqa: S603 - our own
    return done.returncode == 0
