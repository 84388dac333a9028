"""One face in every odd kind of picture file that people have: turned by EXIF, palettes, 16 bits, CMYK, animations."""

import io

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image


def odd_pictures(face: NDArray[np.uint8]) -> dict[str, bytes]:
    """face: uint8 [h, w] grey. Files by name; those called lossy_* differ by a few levels, all others by none."""
    grey = Image.fromarray(face)
    colour, other = grey.convert("RGB"), Image.fromarray(255 - face).convert("RGB")
    animated = {"save_all": True, "append_images": [other], "duration": 100}
    deep = face.astype(np.uint16) * 257
    files = {
        "palette.png": _saved(grey.convert("P"), "PNG"),
        "palette.gif": _saved(grey, "GIF"),
        "palette.bmp": _saved(grey.convert("P"), "BMP"),
        "animated.gif": _saved(grey, "GIF", **animated | {"append_images": [Image.fromarray(255 - face)]}),
        "animated.png": _saved(colour, "PNG", **animated),
        "animated.webp": _saved(colour, "WEBP", lossless=True, **animated),
        "pages.tiff": _saved(colour, "TIFF", **animated),
        "deep.png": cv2.imencode(".png", deep)[1].tobytes(),
        "deep.tif": cv2.imencode(".tif", deep)[1].tobytes(),
        "deep_colour.png": cv2.imencode(".png", cv2.merge([deep] * 3))[1].tobytes(),
        "alpha.png": _saved(_half_transparent(colour), "PNG"),
        "alpha_grey.png": _saved(_half_transparent(grey), "PNG"),
        "alpha.webp": _saved(_half_transparent(colour), "WEBP", lossless=True, exact=True),
        "lossy_cmyk.jpg": _saved(colour.convert("CMYK"), "JPEG", quality=98),
        "lossy.jfif": _saved(grey, "JPEG", quality=98),
        "lossy_progressive.jpe": _saved(colour, "JPEG", quality=98, progressive=True, subsampling=0),
    }
    for orientation in range(2, 9):
        stored = _stored(grey, orientation)
        files[f"lossy_exif_{orientation}.jpg"] = _saved(stored, "JPEG", quality=98, exif=_exif(orientation))
    for suffix in ("PNG", "WEBP", "TIFF"):
        more = {"lossless": True} if suffix == "WEBP" else {}
        turned = _stored(colour, 6)
        files[f"exif_6.{suffix.lower()}"] = _saved(turned, suffix, exif=_exif(6), **more)
    return files


def _saved(picture: Image.Image, kind: str, **options: object) -> bytes:
    out = io.BytesIO()
    picture.save(out, kind, **options)
    return out.getvalue()


def _exif(orientation: int) -> Image.Exif:
    found = Image.Exif()
    found[0x0112] = orientation
    return found


def _stored(picture: Image.Image, orientation: int) -> Image.Image:
    """As a camera stores it that says `orientation`: the inverse of what a viewer does."""
    inverse = {
        2: Image.Transpose.FLIP_LEFT_RIGHT,
        3: Image.Transpose.ROTATE_180,
        4: Image.Transpose.FLIP_TOP_BOTTOM,
        5: Image.Transpose.TRANSPOSE,
        6: Image.Transpose.ROTATE_90,  # viewers turn it clockwise by 90 degrees
        7: Image.Transpose.TRANSVERSE,
        8: Image.Transpose.ROTATE_270,
    }
    return picture.transpose(inverse[orientation])


def _half_transparent(picture: Image.Image) -> Image.Image:
    """The right half's colour is there, and not to be seen."""
    shown = Image.new("L", picture.size, 255)
    shown.paste(0, (picture.width // 2, 0, picture.width, picture.height))
    copy = picture.copy()
    copy.putalpha(shown)
    return copy
