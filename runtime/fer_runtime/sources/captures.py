"""Captures of OpenCV: of cameras, files and addresses, each opened so that its name means what the user meant by it."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Protocol

import cv2
import numpy as np
from numpy.typing import NDArray

from fer_runtime.sources.base import nominal_fps

TIMEOUT_MS = 10_000  # to open an address, and for each of its frames
MOTION_JPEG = cv2.VideoWriter.fourcc(*"MJPG")
RAW = -1  # OpenCV's format of frames as they are stored
MIN_STRETCH, MAX_STRETCH = 0.01, 4.0  # of pixels that are not square; what is beyond is a fault of the file


class Capture(Protocol):
    """As much of cv2.VideoCapture as is used of it, under its names."""

    # OpenCV's names, and its manual explains them: hence what lint is told below.
    def isOpened(self) -> bool: ...  # noqa: D102, N802
    def grab(self) -> bool: ...  # noqa: D102
    def retrieve(self) -> tuple[bool, Any]: ...  # noqa: D102
    def get(self, what: int, /) -> float: ...  # noqa: D102
    def release(self) -> None: ...  # noqa: D102


def open_camera(name: str, size: tuple[int, int] | None = None, fps: float | None = None) -> Capture:
    """A camera's number, its device or a link to it, or `picamera`, asked for this size and pace."""
    if name == "picamera":
        from fer_runtime.sources.picamera import PiCamera

        return PiCamera(size, fps)
    if name.isdecimal():
        capture = cv2.VideoCapture(int(name))
    else:
        # Links are followed each time: plugged in again, a camera may be another device under the same link.
        capture = cv2.VideoCapture(os.path.realpath(name), _backend(cv2.CAP_V4L2))
    if size or fps:
        ask(capture, size, fps)
    return capture


def open_file(path: Path, threads: int | None = None) -> cv2.VideoCapture:
    """A video file. threads: of its decoder; None: as many as there are cores."""
    # By ffmpeg alone: OpenCV takes names with digits or % for numbered pictures where ffmpeg finds no video.
    backend = _backend(cv2.CAP_FFMPEG)
    with opencv_name(path) as name:
        if threads and backend == cv2.CAP_FFMPEG:
            return cv2.VideoCapture(name, backend, [cv2.CAP_PROP_N_THREADS, threads])
        return cv2.VideoCapture(name, backend)


@contextmanager
def opencv_name(path: Path) -> Iterator[str]:
    """A name for a file that OpenCV and ffmpeg take for it, as long as it is being opened."""
    name = os.path.abspath(path)  # ffmpeg takes what stands before a colon for a protocol
    try:
        name.encode()
    except UnicodeEncodeError:  # bytes that are no text: OpenCV crashes at them
        with path.open("rb") as file:
            yield f"/proc/self/fd/{file.fileno()}"
    else:
        yield name


def open_stream(url: str) -> Capture:
    """An address whose frames come at their own pace."""
    capture = open_address(url)
    if capture.get(cv2.CAP_PROP_FOURCC) == MOTION_JPEG:
        # Their bytes, which `decode` decodes: frames that nobody wants are not decoded at all, and each keeps its own
        # size, where OpenCV would stretch all to the first one's.
        capture.set(cv2.CAP_PROP_FORMAT, RAW)
    return capture


def open_address(url: str) -> cv2.VideoCapture:
    """A file on a server, or a stream."""
    limits = (cv2.CAP_PROP_OPEN_TIMEOUT_MSEC, cv2.CAP_PROP_READ_TIMEOUT_MSEC)
    scheme, _, rest = url.partition("://")
    url = f"{scheme.lower()}://{rest}"  # ffmpeg knows protocols in small letters alone
    return cv2.VideoCapture(url, cv2.CAP_FFMPEG, [v for limit in limits for v in (limit, TIMEOUT_MS)])


def decode(capture: Capture) -> NDArray[np.uint8] | None:
    """The frame that was grabbed, BGR [h, w, 3] with square pixels; None where it cannot be decoded."""
    try:
        fine, image = capture.retrieve()
        if fine and capture.get(cv2.CAP_PROP_FORMAT) == RAW:
            image = cv2.imdecode(image, cv2.IMREAD_COLOR)
    except cv2.error:
        return None
    if not fine or image is None or image.dtype != np.uint8:
        return None
    if image.ndim == 2:  # a grey camera
        image = cv2.cvtColor(image, cv2.COLOR_GRAY2BGR)
    aspect = _pixel_aspect(capture)
    if abs(aspect - 1) > MIN_STRETCH:
        height, width = image.shape[:2]
        size = (round(width * aspect), height) if aspect > 1 else (width, round(height / aspect))
        image = cv2.resize(image, size, interpolation=cv2.INTER_LINEAR)
    return np.asarray(image, np.uint8)


def _pixel_aspect(capture: Capture) -> float:
    """Width by height of a pixel: not 1 in anamorphic video, as of DVDs and camcorders."""
    width, height = capture.get(cv2.CAP_PROP_SAR_NUM), capture.get(cv2.CAP_PROP_SAR_DEN)
    if width <= 0 or height <= 0 or not 1 / MAX_STRETCH <= width / height <= MAX_STRETCH:
        return 1.0
    turned = capture.get(cv2.CAP_PROP_ORIENTATION_META) % 180 == 90  # OpenCV has turned the frame already
    return height / width if turned else width / height


def _backend(wanted: int) -> int:
    """The wanted one where this OpenCV has it: a distribution's own may read videos with GStreamer alone."""
    return wanted if wanted in cv2.videoio_registry.getBackends() else cv2.CAP_ANY


def ask(capture: cv2.VideoCapture, size: tuple[int, int] | None, fps: float | None) -> None:
    """Ask a camera for frames of this size and pace; as motion JPEG where it gives less otherwise.

    Raw frames fill USB 2 at 640x480, so that most webcams give larger ones slowly or not at all.
    """
    for codec in ("", "MJPG"):
        if codec:
            capture.set(cv2.CAP_PROP_FOURCC, cv2.VideoWriter.fourcc(*codec))
        if size:
            capture.set(cv2.CAP_PROP_FRAME_WIDTH, size[0])
            capture.set(cv2.CAP_PROP_FRAME_HEIGHT, size[1])
        if fps:
            capture.set(cv2.CAP_PROP_FPS, fps)
        if not differs(capture, size, fps):
            break


def differs(capture: Capture, size: tuple[int, int] | None, fps: float | None) -> str:
    """What the camera gives, in words, where it is not what was asked for."""
    width, height = (round(capture.get(side)) for side in (cv2.CAP_PROP_FRAME_WIDTH, cv2.CAP_PROP_FRAME_HEIGHT))
    given = nominal_fps(capture.get(cv2.CAP_PROP_FPS))
    words = []
    if size and (width, height) != size:
        words.append(f"{width}x{height}, asked for {size[0]}x{size[1]}")
    if fps and abs(given - fps) > 0.5:
        words.append(f"{given:g} fps, asked for {fps:g}" if given else "no word on its frames per second")
    return " and ".join(words)
