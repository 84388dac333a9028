"""Frames: what they are, and where they come from; video files and pictures, of which every one counts."""

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Protocol

import cv2
import numpy as np
from numpy.typing import NDArray

from fer_runtime.data.index import IMAGE_SUFFIXES
from fer_runtime.errors import FerError
from fer_runtime.system.profiler import Profile

PNG = b"\x89PNG\r\n\x1a\n"
MOST_CLAIMED = 2**24  # bytes that a part of a PNG may lack: a file cut short is still shown as far as it goes
USUAL_FPS = 25.0  # of a video file that does not tell
MOST_BROKEN = 25  # frames of a video in a row that cannot be decoded, after which it is taken to be over
Due = Callable[[float], bool]  # whether there is time for the frame of that time, seconds on the source's clock
Waiting = Callable[[float], bool]  # takes the seconds since the last frame; False: no more are wanted


def always(at: float) -> bool:  # noqa: ARG001 - the types' signature
    """Every frame is due, and every wait is fine."""
    return True


@dataclass(frozen=True)
class Frame:
    """image: uint8 BGR [h, w, 3]; index: from 0; captured: when it was read, monotonic seconds; time: the same, UTC;
    at: seconds on the source's own clock, which a file's frames tell however fast they are read; None for a picture.
    """

    image: NDArray[np.uint8]
    index: int
    at: float | None = None
    name: str = ""
    captured: float = field(default_factory=time.monotonic)
    time: str = field(default_factory=lambda: datetime.now(UTC).isoformat(timespec="milliseconds"))


class Source(Protocol):
    """fps: nominal frames a second, 0 when unknown; live: its frames come at their own pace, whoever looks at them;
    notes: after the frames, what the user should be told.
    """

    fps: float
    live: bool
    notes: list[str]

    def frames(self, due: Due = always, waiting: Waiting = always) -> Iterator[Frame]:
        """The frames in order that are due; others are not even decoded. Raises FerError when the source holds none.

        waiting: is called a few times a second while none comes, as from a camera that is lost and opened again.
        """


def open_source(
    name: str,
    realtime: bool = False,
    profile: Profile | None = None,
    size: tuple[int, int] | None = None,
    fps: float | None = None,
) -> Source:
    """A camera index, /dev path, `picamera`, stream URL, video file, picture or folder of pictures. Raises FerError.

    realtime: a video file is read at its own pace, and frames that come too late are passed over, as of a camera.
    profile: takes how long frames took to capture and decode. size (width, height) and fps: what a camera is asked for.
    """
    if (size or fps) and not is_camera(name):
        raise FerError(f"--size and --fps are for a camera: {name} comes as it is")
    if is_camera(name) or "://" in name:
        from fer_runtime.sources.live import Live

        return Live(name, profile=profile, size=size, fps=fps)
    path = Path(name)
    if path.is_dir():
        pictures = sorted(p for p in path.iterdir() if p.suffix.lower() in IMAGE_SUFFIXES and p.is_file())
        if not pictures:
            raise FerError(f"the folder {path} holds no pictures: expected files such as .jpg or .png")
        return Pictures(pictures)
    if not path.is_file():
        raise FerError(f"{path} does not exist: expected a camera number, a URL, a video, a picture or a folder")
    if path.suffix.lower() in IMAGE_SUFFIXES:
        return Pictures([path])
    return Video(path, realtime, profile)


class Pictures:
    """Picture files, one frame each."""

    fps = 0.0
    live = False

    def __init__(self, paths: list[Path]) -> None:
        self._paths = paths
        self.notes: list[str] = []

    def frames(self, due: Due = always, waiting: Waiting = always) -> Iterator[Frame]:  # noqa: ARG002 - none has a time
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

    def frames(self, due: Due = always, waiting: Waiting = always) -> Iterator[Frame]:  # noqa: ARG002 - never waits
        """The frames in order that are due. Raises FerError when there is none."""
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
                if late or not due(index / fps):
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


def is_camera(name: str) -> bool:
    """Whether it names a camera of this machine: a number, a /dev path, or `picamera`."""
    number = name.isascii() and name.isdecimal() and len(name) < 4
    return number or name.startswith("/dev/video") or name == "picamera"


def nominal_fps(fps: float) -> float:
    """Frames a second that a source tells, 0 where it tells nothing likely."""
    return fps if 0 < fps <= 1000 else 0.0
