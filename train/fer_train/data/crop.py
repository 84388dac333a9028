"""Photos -> a zip of the faces on them, cut out just as the camera's pipeline cuts them."""

import csv
import io
import re
import zipfile
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import cv2
import numpy as np
from numpy.typing import NDArray

from fer_runtime.data import index, photos
from fer_runtime.errors import FerError
from fer_runtime.faces.detection import Detector, RetinaFace
from fer_runtime.files import write_text, written_whole
from fer_runtime.model.preprocessing import FER2013, crop, tilt

SIZE = 48  # pixels
UNKNOWN_KIND = "unknown kind of file"
MIN_HEIGHT_PX = SIZE // 2  # of the detected face: enlarging a smaller one shows what was never there
NO_UTF8 = re.compile("[\udc80-\udcff]")  # as which Python has the bytes of names that are no UTF-8
ZIP_TIME = (1980, 1, 1, 0, 0, 0)  # of every file in the zip, so that equal photos give equal bytes


@dataclass(frozen=True)
class LeftOut:
    """A photo that gave no crop."""

    photo: str
    """Its path inside the folder or zip."""
    reason: str
    """"no face", "several faces", "too small", "cannot be decoded" or "unknown kind of file"."""
    faces: int
    """How many were found."""


@dataclass(frozen=True)
class Cropped:
    """What came of the photos."""

    faces: int
    """How many were cut out."""
    left_out: list[LeftOut]
    """All other photos."""


def left_out_file(out: Path) -> Path:
    """The CSV beside the zip `out` that lists the photos left out."""
    return out.with_suffix(".left-out.csv")


def crop_photos(source: Path, out: Path, progress: Callable[[int, int], None]) -> Cropped:
    """Write the zip `out` of faces cut from `source`, a folder or zip, and `left_out_file(out)`.

    A face keeps its photo's folders and name, as a grey PNG of 48x48 pixels. A photo of several faces is left out: its
    label does not say whose it is. progress: called with the photos done and their number.
    Raises FerError for photos that cannot be read, or of which none shows a usable face; then nothing is written.
    """
    detector = RetinaFace()
    with index.images(source) as listing, written_whole(out) as temp_path:
        images = listing.images
        left_out = [LeftOut(str(path), UNKNOWN_KIND, 0) for path, _ in listing.others]
        names = _png_names([path for path, _ in images])
        with zipfile.ZipFile(temp_path, "w") as archive:
            for done, (name, (path, read)) in enumerate(zip(names, images, strict=True)):
                progress(done, len(images))
                face = crop_photo(read, detector)
                if isinstance(face, tuple):
                    left_out.append(LeftOut(str(path), *face))
                else:
                    archive.writestr(zipfile.ZipInfo(name, ZIP_TIME), cv2.imencode(".png", face)[1].tobytes())
        if len(left_out) == len(images) + len(listing.others):
            why = ", ".join(f"{count} {reason}" for reason, count in Counter(each.reason for each in left_out).items())
            raise FerError(f"none of the {len(images)} photos in {source} has one usable face: {why}")
        _write_left_out(left_out, left_out_file(out))
    return Cropped(len(images) + len(listing.others) - len(left_out), left_out)


def crop_photo(read: Callable[[], bytes], detector: Detector) -> NDArray[np.uint8] | tuple[str, int]:
    """The one face on a photo, uint8 [SIZE, SIZE], or the reason why there is none and how many were found."""
    photo, found = photos.find(read, detector)
    if photo is None:
        return "cannot be decoded", 0
    if len(found) != 1:
        return ("several faces" if found else "no face"), len(found)
    face = found[0]
    if face.box[3] < MIN_HEIGHT_PX:
        return "too small", 1
    grey: NDArray[np.uint8] = crop(photo, face.box, FER2013, SIZE, angle=tilt(face.landmarks))[0]
    return grey


def _png_names(paths: list[PurePosixPath]) -> list[str]:
    """The photos' paths with .png as suffix, after the old one where two would be the same; valid UTF-8."""
    shared = Counter(path.with_suffix("") for path in paths)
    names = [str(path.with_suffix(".png")) if shared[path.with_suffix("")] == 1 else f"{path}.png" for path in paths]
    return [NO_UTF8.sub(lambda found: f"%{ord(found[0]) - 0xDC00:02X}", name) for name in names]


def _write_left_out(left_out: list[LeftOut], path: Path) -> None:
    text = io.StringIO()
    rows = csv.writer(text, lineterminator="\n")
    rows.writerow(["photo", "reason", "faces"])
    rows.writerows([each.photo, each.reason, each.faces] for each in left_out)
    write_text(path, text.getvalue())
