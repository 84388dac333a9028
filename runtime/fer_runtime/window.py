"""A window on the desktop."""

import subprocess
import sys

import cv2
import numpy as np
from numpy.typing import NDArray

from fer_runtime.overlay import draw
from fer_runtime.results import Result


class Window:
    """Shows every frame with its result; q, Esc or closing it ends the loop."""

    TITLE = "fer-run (q ends)"

    def __init__(self) -> None:
        cv2.namedWindow(self.TITLE, cv2.WINDOW_NORMAL | cv2.WINDOW_KEEPRATIO)
        self._sized = False

    def write(self, image: NDArray[np.uint8], result: Result) -> bool:
        """Show the frame; False when the user wants to end."""
        picture = draw(image, result)
        label = f"{len(result.faces)} faces, {result.age_ms:.0f} ms old"
        cv2.putText(picture, label, (8, 18), cv2.FONT_HERSHEY_SIMPLEX, 0.5, (255, 255, 255), 1, cv2.LINE_AA)
        if not self._sized:
            cv2.resizeWindow(self.TITLE, min(1280, picture.shape[1]), min(720, picture.shape[0]))
            self._sized = True
        cv2.imshow(self.TITLE, picture)
        key = cv2.waitKey(1) & 0xFF
        return key not in (ord("q"), 27) and cv2.getWindowProperty(self.TITLE, cv2.WND_PROP_VISIBLE) >= 1

    def close(self) -> None:
        """Close the window."""
        cv2.destroyAllWindows()


def can_open() -> bool:
    """Whether a window can be opened here, tried in a process of its own.

    Where the display is dead Qt ends the whole process, and a headless OpenCV has no windows at all.
    """
    probe = "import cv2; cv2.namedWindow('probe')"
    done = subprocess.run([sys.executable, "-P", "-c", probe], capture_output=True, check=False)  # noqa: S603 - our own
    return done.returncode == 0
