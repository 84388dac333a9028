"""A video file as a camera: its frames come at a camera's pace, in a thread of their own, to whoever is ready."""

import time
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from fer_runtime.errors import FerError
from fer_runtime.sources.live import Live
from fer_runtime.system.profiler import Profile

FPS = 30.0


def simulated_camera(video: Path, size: tuple[int, int] | None = None, profile: Profile | None = None) -> Live:
    """The runtime's live source on a file that is played again and again at 30 frames per second.

    size: width and height that the frames are shrunk or enlarged to; None: as they are. Raises FerError.
    """
    return Live(str(video), profile, open_capture=lambda: _Capture(video, size))


class _Capture:
    """Of cv2.VideoCapture, what a live source uses."""

    def __init__(self, video: Path, size: tuple[int, int] | None) -> None:
        self._video, self._size = video, size
        self._capture = cv2.VideoCapture(str(video))
        self._next = time.monotonic()

    def isOpened(self) -> bool:  # noqa: N802 - OpenCV's name
        return self._capture.isOpened()

    def grab(self) -> bool:
        time.sleep(max(0.0, self._next - time.monotonic()))
        self._next = max(self._next + 1 / FPS, time.monotonic())
        if self._capture.grab():
            return True
        self._capture.release()
        self._capture = cv2.VideoCapture(str(self._video))
        return self._capture.grab()

    def retrieve(self) -> tuple[bool, NDArray[np.uint8] | None]:
        fine, image = self._capture.retrieve()
        if not fine:
            return False, None
        if self._size:
            image = cv2.resize(image, self._size, interpolation=cv2.INTER_AREA)
        return True, image.astype(np.uint8, copy=False)

    def get(self, what: int) -> float:
        return FPS if what == cv2.CAP_PROP_FPS else self._capture.get(what)

    def release(self) -> None:
        self._capture.release()


def check(video: Path) -> None:
    """Raise FerError for what is no video."""
    if not cv2.VideoCapture(str(video)).isOpened():
        raise FerError(f"{video} is not a video that OpenCV can read: expected for example .mp4, .mkv or .avi")
