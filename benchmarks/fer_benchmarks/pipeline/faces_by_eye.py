"""Which faces of a video the loop finds, held against boxes drawn by eye: no detector had a part in them.

faces_by_eye.csv has every face of every tenth frame of three videos of which one eye at least, nose and mouth are seen
and which is 40 pixels high: drawn once, from hairline to chin, to about five pixels of a 1080p frame. In
one_person.mp4 one box stands for some frames, in which the head hardly moves.
"""

import csv
import json
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import click

from fer_benchmarks.pipeline.throughput import VideoRun, full_speed
from fer_runtime.cli.entry import run
from fer_runtime.errors import FerError
from fer_runtime.faces.searching import DEFAULT_INTERVAL_S
from fer_runtime.faces.similarity import overlap
from fer_runtime.types import Box

DRAWN = Path(__file__).with_suffix(".csv")
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


def drawn(video: str) -> dict[int, list[tuple[Box, str]]]:
    """Boxes (x, y, width, height) and kinds of faces by frame. Raises FerError for a video that was not looked at."""
    faces = defaultdict(list)
    with DRAWN.open(newline="") as file:
        for row in csv.DictReader(file):
            if row["video"] == video:
                x, y, width, height = (float(row[key]) for key in ("x", "y", "width", "height"))
                faces[int(row["frame"])].append(((x, y, width, height), KINDS[row["from_side"]]))
    if not faces:
        raise FerError(f"nobody has drawn the faces of {video}: {DRAWN.name} has one_person, people and no_faces.mp4")
    return faces


def compare(found: VideoRun, faces: dict[int, list[tuple[Box, str]]]) -> Seen:
    """A run's boxes with those by eye, each with the one that overlaps it most."""
    counts, totals, further = Counter[str](), Counter[str](), 0
    for frame in range(0, found.frames, EVERY):
        boxes = [box for (index, _), box in found.boxes.items() if index == frame]
        for box, kind in faces.get(frame, []):
            totals[kind] += 1
            best = max(boxes, key=lambda other: overlap(box, other), default=None)
            if best is not None and overlap(box, best) >= MIN_IOU:
                counts[kind] += 1
                boxes.remove(best)
        further += len(boxes)
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
    report = {}
    for video in videos:
        for system, interval in SYSTEMS.items():
            seen = report[f"{video.name}, {system}"] = compare(full_speed(video, interval), faces[video])
            parts = [f"{count} of {seen.faces[kind]} {kind}" for kind, count in seen.found.items()]
            click.echo(f"{video.name}, {system}: {', '.join(parts)}; {seen.further} further")
    if json_file:
        write_text(json_file, json.dumps({name: asdict(seen) for name, seen in report.items()}, indent=2) + "\n")


if __name__ == "__main__":
    run(cli, "bench")
