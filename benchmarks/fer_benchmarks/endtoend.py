"""Accuracy through the whole loop: `python -m fer_benchmarks.endtoend fer2013.zip`.

Labelled faces are pasted into scikit-image's photographs without faces, turned and moving, and shown to the loop for a
few frames each, as to a camera: it has to find, follow and frame them before it names them. The same classifier names
the same faces straight from the dataset, so that the difference is what detection and framing cost.
"""

import json
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import click
import cv2
import numpy as np
from numpy.typing import NDArray

from fer_benchmarks import accuracy, photos
from fer_runtime import machine
from fer_runtime.console import run
from fer_runtime.dataset import Faces
from fer_runtime.files import check_place, refuse_same, write_text
from fer_runtime.framing import Box
from fer_runtime.loop import Loop
from fer_runtime.results import UNCERTAIN, Result
from fer_runtime.session import Classifier
from fer_runtime.sources import Frame, Pictures

WIDTH, HEIGHT, FPS = 640, 480, 25
SHOWN = 5  # frames of each face: the first is looked at as a whole, in the others the face is followed
GAP = 2.0  # seconds between two faces, after which the tracks of the first are forgotten
SIZES = (56, 80, 112, 160, 224, 288)  # sides of a pasted face, pixels
ANGLES = (-30, -15, 0, 15, 30)  # degrees, in the picture's plane
BACKGROUNDS = ("coffee", "rocket", "chelsea", "brick", "grass", "gravel")  # of skimage.data, shipped with it


@dataclass(frozen=True)
class Placed:
    """A face in a frame. x, y: its centre; size: its side; angle: degrees."""

    x: float
    y: float
    size: int
    angle: int

    @property
    def box(self) -> Box:
        """The square, before it was turned."""
        return self.x - self.size / 2, self.y - self.size / 2, self.size, self.size

    def moved(self, steps: int) -> "Placed":
        """A pixel to the right for each step."""
        return Placed(self.x + steps, self.y, self.size, self.angle)


@dataclass(frozen=True)
class Outcome:
    """Of one face: which class was likeliest when last seen, smoothed and in that frame alone; None: not found."""

    placed: Placed
    smoothed: int | None
    raw: int | None
    uncertain: bool
    false_alarms: int


def backgrounds() -> list[NDArray[np.uint8]]:
    """Photographs without faces, uint8 BGR [HEIGHT, WIDTH, 3]."""
    import skimage.data

    pictures = []
    for name in BACKGROUNDS:
        photo = getattr(skimage.data, name)()
        photo = cv2.cvtColor(photo, cv2.COLOR_RGB2BGR if photo.ndim == 3 else cv2.COLOR_GRAY2BGR)
        scale = max(WIDTH / photo.shape[1], HEIGHT / photo.shape[0])
        size = (max(WIDTH, round(photo.shape[1] * scale)), max(HEIGHT, round(photo.shape[0] * scale)))
        pictures.append(cv2.resize(photo, size, interpolation=cv2.INTER_AREA)[:HEIGHT, :WIDTH].astype(np.uint8))
    return pictures


def place(size: int, angle: int, rng: np.random.RandomState) -> Placed:
    """Somewhere in the frame, where all of the turned square stays in it for SHOWN frames."""
    turn = np.deg2rad(abs(angle))
    half = size / 2 * (np.cos(turn) + np.sin(turn)) + 1
    return Placed(rng.uniform(half, WIDTH - half - SHOWN), rng.uniform(half, HEIGHT - half), size, angle)


def paste(face: NDArray[np.uint8], background: NDArray[np.uint8], placed: Placed) -> NDArray[np.uint8]:
    """A frame with the face in it. face: uint8 [channels, side, side], grey or red first.

    FER2013's faces are cut off at brow and chin. A detector wants the shape of a head, so each is continued by its
    mirror image and fades out in an oval round the square (as squares, a third fewer are found at 112 pixels).
    """
    picture = cv2.cvtColor(face[0], cv2.COLOR_GRAY2BGR) if len(face) == 1 else face[::-1].transpose(1, 2, 0)
    side = picture.shape[0]
    beyond = side // 2
    picture = cv2.copyMakeBorder(picture, beyond, beyond, beyond, beyond, cv2.BORDER_REFLECT_101)
    middle = side / 2 + beyond - 0.5
    rows, columns = np.mgrid[: len(picture), : len(picture)]
    alpha = np.clip((1 - np.hypot((columns - middle) / (0.75 * side), (rows - middle) / (0.92 * side))) / 0.15, 0, 1)
    matrix = cv2.getRotationMatrix2D((middle, middle), placed.angle, placed.size / side)
    matrix[:, 2] += placed.x - middle, placed.y - middle
    # Cubic: linear enlarging would blur the face, at a cost of its own that no camera has.
    shown = cv2.warpAffine(picture, matrix, (WIDTH, HEIGHT), flags=cv2.INTER_CUBIC)
    opaque = cv2.warpAffine(alpha.astype(np.float32), matrix, (WIDTH, HEIGHT))[:, :, None]
    return (shown * opaque + background * (1 - opaque)).round().astype(np.uint8)


