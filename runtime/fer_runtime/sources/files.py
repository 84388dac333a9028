"""Video files and pictures, of which every frame counts."""

import time
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np

from fer_runtime.data.decode import decode_bgr, read_picture
from fer_runtime.errors import FerError
from fer_runtime.sources.base import OnIdle, ShouldDecode, always, nominal_fps
from fer_runtime.system.profiler import Profile
from fer_runtime.types import Frame

USUAL_FPS = 25.0  # of a video file that does not tell
MOST_BROKEN = 25  # frames of a video in a row that cannot be decoded, after which it is taken to be over


class Pictures:
    """Picture files, one frame each."""

    fps = 0.0
    live = False

    def __init__(self, paths: list[Path]) -> None:
        self._paths = paths
        self.notes: list[str] = []

    def frames(self, should_decode: ShouldDecode = always, on_idle: OnIdle = always) -> Iterator[Frame]:  # noqa: ARG002 - none has a time
        """The pictures that can be decoded. Raises FerError when none can."""
        index = 0
        broken: list[Path] = []
        for path in self._paths:
            image = read_picture(path.read_bytes, decode_bgr)
            if image is None:
                broken.append(path)
            else:
                yield Frame(image, index, name=path.name)
                index += 1
        if index == 0:
            raise FerError(f"{broken[0]} cannot be decoded as a picture: is it complete?")
        if broken:
            self.notes.append(f"{len(broken)} pictures cannot be decoded and were left out (first: {broken[0]})")


class Video:
    """A video file: every frame, as fast as they are asked for; or, in real time, the one that is due."""

    def __init__(self, path: Path, realtime: bool = False, profile: Profile | None = None) -> None:
        self._profile = profile or Profile()
        self.live = realtime
        self.notes: list[str] = []
        self._path = path
        self._capture = cv2.VideoCapture(str(path))
        if not self._capture.isOpened():
            raise FerError(f"{path} is not a video that OpenCV can read: expected for example .mp4, .mkv or .avi")
        self.fps = nominal_fps(self._capture.get(cv2.CAP_PROP_FPS))

    def frames(self, should_decode: ShouldDecode = always, on_idle: OnIdle = always) -> Iterator[Frame]:  # noqa: ARG002 - never waits
        """The frames in order for which `should_decode`. Raises FerError when there is none."""
        fps = self.fps or USUAL_FPS
        index = last = left_out = 0
        started = time.monotonic()
        try:
            while (broken := self._grabbed()) is not None:
                index += broken
                left_out += broken
                early = index / fps - (time.monotonic() - started)
                # One a second is given however late it is, where even decoding is slower than the file's pace.
                late = self.live and early < -1 / fps and index - last < fps
                if late or not should_decode(index / fps):
                    index += 1
                    continue
                with self._profile.stage("decode"):
                    fine, image = self._capture.retrieve()
                if not fine:
                    break
                if self.live:
                    time.sleep(max(0.0, early))
                yield Frame(image.astype(np.uint8, copy=False), index, index / fps)
                last = index
                index += 1
        finally:
            self._capture.release()
        if index == 0:
            raise FerError(f"{self._path} holds no frame that can be decoded: is it complete?")
        if left_out:
            self.notes.append(f"{left_out} frames cannot be decoded and were left out")

    def _grabbed(self) -> int | None:
        """Take the next frame: how many before it are broken; None at the end."""
        with self._profile.stage("capture"):
            return next((broken for broken in range(MOST_BROKEN) if self._capture.grab()), None)
