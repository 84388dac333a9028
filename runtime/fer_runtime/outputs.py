"""Where results go: JSON lines, a recorded video or picture, a window."""

import contextlib
import errno
import os
import sys
from pathlib import Path
from typing import Protocol

import cv2
import numpy as np
from numpy.typing import NDArray

from fer_runtime.errors import FerError
from fer_runtime.files import written_whole
from fer_runtime.overlay import draw
from fer_runtime.results import Result

# Motion JPEG in Matroska survives a killed process; mp4v plays in more places. The suffix decides.
CODECS = {".mkv": "MJPG", ".avi": "MJPG", ".mp4": "mp4v"}


PICTURES = (".png", ".jpg", ".jpeg")


class Output(Protocol):
    """One consumer of results."""

    def write(self, image: NDArray[np.uint8], result: Result) -> bool:
        """Take one frame (uint8 BGR [h, w, 3], not to be changed) and its result; False asks the loop to end."""

    def close(self) -> None:
        """Finish what was begun."""


class JsonLines:
    """One JSON object a frame; whatever happens, what was written ends with a whole line."""

    def __init__(self, target: str) -> None:
        """target: a file's path, or - for standard output. Raises FerError."""
        try:
            # Unbuffered: a line is out when it is written, and nothing is left to be flushed at a bad moment.
            file = sys.stdout.fileno() if target == "-" else target
            self._file = open(file, "wb", 0, closefd=target != "-")  # noqa: SIM115 - close() does
        except OSError as error:
            raise FerError(f"cannot write {target}: {error.strerror}; choose another place for --jsonl") from error
        self._whole = 0  # bytes

    def write(self, image: NDArray[np.uint8], result: Result) -> bool:  # noqa: ARG002 - the protocol's signature
        """Write one line; False when the reader of a pipe went away. Raises FerError when the disk is full."""
        line = (result.to_json() + "\n").encode()
        try:
            if self._file.write(line) < len(line):
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        except BrokenPipeError:
            return False
        except OSError as error:
            with contextlib.suppress(OSError):  # not a regular file: there is nothing to take back
                self._file.truncate(self._whole)
            raise FerError(f"--jsonl stopped at frame {result.frame}: {error.strerror}") from error
        self._whole += len(line)
        return True

    def close(self) -> None:
        """Close the file; standard output stays open."""
        self._file.close()


def open_recording(path: Path, fps: float) -> "Output":
    """A Recorder or, for the suffix of a picture, a Snapshot. Raises FerError for a place or suffix that won't do."""
    if not path.parent.is_dir():
        raise FerError(f"--record {path}: the folder {path.parent} does not exist; make it first")
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
    """Annotated video; opened with the first frame's size, later frames of another size are fitted into it."""

    def __init__(self, path: Path, fps: float) -> None:
        """fps: of the recording."""
        self._path, self._fps = path, fps
        self._writer: cv2.VideoWriter | None = None
        self._size = (0, 0)

    def write(self, image: NDArray[np.uint8], result: Result) -> bool:
        """Draw the result and append the frame. Raises FerError when the file cannot be opened."""
        picture = draw(image, result)
        if self._writer is None:
            self._size = (picture.shape[1], picture.shape[0])
            codec = cv2.VideoWriter.fourcc(*CODECS[self._path.suffix.lower()])
            self._writer = cv2.VideoWriter(str(self._path), codec, self._fps, self._size)
            if not self._writer.isOpened():
                raise FerError(f"cannot write the video {self._path}: choose another place or suffix for --record")
        self._writer.write(_fitted(picture, self._size))
        return True

    def close(self) -> None:
        """Write the file's index."""
        if self._writer is not None:
            self._writer.release()


def _fitted(picture: NDArray[np.uint8], size: tuple[int, int]) -> NDArray[np.uint8]:
    """The picture scaled into `size` (width, height), its shape kept, bars of black beside it (letterbox)."""
    height, width = picture.shape[:2]
    if (width, height) == size:
        return picture
    scale = min(size[0] / width, size[1] / height)
    inner = cv2.resize(picture, (max(1, round(width * scale)), max(1, round(height * scale))))
    canvas = np.zeros((size[1], size[0], 3), np.uint8)
    top, left = (size[1] - inner.shape[0]) // 2, (size[0] - inner.shape[1]) // 2
    canvas[top : top + inner.shape[0], left : left + inner.shape[1]] = inner
    return canvas


class Window:
    """A window on the desktop; q, Esc or closing it ends the loop."""

    TITLE = "fer-run (q ends)"

    def __init__(self) -> None:
        """Raises FerError for an OpenCV without windows."""
        try:
            cv2.namedWindow(self.TITLE, cv2.WINDOW_NORMAL | cv2.WINDOW_KEEPRATIO)
        except cv2.error as error:
            raise FerError("this OpenCV is a headless build without windows: add --headless") from error
        self._sized = False

    def write(self, image: NDArray[np.uint8], result: Result) -> bool:
        """Show the frame with its result; False when the user wants to end."""
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


def display_exists() -> bool:
    """Whether a window can be opened here; Qt ends the whole process where there is none."""
    return sys.platform in ("win32", "darwin") or bool(os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY"))
