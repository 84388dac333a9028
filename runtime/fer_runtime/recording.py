"""Annotated recordings: a video, or the last frame as a picture."""

from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from fer_runtime.errors import FerError
from fer_runtime.files import written_whole
from fer_runtime.outputs import Output
from fer_runtime.overlay import draw
from fer_runtime.results import Result

# Motion JPEG in Matroska survives a killed process; mp4v plays in more places. The suffix decides.
CODECS = {".mkv": "MJPG", ".avi": "MJPG", ".mp4": "mp4v"}
PICTURES = (".png", ".jpg", ".jpeg")
SMALLEST = 64  # pixels of a video's side; encoders refuse less


def open_recording(path: Path, fps: float) -> Output:
    """A Recorder or, for the suffix of a picture, a Snapshot. Raises FerError for a place or suffix that won't do."""
    if path.is_dir() or not path.parent.is_dir():
        raise FerError(f"--record {path}: expected the name of a file in a folder that exists")
    if path.suffix.lower() in PICTURES:
        return Snapshot(path)
    if path.suffix.lower() not in CODECS:
        raise FerError(f"--record {path}: expected a name that ends in {', '.join([*CODECS, *PICTURES])}")
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
        with written_whole(self._path) as beside:
            beside.write_bytes(data.tobytes())


class Recorder:
    """Annotated video of the first frame's size, made even; frames of other sizes are fitted into it.

    Frames that were passed over are filled with the one that follows, so that a recording plays at the source's pace.
    """

    def __init__(self, path: Path, fps: float) -> None:
        """fps: of the recording."""
        self._path, self._fps = path, fps
        self._writer: cv2.VideoWriter | None = None
        self._size = (0, 0)
        self._next = 0  # index of the frame that is due

    def write(self, image: NDArray[np.uint8], result: Result) -> bool:
        """Draw the result and append the frame. Raises FerError when the file cannot be opened."""
        picture = draw(image, result)
        if self._writer is None:
            height, width = (max(SMALLEST, side + side % 2) for side in picture.shape[:2])
            self._size = (width, height)
            codec = cv2.VideoWriter.fourcc(*CODECS[self._path.suffix.lower()])
            self._writer = cv2.VideoWriter(str(self._path), codec, self._fps, self._size)
            if not self._writer.isOpened():
                raise FerError(f"cannot write the video {self._path}: is the place writable, and the disk not full?")
            self._next = result.frame
        fitted = _fitted(picture, self._size)
        for _ in range(self._next, result.frame + 1):
            self._writer.write(fitted)
        self._next = result.frame + 1
        return True

    def close(self) -> None:
        """Write the file's index."""
        if self._writer is not None:
            self._writer.release()


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
