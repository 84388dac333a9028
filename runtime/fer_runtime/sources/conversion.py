"""Videos that OpenCV opens and does not convert: what it gives as their frames is whatever lay in that memory."""

from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from fer_runtime.errors import FerError
from fer_runtime.sources.captures import open_file

SAME = 10  # frames from the first one on of which two should differ, else the first one is looked at
MAX_SAME = 1000  # frames, after which a picture that does not change is taken for none of the video's
COPIES = 8  # of noise, by which memory of that size is overwritten
MIN_LUMA = 8  # mean: black is 16, and memory that nobody has filled 0
MAX_DIFFERENCE = 3.0  # mean, of luma computed from BGR and luma as it was decoded, in levels


def refuse_unconverted(path: Path) -> None:
    """Raise FerError for a video of which OpenCV does not give the frames.

    Built with ffmpeg 8 (OpenCV 4.13 to 5.0 at least), it does not convert frames that are flagged as interlaced, says
    that it did, and hands out the memory meant for them: black, or pieces of other videos. That never changes from one
    frame to the next, and has nothing to do with the luma as it was decoded. Frames that become interlaced later on
    are not found: they repeat the last one that was not.
    """
    capture = open_file(path, 1)
    first = _next(capture)
    if first is None or _changes(capture, first, SAME) or _fits(first, _luma(path, first.size // 3)):
        return
    if _changes(capture, first, MAX_SAME):  # the luma may be of a kind that OpenCV does not give
        return
    raise FerError(
        f"OpenCV {cv2.__version__} cannot convert {path}, as it is interlaced: deinterlace it first, as with "
        "`ffmpeg -i IN -vf yadif -c:v libx264 OUT.mp4`"
    )


def _changes(capture: cv2.VideoCapture, first: NDArray[np.uint8], count: int) -> bool:
    """Whether one of the next frames is another picture; or there is none at all, by which that could be told."""
    for number in range(count):
        image = _next(capture)
        if image is None:
            return number == 0
        if not np.array_equal(image, first):
            return True
    return False


def _next(capture: cv2.VideoCapture) -> NDArray[np.uint8] | None:
    try:
        fine, image = capture.read()
    except cv2.error:
        return None
    return np.asarray(image) if fine else None


def _luma(path: Path, pixels: int) -> NDArray[np.uint8] | None:
    """The first frame's as it was decoded, uint8 [h, w]; None where OpenCV does not give it."""
    # Memory that is handed out unfilled is to hold noise, and not an earlier video's luma, which might fit.
    noise = np.random.default_rng(0).integers(0, 256, pixels, np.uint8)
    copies = [noise.copy() for _ in range(COPIES)]
    del noise, copies
    capture = open_file(path, 1)
    return _next(capture) if capture.set(cv2.CAP_PROP_CONVERT_RGB, 0) else None


def _fits(image: NDArray[np.uint8], luma: NDArray[np.uint8] | None) -> bool:
    """Whether a frame, BGR [h, w, 3], is what its luma makes of it: in the range 16 to 235, or 0 to 255."""
    if luma is None or luma.shape != image.shape[:2] or luma.mean() < MIN_LUMA:
        return False
    grey = cv2.cvtColor(image, cv2.COLOR_BGR2GRAY).astype(np.float32)
    return any(float(np.abs(each - luma).mean()) < MAX_DIFFERENCE for each in (grey, 16 + grey * (219 / 255)))
