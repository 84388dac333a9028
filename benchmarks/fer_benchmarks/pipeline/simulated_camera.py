"""A video file as a camera, whose frames come at a camera's pace in a thread of their own, and the loop on it."""

import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from fer_benchmarks.pipeline.throughput import TimedNetwork
from fer_runtime.errors import FerError
from fer_runtime.sources.base import OnIdle, ShouldDecode, Source, always
from fer_runtime.sources.captures import open_file
from fer_runtime.sources.live import Live
from fer_runtime.system.profiler import Profile
from fer_runtime.types import Frame

FPS = 30.0
SIZE = (640, 480)


def simulated_camera(video: Path, size: tuple[int, int] | None = None, profile: Profile | None = None) -> Live:
    """The runtime's live source on a file that is played again and again at 30 frames per second.

    size: width and height that the frames are shrunk or enlarged to; None: as they are. Raises FerError.
    """
    return Live(str(video), profile, open_capture=lambda: _Capture(video, size))


class _Capture:
    """Of cv2.VideoCapture, what a live source uses."""

    def __init__(self, video: Path, size: tuple[int, int] | None) -> None:
        self._video, self._size = video, size
        self._capture = open_file(video)
        self._next = time.monotonic()

    def isOpened(self) -> bool:  # noqa: N802 - OpenCV's name
        return self._capture.isOpened()

    def grab(self) -> bool:
        time.sleep(max(0.0, self._next - time.monotonic()))
        self._next = max(self._next + 1 / FPS, time.monotonic())
        if self._capture.grab():
            return True
        self._capture.release()
        self._capture = open_file(self._video)
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


@dataclass(frozen=True)
class PacedRun:
    """One run with a simulated camera."""

    fps: float
    """Results per second."""
    loop_share: float
    """Of a core, for the loop's thread."""
    capture_share: float
    """Of a core, for the rest of the process."""
    age_p99_ms: float
    """Of a frame at its result."""
    longest_pass_ms: float
    """From a frame to its result."""


def check(video: Path) -> None:
    """Raise FerError for what is no video."""
    if not open_file(video).isOpened():
        raise FerError(f"{video} is not a video that OpenCV can read: expected for example .mp4, .mkv or .avi")


class _Stamped:
    """A source with the moment at which its last frame was given, from which a pass through the loop counts."""

    def __init__(self, source: Source) -> None:
        self._source = source
        self.fps, self.live, self.notes = source.fps, source.live, source.notes
        self.given = 0.0

    def frames(self, should_decode: ShouldDecode = always, on_idle: OnIdle = always) -> Iterator[Frame]:
        """The source's frames."""
        for frame in self._source.frames(should_decode, on_idle):
            self.given = time.perf_counter()
            yield frame


def paced(video: Path, seconds: float, max_fps: float | None = None, slowed: int = 1) -> PacedRun:
    """The loop on the file as a camera of 640x480, for so many seconds. slowed: how often each crop is classified."""
    from fer_runtime.model.session import Classifier
    from fer_runtime.pipeline.loop import Loop

    profile = Profile()
    classifier: Any = TimedNetwork(Classifier(), slowed)  # passes everything on to the one inside
    camera = _Stamped(simulated_camera(video, SIZE, profile))
    passes_ms = []
    begin = time.monotonic()
    for _ in Loop(camera, classifier, max_fps=max_fps, profile=profile):
        passes_ms.append(1e3 * (time.perf_counter() - camera.given))
        if time.monotonic() - begin > seconds:
            break
    used = profile.usage()
    return PacedRun(
        used.fps,
        used.loop_cpu_seconds / used.seconds,
        (used.cpu_seconds - used.loop_cpu_seconds) / used.seconds,
        used.frame_age_ms.p99,
        max(passes_ms),
    )
