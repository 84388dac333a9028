"""Which faces of a video the loop finds, held against boxes drawn by eye: no detector had a part in them.

faces_by_eye.csv has every face of every tenth frame of three videos of which one eye at least, nose and mouth are seen
and which is 40 pixels high, from hairline to chin. In one_person.mp4 one box stands for some frames, in which the head
hardly moves. A second reader, who did not know the first one's boxes, drew some of these frames again
(faces_by_eye_again.csv): the two tell how far such boxes can be trusted.
"""

import csv
import json
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import click
import numpy as np

from fer_benchmarks.pipeline.throughput import VideoRun, full_speed
from fer_runtime.cli.entry import run
from fer_runtime.errors import FerError
from fer_runtime.faces.searching import DEFAULT_INTERVAL_S
from fer_runtime.faces.similarity import overlap
from fer_runtime.types import Box

DRAWN = Path(__file__).with_suffix(".csv")
DRAWN_AGAIN = DRAWN.with_stem("faces_by_eye_again")
EVERY = 10  # frames, of which one was looked at
MIN_IOU = 0.3  # of a face that is found: its box ends at the brows or at the hairline, as the detector likes
SYSTEMS = {"followed": DEFAULT_INTERVAL_S, "every frame searched": 0.0}  # seconds between two searches
KINDS = {"0": "towards the camera", "1": "from the side"}


@dataclass(frozen=True)
class Seen:
    """What a run reports in the frames that were looked at."""

    found: dict[str, int]
    """Faces by eye that it has too, by how they are turned."""
    faces: dict[str, int]
    """All of them."""
    further: int
    """Boxes on no face."""


@dataclass(frozen=True)
class Readers:
    """Two readers' boxes of the same frames."""

    frames: int
    """In which the second reader has faces."""
    both: int
    """Faces that both have."""
    one: int
    """Faces that only one has."""
    overlap: float
    """Intersection over union of the faces that both have, median."""
    overlap_p5: float
    """Its 5th percentile."""


def drawn(video: str) -> dict[int, list[tuple[Box, str]]]:
    """Boxes (x, y, width, height) and kinds of faces by frame. Raises FerError for a video that was not looked at."""
    faces = _read(DRAWN, video)
    if not faces:
        raise FerError(f"nobody has drawn the faces of {video}: {DRAWN.name} has one_person, people and no_faces.mp4")
    return faces


def _read(drawing: Path, video: str) -> dict[int, list[tuple[Box, str]]]:
    faces = defaultdict(list)
    with drawing.open(newline="") as file:
        for row in csv.DictReader(file):
            if row["video"] == video:
                x, y, width, height = (float(row[key]) for key in ("x", "y", "width", "height"))
                faces[int(row["frame"])].append(((x, y, width, height), KINDS[row["from_side"]]))
    return faces


def readers(video: str) -> Readers | None:
    """How far the two readers agree; None for a video without faces in the second drawing."""
    first, again = drawn(video), _read(DRAWN_AGAIN, video)
    if not again:
        return None
    overlaps: list[float] = []
    one = 0
    for frame, faces in again.items():
        pairs = _paired([box for box, _ in first.get(frame, [])], [box for box, _ in faces])
        overlaps += [overlap for _, overlap in pairs]
        one += len(first.get(frame, [])) + len(faces) - 2 * len(pairs)
    middle, low = np.percentile(overlaps, [50, 5])
    return Readers(len(again), len(overlaps), one, round(float(middle), 3), round(float(low), 3))


def _paired(wanted: Sequence[Box], boxes: Sequence[Box]) -> list[tuple[int, float]]:
    """Which of the wanted boxes has one of `boxes` that overlaps it enough, and how far; each box is used once."""
    free, pairs = list(boxes), []
    for place, box in enumerate(wanted):
        best = max(free, key=lambda other: overlap(box, other), default=None)
        if best is not None and overlap(box, best) >= MIN_IOU:
            pairs.append((place, overlap(box, best)))
            free.remove(best)
    return pairs


def compare(found: VideoRun, faces: dict[int, list[tuple[Box, str]]]) -> Seen:
    """A run's boxes with those by eye, each with the one that overlaps it most."""
    counts, totals, further = Counter[str](), Counter[str](), 0
    for frame in range(0, found.frames, EVERY):
        boxes = [box for (index, _), box in found.boxes.items() if index == frame]
        wanted = faces.get(frame, [])
        pairs = _paired([box for box, _ in wanted], boxes)
        totals.update(kind for _, kind in wanted)
        counts.update(wanted[place][1] for place, _ in pairs)
        further += len(boxes) - len(pairs)
    return Seen({kind: counts[kind] for kind in totals}, dict(totals), further)


@click.command(epilog="Example: python -m fer_benchmarks.pipeline.faces_by_eye one_person.mp4 people.mp4 no_faces.mp4")
@click.argument("videos", nargs=-1, required=True, type=click.Path(path_type=Path, exists=True, dir_okay=False))
@click.option("--json", "json_file", type=click.Path(path_type=Path), metavar="FILE", help="Write all figures as JSON.")
def cli(videos: Sequence[Path], json_file: Path | None) -> None:
    """Count the faces of VIDEOS, drawn by eye, that the loop finds in every tenth frame."""
    from fer_runtime.files import check_place, write_text

    if json_file:
        check_place(json_file)
    faces = {video: drawn(video.name) for video in videos}
    report: dict[str, Seen | Readers] = {}
    for video in videos:
        if both := readers(video.name):
            report[f"{video.name}, drawn twice"] = both
            click.echo(
                f"{video.name}, {both.frames} frames drawn twice: {both.both} faces by both, {both.one} by one; "
                f"their boxes overlap by {both.overlap:.2f} (median; 5th percentile {both.overlap_p5:.2f})"
            )
        for system, interval in SYSTEMS.items():
            seen = compare(full_speed(video, interval), faces[video])
            report[f"{video.name}, {system}"] = seen
            parts = [f"{count} of {seen.faces[kind]} {kind}" for kind, count in seen.found.items()]
            click.echo(f"{video.name}, {system}: {', '.join(parts)}; {seen.further} further")
    if json_file:
        write_text(json_file, json.dumps({name: asdict(each) for name, each in report.items()}, indent=2) + "\n")


if __name__ == "__main__":
    run(cli, "bench")