def show(loop: Loop, start: float, face: NDArray[np.uint8], background: NDArray[np.uint8], placed: Placed) -> Outcome:
    """Show a face to the loop from `start` on, seconds: what it says of it in the last frame."""
    for step in range(SHOWN):
        frame = Frame(paste(face, background, placed.moved(step)), step, start + step / FPS)
        result = loop.answer(frame)
    return _outcome(result, placed.moved(SHOWN - 1))


def _outcome(result: Result, placed: Placed) -> Outcome:
    right = [face for face in result.faces if photos.match([face.box], [placed.box])]
    if not right:
        return Outcome(placed, None, None, False, len(result.faces))
    face = right[0]
    smoothed, raw = (int(np.argmax(list(each.values()))) for each in (face.probabilities, face.raw))
    return Outcome(placed, smoothed, raw, face.label == UNCERTAIN, len(result.faces) - 1)


def measure(
    classifier: Classifier,
    faces: Faces,
    seed: int = 0,
    sizes: tuple[int, ...] = SIZES,
    angles: tuple[int, ...] = ANGLES,
    advance: Callable[[], None] = lambda: None,
) -> dict[str, Any]:
    """Every face once, each size and angle as often as the others, in random order: the report as plain data.

    advance: is called after each face.
    """
    rng = np.random.RandomState(seed)
    pairs = [(size, angle) for size in sizes for angle in angles]
    kinds = rng.permutation(np.resize(np.arange(len(pairs)), len(faces)))
    scenes = backgrounds()
    loop = Loop(Pictures([]), classifier)
    outcomes = []
    for index, kind in enumerate(kinds):
        size, angle = pairs[kind]
        placed = place(size, angle, rng)
        background = scenes[rng.randint(len(scenes))]
        outcomes.append(show(loop, index * GAP, faces.pixels[index], background, placed))
        advance()
    return report(outcomes, classifier.predict(faces.pixels), faces.labels)


def report(outcomes: list[Outcome], direct: NDArray[np.int64], labels: NDArray[np.int64]) -> dict[str, Any]:
    """The figures of all faces, of each size and of each angle. direct: the classifier's answers to the dataset's."""

    def rows(of: Callable[[Placed], int]) -> list[dict[str, Any]]:
        values = np.array([of(outcome.placed) for outcome in outcomes])
        return [
            {"value": int(value)} | _figures(outcomes, direct, labels, values == value) for value in np.unique(values)
        ]

    everything = np.ones(len(outcomes), bool)
    return _figures(outcomes, direct, labels, everything) | {
        "uncertain": round(float(np.mean([o.uncertain for o in outcomes if o.raw is not None] or [False])), 5),
        "false_alarms": sum(outcome.false_alarms for outcome in outcomes),
        "by_size": rows(lambda placed: placed.size),
        "by_angle": rows(lambda placed: placed.angle),
    }


