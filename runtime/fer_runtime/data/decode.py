"""Pixels from a picture file's bytes: one decoder for training, export, measurements and fer-run."""

import lzma
import zipfile
import zlib
from collections.abc import Callable
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

IMAGE_SUFFIXES = {
    ".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".bmp", ".webp", ".gif", ".tif", ".tiff", ".pgm", ".ppm", ".pbm", ".pnm",
}  # fmt: skip
Decoder = Callable[[bytes], NDArray[np.uint8] | None]
PNG = b"\x89PNG\r\n\x1a\n"
DEPTHS = (8, 10, 12)  # bits of cameras and scanners whose pictures are stored in 16, unscaled
MAX_MISSING_BYTES = 2**24  # of a chunk of a PNG: a file cut short is still shown as far as it goes


def decode(data: bytes) -> NDArray[np.uint8] | None:
    """The picture upright, as viewers show it: uint8 [h, w] if it is grey, else BGR [h, w, 3]; None if it is broken.

    EXIF's orientation is applied; palettes and CMYK become colours, 16 bits become 8; of an animation or several pages
    the first counts. A picture of 16 bits whose values need 8, 10 or 12 is read by those; viewers show it all but
    black. Transparency is dropped, not blended, as Pillow's convert("RGB") does: hidden pixels keep their colour. The
    number of pixels is limited by OPENCV_IO_MAX_IMAGE_PIXELS (fer_runtime/__init__).
    """
    if not data or _claims_too_much(data):
        return None
    # Not IMREAD_UNCHANGED: that leaves photos of phones lying on their side.
    image = _decoded(data, cv2.IMREAD_ANYCOLOR)
    if image is None:
        return None
    if image.max() < 2 ** (max(DEPTHS) - 8):
        deep = _decoded(data, cv2.IMREAD_ANYCOLOR | cv2.IMREAD_ANYDEPTH)
        if deep is not None and deep.dtype == np.uint16:
            bits = next((bits for bits in DEPTHS if deep.max() < 2**bits), 16)
            image = deep >> (bits - 8)
    return image.astype(np.uint8, copy=False)


def _decoded(data: bytes, flags: int) -> NDArray[Any] | None:
    try:
        return cv2.imdecode(np.frombuffer(data, np.uint8), flags)
    except cv2.error:
        return None


def decode_bgr(data: bytes) -> NDArray[np.uint8] | None:
    """As `decode`, a grey picture as uint8 BGR [h, w, 3] too: as a camera gives its frames."""
    image = decode(data)
    if image is not None and image.ndim == 2:
        image = cv2.cvtColor(image, cv2.COLOR_GRAY2BGR).astype(np.uint8, copy=False)
    return image


def read_picture(read: Callable[[], bytes], decoder: Decoder = decode) -> NDArray[np.uint8] | None:
    """What `decoder` makes of a file, or a member of a zip; None where its bytes cannot be read either."""
    try:
        return decoder(read())
    except (OSError, EOFError, NotImplementedError, zipfile.BadZipFile, zlib.error, lzma.LZMAError):
        return None


def _claims_too_much(data: bytes) -> bool:
    """Whether a chunk of a PNG claims far more bytes than there are: OpenCV would take that much memory, up to 4 GB."""
    at = len(PNG)
    while data.startswith(PNG) and at + 8 <= len(data):
        length = int.from_bytes(data[at : at + 4], "big")
        if length > len(data) + MAX_MISSING_BYTES:
            return True
        at += length + 12  # with the chunk's length, name and checksum
    return False
