"""What the page shows of a dataset: read part by part, so that its size does not matter."""

import heapq
import os
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from fer_runtime.archive.schema import from_parquet
from fer_runtime.archive.store import Store
from fer_runtime.types import UNCERTAIN

MAX_VIDEOS = 40  # of which the page has time lines: those with the most seconds of faces
MAX_TRACKS = 12  # of each: those that are longest in sight
MAX_MOMENTS = 5  # per label
MAX_SOURCES = 500  # rows of the table, those with an error first
APART_S = 10.0  # between two moments of one source and label
GAP_S = 1.0  # without a row, from which on a track was out of sight


@dataclass(frozen=True)
class Run:
    """A stretch of a track with one label."""

    label: str
    start_s: float
    end_s: float


@dataclass(frozen=True)
class Lane:
    """One track's time line."""

    track: int
    runs: list[Run]


@dataclass(frozen=True)
class Video:
    """One source's time lines."""

    source: str
    duration_s: float
    lanes: list[Lane]
    """By first appearance."""
    tracks: int
    """All of them, with those that are not shown."""


@dataclass(frozen=True, order=True)
class Moment:
    """A face's surest expression."""

    probability: float
    source: str
    time_s: float | None
    track: int


@dataclass
class Overview:
    """Everything on the page."""

    labels: list[str]
    """The model's, and "uncertain" last."""
    seconds: dict[str, float] = field(default_factory=dict)
    """Of faces in videos, by label."""
    pictures: Counter[str] = field(default_factory=Counter)
    """Faces in pictures, by label."""
    videos: list[Video] = field(default_factory=list)
    """By name."""
    moments: dict[str, list[Moment]] = field(default_factory=dict)
    """By label, the surest first."""
    sources: list[dict[str, Any]] = field(default_factory=list)
    """Rows of `sources`, those with an error first."""
    files: int = 0
    failed: int = 0
    video_s: float = 0.0
    videos_with_faces: int = 0
    folder: str = ""
    """In which all sources lie, with a slash at its end; empty where there is none."""

    def shown(self, source: str) -> str:
        """A source's name as the page shows it: from the common folder on."""
        return source.removeprefix(self.folder)


def read(store: Store, labels: tuple[str, ...]) -> Overview:
    """The overview of a whole dataset. Raises FerError where it cannot be read."""
    found = Overview([*labels, UNCERTAIN], seconds=dict.fromkeys([*labels, UNCERTAIN], 0.0))
    shown = _shown_videos(store, found)
    for name in store.names("faces"):
        faces = from_parquet(store.read(name))
        for source, rows in _by_source(faces):
            _add_pictures(found, rows)
            _add_moments(found, source, rows)
            if source in shown:
                found.videos.append(_video(source, *shown[source], rows))
    found.videos.sort(key=lambda video: video.source)
    found.moments = {label: sorted(found.moments.get(label, []), reverse=True) for label in labels}
    return found


def _shown_videos(store: Store, found: Overview) -> dict[str, tuple[float, int]]:
    """Sum sources and tracks up; -> duration and frames of each video that is shown."""
    in_sight: Counter[str] = Counter()
    lengths: dict[str, tuple[float, int]] = {}
    failed: list[dict[str, Any]] = []
    ends: list[str] = []  # the first and last name of each part
    for name in store.names("sources"):
        sources = from_parquet(store.read(name))
        ends += pc.min_max(sources["source"]).as_py().values()
        bad = sources.filter(pc.is_valid(sources["error"]))
        failed += bad.slice(0, MAX_SOURCES - min(MAX_SOURCES, len(failed))).to_pylist()
        good = sources.filter(pc.is_null(sources["error"]))
        found.sources += good.slice(0, MAX_SOURCES - min(MAX_SOURCES, len(found.sources))).to_pylist()
        found.files, found.failed = found.files + len(sources), found.failed + len(bad)
        videos = good.filter(pc.equal(good["kind"], "video"))
        columns = (videos[column].to_pylist() for column in ("source", "duration_s", "frames"))
        lengths |= {source: (seconds, frames) for source, seconds, frames in zip(*columns, strict=True)}
    found.folder = _common_folder(ends)
    found.sources = [*failed, *found.sources][:MAX_SOURCES]
    found.video_s = sum(seconds for seconds, _ in lengths.values())
    for name in store.names("tracks"):
        tracks = from_parquet(store.read(name))
        for label in found.labels:
            found.seconds[label] += pc.sum(tracks[f"seconds_{label}"]).as_py() or 0.0
        seconds = np.sum([tracks[f"seconds_{label}"].to_numpy() for label in found.labels], axis=0)
        for source, value in zip(tracks["source"].to_pylist(), seconds.tolist(), strict=True):
            if source in lengths:
                in_sight[source] += value
    found.videos_with_faces = len(in_sight)
    return {source: lengths[source] for source, _ in in_sight.most_common(MAX_VIDEOS)}


