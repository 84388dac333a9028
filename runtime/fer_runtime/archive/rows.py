"""From the results of one source to its rows in the tables `faces` and `tracks`."""

import json
from array import array
from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from fer_runtime.archive.schema import METADATA_KEY, schemas
from fer_runtime.types import UNCERTAIN, Result

DURATION = "duration_s"  # a column of pieces of a video, for how long each row counts
BEGIN = b"begin_s"  # and its metadata: the media time from which on its rows count
DIGITS = 4  # of probabilities, scores and seconds, as in JSON lines


class FaceRows:
    """Collects one source's results, column by column: about 70 bytes per face."""

    def __init__(self, labels: Sequence[str]) -> None:
        self._names = [*labels, UNCERTAIN]
        self._index = {label: number for number, label in enumerate(self._names)}
        self.times = array("d")
        """Media time of each frame, seconds; NaN for a picture."""
        self._frame, self._track, self._box = array("i"), array("i"), array("i")
        self._row_frame = array("i")  # of each row: which of `times` is its frame's
        self._score, self._probabilities = array("f"), array("f")
        self._label, self._raw = array("B"), array("B")

    def __len__(self) -> int:
        return len(self._track)

    def add(self, result: Result) -> None:
        """Take one frame's faces."""
        for face in result.faces:
            self._frame.append(result.frame)
            self._row_frame.append(len(self.times))
            self._track.append(face.track)
            self._box.extend(face.box)
            self._score.append(face.score)
            self._label.append(self._index[face.label])
            self._raw.append(self._index[face.raw_label])
            self._probabilities.extend(face.probabilities.values())
        self.times.append(np.nan if result.media_time is None else result.media_time)

    def columns(self) -> "Columns":
        """What was collected, as arrays."""
        row_frame = np.array(self._row_frame, np.int64)
        return Columns(
            self._names[:-1],
            times=np.array(self.times, np.float64)[row_frame],
            durations=_durations(np.array(self.times, np.float64))[row_frame],
            frame=np.array(self._frame, np.int32),
            track=np.array(self._track, np.int32),
            box=np.array(self._box, np.int32).reshape(-1, 4),
            score=np.array(self._score, np.float32),
            label=np.array(self._label, np.uint8),
            raw=np.array(self._raw, np.uint8),
            probabilities=np.array(self._probabilities, np.float32).reshape(-1, len(self._names) - 1),
        )


@dataclass
class Columns:
    """The rows of `faces` of one source, by frame and track; n rows, k classes."""

    labels: list[str]
    """The classes."""
    times: NDArray[np.float64]
    """Media time, seconds [n]; NaN for a picture."""
    durations: NDArray[np.float64]
    """For how long the row's frame counts: until the next one, seconds [n]; 0 for a picture."""
    frame: NDArray[np.int32]
    """Index in the source [n]."""
    track: NDArray[np.int32]
    """The face's number [n]."""
    box: NDArray[np.int32]
    """x, y, width, height in pixels [n, 4]."""
    score: NDArray[np.float32]
    """The detector's [n]."""
    label: NDArray[np.uint8]
    """Index of the smoothed label [n]; k stands for "uncertain"."""
    raw: NDArray[np.uint8]
    """Index of the frame's own label [n]."""
    probabilities: NDArray[np.float32]
    """Smoothed [n, k]."""

    def where(self, kept: NDArray[Any]) -> "Columns":
        """Some of the rows, by a mask or their indices."""
        arrays = {name: getattr(self, name)[kept] for name in ARRAYS}
        return Columns(self.labels, **arrays)

    def followed_by(self, other: "Columns") -> "Columns":
        """These rows, then the other ones."""
        arrays = {name: np.concatenate([getattr(self, name), getattr(other, name)]) for name in ARRAYS}
        return Columns(self.labels, **arrays)

    def faces(self, source: str) -> pa.Table:
        """The rows of `faces`."""
        names = pa.array([*self.labels, UNCERTAIN])
        columns = [
            _repeated(source, len(self.track)), _seconds(self.times), self.frame, self.track, *self.box.T,
            _rounded(self.score), names.take(pa.array(self.label)), names.take(pa.array(self.raw)),
            *_rounded(self.probabilities).T,
        ]  # fmt: skip
        return _table(columns, schemas(self.labels)["faces"])

    def tracks(self, source: str) -> pa.Table:
        """The rows of `tracks`: one for each face that was followed."""
        classes = len(self.labels)
        numbers = np.unique(self.track)
        # One row per track, by the number's place; sums and means over its rows.
        place = np.searchsorted(numbers, self.track)
        count = np.bincount(place, minlength=len(numbers))
        first = np.full(len(numbers), np.nan)
        last = np.full(len(numbers), np.nan)
        first[place[::-1]], last[place] = (
            self.times[::-1],
            self.times,
        )  # of several values for a place the last one stays
        seconds = np.zeros((len(numbers), classes + 1))
        np.add.at(seconds, (place, self.label), self.durations)
        means = np.stack(
            [np.bincount(place, self.probabilities[:, k], len(numbers)) / np.maximum(count, 1) for k in range(classes)]
        )
        columns = [
            _repeated(source, len(numbers)), numbers, _seconds(first), _seconds(last), count.astype(np.int32),
            _changes(place, self.label, len(numbers)), *_rounded(seconds.astype(np.float32)).T,
            *_rounded(means.astype(np.float32)),
        ]  # fmt: skip
        return _table(columns, schemas(self.labels)["tracks"])


