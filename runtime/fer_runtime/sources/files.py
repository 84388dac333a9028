"""Video files and pictures, of which every frame counts."""

import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path, PurePath

import cv2
import numpy as np
from numpy.typing import NDArray

from fer_runtime.data.decode import IMAGE_SUFFIXES, decode_bgr, read_picture
from fer_runtime.errors import FerError
from fer_runtime.sources.base import OnIdle, ShouldDecode, always, nominal_fps
from fer_runtime.sources.captures import Capture, decode, open_address, open_file
from fer_runtime.sources.conversion import refuse_unconverted
from fer_runtime.sources.media_clock import JUMPING, MediaClock
from fer_runtime.system.profiler import Profile
from fer_runtime.system.redact import redact_url
from fer_runtime.types import Frame

MAX_BROKEN = 25  # frames of a video in a row that cannot be decoded, after which it is taken to be over
MEASURED_FRAMES = 30  # from which a video's frames per second are taken where it declares nothing likely
COMPLETE = 0.9  # of the declared frames or seconds, below which the user is told that the end is missing
MIN_SHOWN_S = 1.0  # of a video in real time one frame per second is given however late, where decoding is too slow


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

    def __init__(
        self,
        path: Path | str,
        realtime: bool = False,
        profile: Profile | None = None,
        threads: int | None = None,
    ) -> None:
        """path: of a file, or the address of one on a server. Raises FerError for what is no video.

        realtime: frames come at the file's own pace, and those that are late are passed over. threads: of a file's
        decoder; None: as many as there are cores.
        """
        self._profile = profile or Profile()
        self.live = realtime
        self.notes: list[str] = []
        self._path = path if isinstance(path, Path) else None
        self._shown = redact_url(str(path))
        self._open = partial(open_address, path) if isinstance(path, str) else partial(open_file, path, threads)
        self._capture = self._open()
        if not self._capture.isOpened():
            raise FerError(
                f"{self._shown} is neither a video nor a picture that OpenCV can read: "
                "expected for example .mp4, .mkv, .avi, .jpg or .png"
            )
        declared = self._capture.get(cv2.CAP_PROP_FPS)
        self.fps = nominal_fps(declared) or _measured_fps(self._open())
        self._count = self._capture.get(cv2.CAP_PROP_FRAME_COUNT)  # by the declared rate; below 0 when unknown
        self._seconds = self._count / declared if declared > 0 else 0.0
        code = int(self._capture.get(cv2.CAP_PROP_FOURCC))
        self._codec = code.to_bytes(4, "little").decode("ascii", "replace").lower() if code > 0 else "unknown"
        self._begin()

    def frames(self, should_decode: ShouldDecode = always, on_idle: OnIdle = always) -> Iterator[Frame]:  # noqa: ARG002 - never waits
        """The frames in order for which `should_decode`. Raises FerError when OpenCV gives none."""
        if not self._capture.isOpened():  # asked for a second time
            self._capture = self._open()
        self._begin()
        given, shown = 0, 0.0  # frames, and media time of the last one
        first: NDArray[np.uint8] | None = None  # until the second one
        started = time.monotonic()
        try:
            for index, at in self._timed():
                early = at - (time.monotonic() - started)
                late = self.live and early < -self._clock.step and at - shown < MIN_SHOWN_S
                if late or not should_decode(at):
                    continue
                image = self._decode()
                if image is None:
                    self._broken += 1
                    continue
                if self._path and first is not None and np.array_equal(image, first):
                    refuse_unconverted(self._path)  # which opens it again, hence not for each
                first = image if given == 0 else None
                if self.live:
                    time.sleep(max(0.0, early))
                yield Frame(image, index, at, media_time=at)
                given, shown = given + 1, at
        finally:
            self._capture.release()
        self._conclude(given)

    def _begin(self) -> None:
        self._clock = MediaClock(self.fps, jumps=Path(self._shown).suffix.lower() in JUMPING)
        self._index = 0  # of the next frame
        self._broken = 0  # frames that could not be decoded

    def _timed(self) -> Iterator[tuple[int, float]]:
        """Index and media time of each frame, which can be decoded then."""
        while (broken := self._grab()) is not None:
            self._broken += broken
            self._index += broken
            yield self._index, self._clock.time(self._capture.get(cv2.CAP_PROP_POS_MSEC))
            self._index += 1

    def _conclude(self, given: int) -> None:
        """Note what was left out. Raises FerError where that is everything."""
        if given == 0 and (self._index == 0 or self._broken):
            if PurePath(self._shown).suffix.lower() in IMAGE_SUFFIXES:  # a picture by its name, nothing by its bytes
                raise FerError(f"{self._shown} cannot be decoded as a picture: is it complete?")
            raise FerError(
                f"{self._shown} holds no frame that OpenCV can decode (codec {self._codec}): is it complete? "
                "If it plays elsewhere, convert it, as with `ffmpeg -i IN -c:v libx264 OUT.mp4`"
            )
        if self._broken:
            self.notes.append(f"{self._broken} frames cannot be decoded and were left out")
        seconds = self._clock.last + self._clock.step
        if self._index < COMPLETE * self._count and seconds < COMPLETE * self._seconds and not self._clock.jumps:
            self.notes.append(
                f"{self._shown} declares {self._seconds:.1f} seconds and its frames end after {seconds:.1f}: "
                "is it complete?"
            )

    def _grab(self) -> int | None:
        """Take the next frame: how many before it are broken; None at the end."""
        with self._profile.stage("capture"):
            return next((broken for broken in range(MAX_BROKEN) if self._capture.grab()), None)

    def _decode(self) -> NDArray[np.uint8] | None:
        with self._profile.stage("decode"):
            return decode(self._capture)


def _measured_fps(capture: Capture) -> float:
    """Frames per second of the first frames, by their timestamps; 0 where those tell nothing likely."""
    stamps = [capture.get(cv2.CAP_PROP_POS_MSEC) for _ in range(MEASURED_FRAMES) if capture.grab()]
    capture.release()
    steps = np.diff(stamps)
    usual = np.median(steps) if len(steps) else 0.0
    if usual <= 0:
        return 0.0
    # The mean of what is like the median: timestamps in whole milliseconds are 33, 33 and 34 apart.
    return nominal_fps(1e3 / float(steps[np.abs(steps - usual) < usual / 2].mean()))
