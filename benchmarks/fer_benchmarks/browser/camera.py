"""A video file that Chromium takes for a camera."""

from collections.abc import Iterable
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray


def write_y4m(path: Path, frames: Iterable[NDArray[np.uint8]], fps: int) -> None:
    """frames: uint8 BGR [h, w, 3], all of one size with even sides -> YUV 4:2:0, uncompressed."""
    with path.open("wb") as file:
        for index, frame in enumerate(frames):
            height, width = frame.shape[:2]
            if not index:
                file.write(f"YUV4MPEG2 W{width} H{height} F{fps}:1 Ip A1:1 C420jpeg\n".encode())
            file.write(b"FRAME\n" + cv2.cvtColor(frame, cv2.COLOR_BGR2YUV_I420).tobytes())