ARRAYS = tuple(each.name for each in fields(Columns))[1:]


def of_piece(faces: pa.Table, columns: Columns, begin_s: float) -> pa.Table:
    """Rows of `faces` with what is needed to join them. begin_s: media time from which on the piece's rows count."""
    metadata = {**faces.schema.metadata, BEGIN: str(begin_s)}
    return faces.append_column(DURATION, pa.array(columns.durations)).replace_schema_metadata(metadata)


def read_piece(faces: pa.Table) -> tuple[Columns, float]:
    """The arrays and the time out of a table of `of_piece`."""
    metadata = faces.schema.metadata
    labels = json.loads(metadata[METADATA_KEY])["labels"]
    return _columns(faces, labels), float(metadata[BEGIN])


def _columns(faces: pa.Table, labels: list[str]) -> Columns:
    names = [*labels, UNCERTAIN]
    index = {name: number for number, name in enumerate(names)}
    plain = {name: faces[name].to_numpy() for name in faces.column_names}
    return Columns(
        labels,
        times=plain["time_s"],
        durations=plain[DURATION],
        frame=plain["frame"],
        track=plain["track"],
        box=np.stack([plain[name] for name in ("x", "y", "width", "height")], axis=1),
        score=plain["score"],
        label=np.array([index[name] for name in plain["label"]], np.uint8),
        raw=np.array([index[name] for name in plain["raw_label"]], np.uint8),
        probabilities=np.stack([plain[f"p_{label}"] for label in labels], axis=1),
    )


def _durations(times: NDArray[np.float64]) -> NDArray[np.float64]:
    """For how long each frame counts: until the next; the last one as long as the one before it."""
    steps = np.diff(times)
    durations: NDArray[np.float64] = np.nan_to_num(np.append(steps, steps[-1:] if len(steps) else 0.0))
    return durations[: len(times)]


def _changes(place: NDArray[np.int64], label: NDArray[np.uint8], tracks: int) -> NDArray[np.int32]:
    """How often the label of each track changes from one of its rows to the next."""
    order = np.argsort(place, kind="stable")
    same_track = place[order][1:] == place[order][:-1]
    changed = same_track & (label[order][1:] != label[order][:-1])
    return np.bincount(place[order][1:][changed], minlength=tracks).astype(np.int32)


def _rounded(values: NDArray[np.float32]) -> NDArray[np.float32]:
    return np.round(values.astype(np.float64), DIGITS).astype(np.float32)


def _seconds(values: NDArray[np.float64]) -> pa.Array:
    """Seconds, null where there is none."""
    return pa.array(np.round(values, DIGITS), from_pandas=True)


def _repeated(value: str, count: int) -> pa.Array:
    return pa.repeat(pa.scalar(value, pa.string()), count)


def _table(columns: list[Any], schema: pa.Schema) -> pa.Table:
    arrays = [pa.array(column) if isinstance(column, np.ndarray) else column for column in columns]
    return pa.table([array.cast(kind.type) for array, kind in zip(arrays, schema, strict=True)], schema=schema)