def _common_folder(names: list[str]) -> str:
    """With what all names begin, up to a slash; empty where that is the root alone."""
    prefix = os.path.commonprefix([name for name in names if name])  # noqa: RUF071 - URLs too, cut at a slash
    folder = prefix[: prefix.rfind("/") + 1]
    return "" if folder == "/" else folder


def _by_source(faces: pa.Table) -> Iterator[tuple[str, pa.Table]]:
    """The rows of each source, which stand together."""
    names = faces["source"].to_pylist()
    begin = 0
    for end in range(1, len(names) + 1):
        if end == len(names) or names[end] != names[begin]:
            yield names[begin], faces.slice(begin, end - begin)
            begin = end


def _add_pictures(found: Overview, rows: pa.Table) -> None:
    if rows["time_s"].null_count:
        found.pictures.update(rows["label"].to_pylist())


def _add_moments(found: Overview, source: str, rows: pa.Table) -> None:
    """Take the surest moments of each label that this source adds, some seconds apart."""
    labels = rows["label"].to_numpy()
    times = rows["time_s"].to_numpy()
    for label in found.labels[:-1]:
        own = found.moments.setdefault(label, [])
        probability = np.where(labels == label, rows[f"p_{label}"].to_numpy(), 0)
        for _ in range(MAX_MOMENTS):
            best = int(probability.argmax())
            if probability[best] == 0 or (len(own) == MAX_MOMENTS and probability[best] <= own[0].probability):
                break
            time = None if np.isnan(times[best]) else float(times[best])
            heapq.heappush(own, Moment(float(probability[best]), source, time, rows["track"][best].as_py()))
            if len(own) > MAX_MOMENTS:
                heapq.heappop(own)
            probability[slice(None) if time is None else np.abs(times - time) < APART_S] = 0


def _video(source: str, duration_s: float, frames: int, rows: pa.Table) -> Video:
    """The time lines of a source's longest tracks."""
    track = rows["track"].to_numpy()
    times, labels = rows["time_s"].to_numpy(), rows["label"].to_numpy()
    step = duration_s / frames
    longest = [number for number, _ in Counter(track.tolist()).most_common(MAX_TRACKS)]
    lanes = [Lane(number, _runs(times[track == number], labels[track == number], step)) for number in longest]
    lanes.sort(key=lambda lane: lane.runs[0].start_s)
    return Video(source, duration_s, lanes, len(np.unique(track)))


def _runs(times: NDArray[np.float64], labels: NDArray[Any], step: float) -> list[Run]:
    """Stretches of one label; a track that was out of sight begins a new one."""
    gap = max(GAP_S, 2 * step)
    breaks = np.flatnonzero((labels[1:] != labels[:-1]) | (np.diff(times) > gap)) + 1
    begins, ends = np.append(0, breaks), np.append(breaks, len(times))
    runs = []
    for begin, end in zip(begins.tolist(), ends.tolist(), strict=True):
        goes_on = end < len(times) and times[end] - times[end - 1] <= gap
        runs.append(Run(labels[begin], float(times[begin]), float(times[end] if goes_on else times[end - 1] + step)))
    return runs