def _figures(
    outcomes: list[Outcome], direct: NDArray[np.int64], labels: NDArray[np.int64], chosen: NDArray[np.bool_]
) -> dict[str, Any]:
    """Of the chosen faces: recall, and of those that were found the accuracies and their paired difference.

    interval: 95 %, of the mean of the differences right - right, each -1, 0 or 1.
    """
    found = chosen & np.array([outcome.smoothed is not None for outcome in outcomes])
    smoothed, raw = (
        np.array([-1 if answer is None else answer for answer in answers])
        for answers in ([o.smoothed for o in outcomes], [o.raw for o in outcomes])
    )
    n = int(found.sum())
    plain: dict[str, Any] = {"faces": int(chosen.sum()), "found": n, "recall": round(n / max(1, int(chosen.sum())), 5)}
    if n == 0:
        return plain
    paired = (smoothed == labels)[found].astype(float) - (direct == labels)[found]
    half = 1.96 * float(paired.std(ddof=1)) / n**0.5 if n > 1 else 1.0
    mean = float(paired.mean())
    return plain | {
        "accuracy": round(float((smoothed == labels)[found].mean()), 5),
        "raw_accuracy": round(float((raw == labels)[found].mean()), 5),
        "direct_accuracy": round(float((direct == labels)[found].mean()), 5),
        "difference": round(mean, 5),
        "interval": [round(mean - half, 5), round(mean + half, 5)],
    }


@click.command(epilog="Example: python -m fer_benchmarks.endtoend fer2013.zip --limit 500 --json endtoend.json")
@click.argument("data", required=False, type=click.Path(path_type=Path))
@click.option("--model", type=click.Path(path_type=Path), metavar="FILE", help="[default: the package's own]")
@click.option(
    "--photos", "folder", type=click.Path(path_type=Path), metavar="FOLDER", help="Photographs and boxes.csv."
)
@click.option("--limit", type=click.IntRange(min=1), metavar="N", help="Show N faces, drawn at random, not all.")
@click.option("--seed", type=int, default=0, show_default=True)
@click.option("--json", "json_file", type=click.Path(path_type=Path), metavar="FILE", help="Write all figures as JSON.")
def cli(
    data: Path | None, model: Path | None, folder: Path | None, limit: int | None, seed: int, json_file: Path | None
) -> None:
    """Score the whole loop on the validation faces of DATA pasted into photographs, and on labelled photographs."""
    if data is None and folder is None:
        raise click.UsageError("give DATA with labelled faces, or --photos FOLDER, or both")
    refuse_same([json_file], [data, model, folder])
    if json_file:
        check_place(json_file)
    classifier = Classifier(model)
    plain: dict[str, Any] = {"conditions": machine.describe() | {"seed": seed}}
    if data:
        split, faces, notes = accuracy.held_out(classifier, data)
        for note in notes:
            click.echo(f"note: {note}", err=True)
        plain |= {"split": split, "pasted": _pasted(classifier, faces, limit, seed)}
        _tell(plain["pasted"])
    if folder:
        found = photos.measure(folder, classifier)
        plain["photos"] = asdict(found)
        click.echo(f"photos: {found.found} of {found.faces} faces found, {found.false_alarms} false alarms")
    if json_file:
        write_text(json_file, json.dumps(plain, indent=2) + "\n")


def _pasted(classifier: Classifier, faces: Faces, limit: int | None, seed: int) -> dict[str, Any]:
    """`measure` with a progress bar, of `limit` faces drawn at random."""
    from rich.console import Console
    from rich.progress import Progress

    if limit and limit < len(faces):
        faces = faces.take(np.sort(np.random.RandomState(seed).permutation(len(faces))[:limit]))
    console = Console(stderr=True)
    with Progress(console=console, transient=True, disable=not console.is_terminal) as progress:
        task = progress.add_task("faces", total=len(faces))
        return measure(classifier, faces, seed, advance=lambda: progress.advance(task))


def _tell(pasted: dict[str, Any]) -> None:
    """The figures as a table."""
    click.echo(f"{'':12}{'faces':>7}{'recall':>9}{'loop':>9}{'direct':>9}{'difference, points':>28}")
    rows = [("all", pasted)]
    rows += [(f"{row['value']} px", row) for row in pasted["by_size"]]
    rows += [(f"{row['value']:+d} deg", row) for row in pasted["by_angle"]]
    for name, row in rows:
        line = f"{name:12}{row['faces']:7}{row['recall']:9.2%}"
        if row["found"]:
            low, high = (100 * end for end in row["interval"])
            difference = f"{100 * row['difference']:+.2f} ({low:+.2f} to {high:+.2f})"
            line += f"{row['accuracy']:9.2%}{row['direct_accuracy']:9.2%}{difference:>28}"
        click.echo(line)
    click.echo(f"uncertain: {pasted['uncertain']:.1%} of the found; false alarms: {pasted['false_alarms']}")


if __name__ == "__main__":
    run(cli, "bench")
