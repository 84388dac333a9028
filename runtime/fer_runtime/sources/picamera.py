"""A Raspberry Pi's camera, through picamera2, in the form of OpenCV's captures."""

import contextlib
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from fer_runtime.errors import FerError

DEFAULT_SIZE, DEFAULT_FPS = (640, 480), 30.0
BUFFERS = 4  # frames that the camera fills in turn; each takes of the little memory that is set aside for it
# libcamera's names. A ribbon camera gives RGB888, as is asked; a USB camera, which libcamera finds too, what it has.
TO_BGR = {
    "RGB888": None, "NV12": cv2.COLOR_YUV2BGR_NV12, "YUYV": cv2.COLOR_YUV2BGR_YUYV, "MJPEG": cv2.COLOR_RGB2BGR,
}  # fmt: skip
FRAME_TIMEOUT_S = 5.0  # picamera2 itself waits for ever when the camera has stopped

MISSING = (
    "--source picamera needs picamera2: on Raspberry Pi OS `sudo apt install python3-picamera2`, and make the virtual "
    "environment with --system-site-packages, as pip's own build of it does not fit the system's libcamera"
)


class PiCamera:
    """As much of cv2.VideoCapture as a live source needs."""

    def __init__(self, size: tuple[int, int] | None = None, fps: float | None = None) -> None:
        """size: width, height. Raises FerError without picamera2, and for pixels that are not known here.

        A camera that is not there is just not open.
        """
        try:
            from picamera2 import Picamera2
        except ImportError as error:
            raise FerError(f"{MISSING} ({error})") from error
        self._camera: Any = None
        self._image: NDArray[np.uint8] | None = None
        self._format = "RGB888"
        self._size, self._fps = size or DEFAULT_SIZE, fps or DEFAULT_FPS
        with contextlib.suppress(RuntimeError, IndexError):  # no camera, or another program has it
            camera = Picamera2()
            # libcamera names colours by their place in a 24-bit number: in memory RGB888 is blue, green, red.
            configuration = camera.create_video_configuration(
                main={"size": self._size, "format": "RGB888"}, controls={"FrameRate": self._fps}, buffer_count=BUFFERS
            )
            camera.configure(configuration)
            camera.start()
            self._camera = camera
            self._size = configuration["main"]["size"]  # the nearest one that the hardware can give
            self._format = configuration["main"]["format"]
        if self._format not in TO_BGR:
            self.release()
            raise FerError(
                f"picamera2's camera gives {self._format}: expected one of {', '.join(TO_BGR)}; a USB camera is read "
                "by its number, such as --source 0"
            )

    def isOpened(self) -> bool:  # noqa: N802 - OpenCV's names
        """Whether there is a camera."""
        return self._camera is not None

    def grab(self) -> bool:
        """Wait for the next frame; False when none comes."""
        try:
            self._image = self._camera.wait(self._camera.capture_array("main", wait=False), timeout=FRAME_TIMEOUT_S)
        except (TimeoutError, RuntimeError):
            return False
        return self._image is not None

    def retrieve(self) -> tuple[bool, NDArray[np.uint8] | None]:
        """The frame that was grabbed, uint8 BGR [h, w, 3]."""
        if self._image is None:
            return False, None
        conversion = TO_BGR[self._format]
        image = self._image if conversion is None else np.asarray(cv2.cvtColor(self._image, conversion), np.uint8)
        return True, image[:, : self._size[0]]  # the rows of other formats may be padded

    def get(self, what: int) -> float:
        """Width, height or frames per second, by OpenCV's number for it."""
        facts = {cv2.CAP_PROP_FRAME_WIDTH: self._size[0], cv2.CAP_PROP_FRAME_HEIGHT: self._size[1]}
        return float(facts.get(what, self._fps if what == cv2.CAP_PROP_FPS else 0))

    def release(self) -> None:
        """Stop the camera."""
        if self._camera is not None:
            self._camera.stop()
            self._camera.close()
            self._camera = None
