"""Kaggle's fer2013.csv: a row a face, its class as a number and its pixels as text."""

import csv
from collections.abc import Callable, Iterator
from math import isqrt
from pathlib import Path, PurePosixPath

from fer_runtime.errors import FerError

CLASSES = ("angry", "disgust", "fear", "happy", "sad", "surprise", "neutral")  # emotion 0 to 6
FOLDERS = {"Training": "train", "PublicTest": "test", "PrivateTest": "test"}  # of Usage, as FER2013's zip has them
LEVELS = {str(level): level for level in range(256)}
LONGEST_FIELD = 2**24  # characters of pixels in a row: about 2000 x 2000; the csv module's own limit is 181 x 181

Image = tuple[PurePosixPath, Callable[[], bytes]]


def images(path: Path) -> list[Image]:
    """Every row as an image file would stand in a folder: `train/happy/Training_2.pgm` and what reads its bytes.

    Columns: emotion (0 to 6), pixels (side x side numbers from 0 to 255, any side) and Usage (Training, PublicTest or
    PrivateTest); without Usage, as in the challenge's train.csv, all rows are training faces. The number in a name is
    the row's, the header being row 1. Holds one byte a pixel.
    Raises FerError for a file that is not such a table, naming the row.
    """
    csv.field_size_limit(LONGEST_FIELD)
    found: list[Image] = []
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            for number, row in enumerate(_rows(path, file), start=2):
                found.append(_image(row, number))
    except UnicodeDecodeError as error:
        raise FerError(f"{path} is not UTF-8 text: expected a csv such as Kaggle's fer2013.csv") from error
    except (csv.Error, ValueError) as error:
        raise FerError(f"row {len(found) + 2} of {path}: {error}") from error
    if not found:
        raise FerError(f"{path} has no rows below its header: expected one a face, as in Kaggle's fer2013.csv")
    return found


def _rows(path: Path, lines: Iterator[str]) -> Iterator[dict[str, str]]:
    """Rows by column name. Some copies of the file (icml_face_data.csv) have blanks around the names."""
    reader = csv.reader(lines)
    columns = [name.strip() for name in next(reader, [])]
    for needed in ("emotion", "pixels"):
        if needed not in columns:
            raise FerError(
                f"{path} has no column {needed!r}: expected emotion, pixels and Usage, as in Kaggle's fer2013.csv; "
                f"found {', '.join(columns[:5]) or 'an empty file'}"
            )
    for row in reader:
        if len(row) != len(columns):
            raise ValueError(f"expected {len(columns)} columns ({', '.join(columns)}), found {len(row)}")
        yield dict(zip(columns, row, strict=True))


def _image(row: dict[str, str], number: int) -> Image:
    """One row as a path and a reader of PGM bytes. Raises ValueError with what was expected and found."""
    emotion, usage = row["emotion"].strip(), row.get("Usage", "Training").strip()
    if emotion not in map(str, range(len(CLASSES))):
        raise ValueError(f"expected an emotion from 0 to {len(CLASSES) - 1}, found {emotion!r}")
    if usage not in FOLDERS:
        raise ValueError(f"expected a Usage of {', '.join(FOLDERS)}, found {usage!r}")
    pixels = _pixels(row["pixels"].split())
    side = isqrt(len(pixels))
    if not side or side * side != len(pixels):
        raise ValueError(f"expected the pixels of a square face, such as 48 x 48 = 2304 numbers, found {len(pixels)}")
    return PurePosixPath(FOLDERS[usage], CLASSES[int(emotion)], f"{usage}_{number}.pgm"), lambda: _pgm(side, pixels)


def _pixels(words: list[str]) -> bytes:
    try:
        return bytes(map(LEVELS.__getitem__, words))  # twice as fast as int(), and refuses what int() bends
    except KeyError as error:
        raise ValueError(f"expected pixels from 0 to 255, found {error.args[0][:20]!r}") from None


def _pgm(side: int, pixels: bytes) -> bytes:
    return b"P5 %d %d 255\n" % (side, side) + pixels
