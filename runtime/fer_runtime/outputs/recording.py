"""Annotated recordings: a video, or the last frame as a picture; never over a file that is there already."""

import os
import shutil
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from fer_runtime.errors import FerError
from fer_runtime.files import check_place, reserve, written_whole
from fer_runtime.outputs.base import Output
from fer_runtime.outputs.flush import Flusher
from fer_runtime.outputs.overlay import draw
from fer_runtime.sources.captures import open_file
from fer_runtime.types import Result

# Motion JPEG in Matroska survives a killed process; mp4v plays in more places. The suffix decides.
CODECS = {".mkv": "MJPG", ".avi": "MJPG", ".mp4": "mp4v"}
PICTURES = (".png", ".jpg", ".jpeg")
MIN_SIDE = 64  # pixels; encoders refuse less
# OpenCV's writer does not report a full disk, so space is reserved for its buffer and for the index.
RESERVED_BYTES = 16 * 2**20
INDEX_BYTES_PER_FRAME = 32  # .mkv needs 21, .avi 16, .mp4 5
MAX_GAP_S = 60.0  # without a frame, after which a camera was away: that is left out of a recording, not filled
MAX_STALLED_FRAMES = 30_000  # they cannot all fit into the writer's buffer of 256 KiB, black ones as .mp4 included


def open_recording(path: Path, fps: float) -> Output:
    """A Recorder or, for the suffix of a picture, a Snapshot. Raises FerError for a place or suffix that won't do."""
    if path.is_dir() or not path.parent.is_dir():
        raise FerError(f"--record {path}: expected the name of a file in a folder that exists")
    if path.suffix.lower() not in (*CODECS, *PICTURES):
        raise FerError(f"--record {path}: expected a name that ends in {', '.join([*CODECS, *PICTURES])}")
    if path.suffix.lower() in PICTURES:
        check_place(path)
        return Snapshot(path)
    if os.fsencode(path) != str(path).encode(errors="replace"):  # OpenCV crashes at it
        raise FerError(f"--record {path}: expected a name in UTF-8; choose another")
    check_place(path)
    return Recorder(path, fps)


