"""Kaggle's fer2013.csv: a row a face, its class as a number and its pixels as text."""

import codecs
import csv
import io
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from math import isqrt
from typing import IO

from fer_runtime.data.folder_names import KNOWN_SPLITS, PARTS, Split, split_of
from fer_runtime.errors import FerError

CLASSES = ("angry", "disgust", "fear", "happy", "sad", "surprise", "neutral")  # emotion 0 to 6
NEEDED = ("emotion", "pixels")
USAGE = ("usage", "split", "set", "subset", "partition")  # names of the column that says train or test
# FER2013's zip has both halves of its test set in one folder; the file's name tells them apart.
FOLDERS: dict[str, tuple[Split, str]] = {
    "training": ("train", "Training"),
    "publictest": ("test", "PublicTest"),
    "privatetest": ("test", "PrivateTest"),
}
LEVELS = {str(level): level for level in range(256)}
MAX_FIELD = 2**24  # characters of pixels in a row: about 2000 x 2000; the csv module's own limit is 181 x 181


@dataclass(frozen=True)
class Row:
    """One face, as an image file would stand in a folder: `train/happy/Training_2.pgm`."""

    folder: Split
    """The split that FER2013's zip has it in: PublicTest is in test there."""
    label: str
    """Its class."""
    file: str
    """A file's name: the usage and the row's line in the table, the header being line 1."""
    read: Callable[[], bytes]
    """Gives the bytes of a PGM file."""


def columns_of(stream: IO[bytes]) -> set[str]:
    """The table's columns in lower case: "emotion" and "pixels" are there; empty where it is no such table."""
    try:
        header = _text(io.BytesIO(stream.readline(2**16))).readline()
        columns = set(_columns(header))
    except (UnicodeDecodeError, csv.Error):
        return set()
    return columns if columns >= set(NEEDED) else set()


def rows(name: object, stream: IO[bytes]) -> list[Row]:
    """Every row of the table. name: of the file, for errors.

    Columns, in any order and case: emotion (0 to 6), pixels (side x side numbers from 0 to 255, any side) and usage
    (Training, PublicTest or PrivateTest, or any name of a split); without it, as in the challenge's train.csv, all rows
    are training faces. Blank lines are skipped. Holds one byte a pixel.
    Raises FerError for a file that is not such a table, naming the line.
    """
    csv.field_size_limit(MAX_FIELD)
    found: list[Row] = []
    line = 1
    try:
        for line, row in _cells(name, _text(stream)):
            found.append(_row(row, line))
    except UnicodeDecodeError as error:
        raise FerError(f"{name} is not UTF-8 text: expected a csv such as Kaggle's fer2013.csv") from error
    except csv.Error as error:
        raise FerError(f"row {line + 1} of {name}: {error}") from error
    except ValueError as error:
        raise FerError(f"row {line} of {name}: {error}") from error
    if not found:
        raise FerError(f"{name} has no rows below its header: expected one a face, as in Kaggle's fer2013.csv")
    return found


def _text(stream: IO[bytes]) -> io.TextIOWrapper:
    """As text with any line ends: UTF-8, or UTF-16 where its mark stands first."""
    utf16 = stream.read(2) in (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)
    stream.seek(0)
    return io.TextIOWrapper(stream, "utf-16" if utf16 else "utf-8-sig")


def _delimiter(header: str) -> str:
    """Comma, or what spreadsheets of other countries write instead."""
    return max(",;\t", key=header.count)


def _columns(header: str) -> list[str]:
    """Their names in lower case. Some copies of the file (icml_face_data.csv) have blanks around them."""
    names: list[str] = next(csv.reader([header], delimiter=_delimiter(header)), [])
    return [name.strip().lower() for name in names]


def _cells(name: object, text: io.TextIOWrapper) -> Iterator[tuple[int, dict[str, str]]]:
    """Each row with its line's number, by column: emotion, pixels and, where there is one, usage."""
    header = text.readline()
    columns = _columns(header)
    for needed in NEEDED:
        if needed not in columns:
            found = ", ".join(column[:20] for column in columns[:5] if column)
            raise FerError(
                f"{name} has no column {needed!r}: expected emotion, pixels and Usage, as in Kaggle's fer2013.csv; "
                f"found {found or 'an empty file'}"
            )
    if twice := next((column for column in columns if column and columns.count(column) > 1), None):
        raise FerError(f"{name} has two columns {twice!r}: expected one")
    usage = next((column for column in USAGE if column in columns), None)
    if usage is None and (parts := next((column for column in columns if column in PARTS), None)):
        raise FerError(f"{name} has a column {parts!r}: put train, valid or test for its numbers, and name it Usage")
    reader = csv.reader(text, delimiter=_delimiter(header))
    for row in reader:
        line = reader.line_num + 1  # with the header's
        if not any(cell.strip() for cell in row):
            continue
        while len(row) > len(columns) and not row[-1].strip():
            row.pop()
        if len(row) != len(columns):
            expected = f"{len(columns)} columns ({', '.join(columns)})"
            raise FerError(f"row {line} of {name}: expected {expected}, found {len(row)}")
        cells = dict(zip(columns, row, strict=True))
        usage = usage or _told_by_value(cells)
        yield line, {column: cells[column] for column in NEEDED} | ({"usage": cells[usage]} if usage else {})


def _told_by_value(cells: dict[str, str]) -> str | None:
    """A column of another name that holds a split's name."""
    return next((column for column, cell in cells.items() if column not in NEEDED and split_of(cell)), None)


def _row(cells: dict[str, str], line: int) -> Row:
    """One row. Raises ValueError with what was expected and found."""
    emotion, usage = cells["emotion"].strip(), cells.get("usage", "Training").strip()
    if emotion not in map(str, range(len(CLASSES))):
        raise ValueError(f"expected an emotion from 0 to {len(CLASSES) - 1}, found {emotion[:20]!r}")
    known = split_of(usage)
    if known is None:
        raise ValueError(f"expected a Usage of Training, PublicTest or PrivateTest ({KNOWN_SPLITS}), found {usage!r}")
    folder, prefix = FOLDERS.get("".join(usage.lower().split()), (known, usage))
    pixels = _pixels(cells["pixels"].split())
    side = isqrt(len(pixels))
    if not side or side * side != len(pixels):
        raise ValueError(f"expected the pixels of a square face, such as 48 x 48 = 2304 numbers, found {len(pixels)}")
    return Row(folder, CLASSES[int(emotion)], f"{prefix}_{line}.pgm", lambda: _pgm(side, pixels))


def _pixels(words: list[str]) -> bytes:
    try:
        return bytes(map(LEVELS.__getitem__, words))  # twice as fast as int(), and refuses what int() bends
    except KeyError as error:
        raise ValueError(f"expected pixels from 0 to 255, found {error.args[0][:20]!r}") from None


def _pgm(side: int, pixels: bytes) -> bytes:
    return b"P5 %d %d 255\n" % (side, side) + pixels
