"""Video files and pictures, of which every frame counts."""

import time
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from fer_runtime.errors import FerError
from fer_runtime.sources.base import OnIdle, ShouldDecode, always, nominal_fps
from fer_runtime.system.profiler import Profile
from fer_runtime.types import Frame

PNG = b"\x89PNG\r\n\x1a\n"
MOST_CLAIMED = 2**24  # bytes that a part of a PNG may lack: a file cut short is still shown as far as it goes
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
            image = _picture(path)
            if image is None:
                broken.append(path)
            else:
                yield Frame(image, index, name=path.name)
                index += 1
        if index == 0:
            raise FerError(f"{broken[0]} cannot be decoded as a picture: is it complete?")
        if broken:
            self.notes.append(f"{len(broken)} pictures cannot be decoded and were left out (first: {broken[0]})")


def _picture(path: Path) -> NDArray[np.uint8] | None:
    """The picture as uint8 BGR [h, w, 3], or None where it cannot be read or decoded."""
    try:
        data = np.fromfile(path, np.uint8)
        image = cv2.imdecode(data, cv2.IMREAD_COLOR) if data.size and not _claims_too_much(data.tobytes()) else None
    except (OSError, cv2.error):
        return None
    return None if image is None else image.astype(np.uint8, copy=False)


def _claims_too_much(data: bytes) -> bool:
    """Whether a part of a PNG claims far more bytes than there are: OpenCV would take that much memory, up to 4 GB."""
    at = len(PNG)
    while data.startswith(PNG) and at + 8 <= len(data):
        length = int.from_bytes(data[at : at + 4], "big")
        if length > len(data) + MOST_CLAIMED:
            return True
        at += length + 12  # with the part's length, name and checksum
    return False


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