class Snapshot:
    """The last frame, annotated, as a picture; written at the end."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._last: tuple[NDArray[np.uint8], Result] | None = None

    def write(self, image: NDArray[np.uint8], result: Result) -> bool:
        """Remember the frame."""
        self._last = (image, result)
        return True

    def close(self) -> None:
        """Write the picture. Raises FerError."""
        if self._last is None:
            return
        fine, data = cv2.imencode(self._path.suffix, draw(*self._last))
        if not fine:
            raise FerError(f"cannot encode the picture {self._path}")
        path = reserve(self._path)
        try:
            with written_whole(path) as temp_path:
                temp_path.write_bytes(data.tobytes())
        except BaseException:
            path.unlink(missing_ok=True)
            raise


class Recorder:
    """Annotated video of the first frame's size, made even; frames of other sizes are fitted into it.

    It plays as the source did: each picture stands until the time of the next one, by the source's own clock, however
    many frames that takes. Pictures without a time have one frame each.
    """

    def __init__(self, path: Path, fps: float) -> None:
        """fps: of the recording."""
        self._path, self._fps = path, fps
        self._writer: cv2.VideoWriter | None = None
        self._size = (0, 0)
        self._held: NDArray[np.uint8] | None = None  # the last picture, which is written when the next one is known
        self._start = self._last = 0.0  # time of the first frame and of the last one, seconds on the source's clock
        self._written = 0  # frames
        self._grown = (0, 0)  # the file's bytes when they last changed, and the frames written then
        self._flusher = Flusher()

    def write(self, image: NDArray[np.uint8], result: Result) -> bool:
        """Draw the result and append the frame. Raises FerError when the file cannot be opened or the disk fills."""
        self._check_room()
        picture = draw(image, result)
        if self._writer is None:
            self._writer = self._opened(picture)
            self._start = self._last = result.at or 0.0
        else:
            self._write_held(self._frames_until(result))
            self._flusher.after_write(self._path)
        self._held = _fitted(picture, self._size)
        return True

    def close(self) -> None:
        """Write the file's index. Raises FerError when the file turns out not to hold the frames it was given."""
        if self._writer is None:
            return
        self._write_held(1, checked=False)
        self._writer.release()
        self._writer = None
        self._bytes()
        held = max(0, round(open_file(self._path).get(cv2.CAP_PROP_FRAME_COUNT)))
        if held < 0.99 * self._written:  # the count is 0 or nonsense where the writer was cut off
            raise self._broken("the system took no more of it, and its index is missing; is there a limit on its size?")

    def _frames_until(self, result: Result) -> int:
        """How many frames the held picture stands for, up to this result."""
        if result.at is None:
            return 1
        if result.media_time is None and result.at - self._last > MAX_GAP_S:
            self._start += result.at - self._last - 1 / self._fps
        self._last = result.at
        return round((result.at - self._start) * self._fps) - self._written

    def _write_held(self, count: int, checked: bool = True) -> None:
        for _ in range(count):
            if checked:
                self._check_room()
                self._check_growth()
            if self._writer is not None and self._held is not None:
                self._writer.write(self._held)
                self._written += 1

    def _opened(self, picture: NDArray[np.uint8]) -> cv2.VideoWriter:
        height, width = (max(MIN_SIDE, side + side % 2) for side in picture.shape[:2])
        self._size = (width, height)
        codec = cv2.VideoWriter.fourcc(*CODECS[self._path.suffix.lower()])
        self._path = reserve(self._path)
        # Absolute, as ffmpeg takes what stands before a colon for a protocol, and `file:` for nothing at all.
        writer = cv2.VideoWriter(os.path.abspath(self._path), codec, self._fps, self._size)
        if not writer.isOpened():
            self._path.unlink(missing_ok=True)
            raise FerError(f"cannot write the video {self._path}: is the place writable, and the disk not full?")
        return writer

    def _check_room(self) -> None:
        kept = RESERVED_BYTES + INDEX_BYTES_PER_FRAME * self._written
        try:
            free = shutil.disk_usage(self._path.parent).free
        except OSError as error:
            raise self._broken(f"its folder is gone ({error.strerror})") from error
        if free < kept:
            raise self._broken(
                f"the disk has {free / 2**20:.1f} MiB left, and the last {kept / 2**20:.0f} are kept free to finish it "
                "and for others; free some space, or choose another disk"
            )

    def _check_growth(self) -> None:
        size = self._bytes()
        if size != self._grown[0]:
            self._grown = (size, self._written)
        elif self._written - self._grown[1] > MAX_STALLED_FRAMES:
            raise self._broken("the system takes no more of it; is there a limit on its size, or is the disk damaged?")

    def _bytes(self) -> int:
        """The file's size. Raises FerError where it was removed, as what goes on being written is lost then."""
        try:
            return self._path.stat().st_size
        except FileNotFoundError as error:
            raise self._broken("the file was removed while it was written") from error

    def _broken(self, why: str) -> FerError:
        self._held = None
        return FerError(f"--record {self._path} ends after {self._written} frames: {why}")


def _fitted(picture: NDArray[np.uint8], size: tuple[int, int]) -> NDArray[np.uint8]:
    """The picture in the middle of `size` (width, height), shrunk where it is larger, black beside it (letterbox)."""
    height, width = picture.shape[:2]
    if (width, height) == size:
        return picture
    scale = min(1.0, size[0] / width, size[1] / height)
    if scale < 1:
        inner = (max(1, round(width * scale)), max(1, round(height * scale)))
        picture = cv2.resize(picture, inner, interpolation=cv2.INTER_AREA).astype(np.uint8, copy=False)
        height, width = picture.shape[:2]
    canvas = np.zeros((size[1], size[0], 3), np.uint8)
    top, left = (size[1] - height) // 2, (size[0] - width) // 2
    canvas[top : top + height, left : left + width] = picture
    return canvas
