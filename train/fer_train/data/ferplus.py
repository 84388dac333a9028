"""Several people's votes for each image, as FER+ has them (Barsoum et al. 2016, arXiv:1608.01041)."""

import csv
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from fer_runtime.errors import FerError

COLUMNS = {"happy": "happiness", "sad": "sadness", "angry": "anger"}  # FER2013's name -> FER+'s; others are the same
MOST_VOTES = 10_000  # for one class of one image; anything larger is no count of people
LEFT_OUT = {-1: "without votes", -2: "tied", -3: "for none of the model's classes"}


@dataclass(frozen=True)
class Votes:
    """row: name (`folder/class/file`, as in `Faces.names`) -> row of counts; counts: float32 [rows, columns].

    The first `classes` columns are the model's classes in order; the rest are those that the model does not know.
    """

    row: dict[str, int]
    counts: NDArray[np.float32]
    classes: int

    def shares(self, names: Sequence[str]) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
        """Share of all votes that each of the model's classes got, and which images have any votes.

        Returns float32 [n, classes], rows summing to at most 1: the rest voted for other classes; and bool [n].
        """
        counts = self._of(names)
        total = counts.sum(1, keepdims=True)
        return counts[:, : self.classes] / np.maximum(total, 1), total[:, 0] > 0

    def majority(self, names: Sequence[str]) -> NDArray[np.int64]:
        """int64 [n]: the class with most votes, or a key of LEFT_OUT; votes for unknown classes count as well."""
        counts = self._of(names)
        most = counts.max(1)
        winner: NDArray[np.int64] = counts.argmax(1)
        winner[winner >= self.classes] = -3
        winner[(counts == most[:, None]).sum(1) > 1] = -2
        winner[most == 0] = -1
        return winner

    def _of(self, names: Sequence[str]) -> NDArray[np.float32]:
        """Counts of each image, float32 [n, columns]; 0 for one that is not listed."""
        nobody = np.zeros((1, self.counts.shape[1]), np.float32)
        rows = np.array([self.row.get(name, -1) for name in names], np.int64)
        return np.concatenate([self.counts, nobody])[rows]


def read(path: Path, classes: tuple[str, ...]) -> Votes:
    """The votes in a CSV with a column `path` (in the zip) and a column of counts for each class.

    Raises FerError, naming the line, for anything else, and for a file without a column for any of `classes`.
    """
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            return _parsed(path, file, classes)
    except OSError as error:
        raise FerError(f"cannot read {path}: {error.strerror}; expected a CSV of votes") from error
    except (UnicodeDecodeError, csv.Error) as error:
        raise FerError(f"{path} is not a CSV in UTF-8 ({error}): expected a CSV of votes") from error


def _parsed(path: Path, file: Iterable[str], classes: tuple[str, ...]) -> Votes:
    rows = csv.reader(file, strict=True)
    header: list[str] = next(rows, [])
    if header[:1] != ["path"] or len(set(header)) != len(header):
        raise FerError(f"{path}, line 1: expected `path` and a column for each class, found {','.join(header)[:80]!r}")
    own = [COLUMNS.get(label, label) for label in classes]
    if not set(own) & set(header[1:]):
        raise FerError(f"{path}, line 1: expected columns for the model's classes ({', '.join(own)}), found none")
    order = own + [column for column in header[1:] if column not in own]
    row_of: dict[str, int] = {}
    counts: list[list[int]] = []
    for cells in rows:
        at = f"{path}, line {rows.line_num}"
        if len(cells) != len(header):
            raise FerError(f"{at}: expected {len(header)} values as in the first line, found {len(cells)}")
        name, *values = cells
        if name in row_of:
            raise FerError(f"{at}: {name!r} stands there twice: expected one line for each image")
        wrong = [v for v in values if not (v.isascii() and v.isdigit() and len(v) < 6 and int(v) <= MOST_VOTES)]
        if wrong:
            raise FerError(f"{at}: expected whole numbers of votes, 0 to {MOST_VOTES}, found {wrong[0][:40]!r}")
        votes = dict(zip(header[1:], map(int, values), strict=True))
        row_of[name] = len(counts)
        counts.append([votes.get(column, 0) for column in order])
    if not counts:
        raise FerError(f"{path} holds no votes: expected a line for each image under the first line")
    return Votes(row_of, np.array(counts, np.float32), len(classes))


def left_out(majority: NDArray[np.int64]) -> dict[str, int]:
    """How many of the images that `Votes.majority` was asked for have no class, by reason."""
    found = Counter(majority.tolist())
    return {reason: found[code] for code, reason in LEFT_OUT.items()}
