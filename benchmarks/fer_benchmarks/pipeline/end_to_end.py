"""Accuracy through the whole loop: `python -m fer_benchmarks.pipeline.end_to_end fer2013.zip`.

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
import numpy as np
from numpy.typing import NDArray

from fer_benchmarks.pipeline import detection_recall
from fer_benchmarks.pipeline.compositing import SHOWN, Placed, backgrounds, paste, place
from fer_runtime.cli.entry import run
from fer_runtime.data import scoring_set
from fer_runtime.data.dataset import Faces
from fer_runtime.files import check_place, refuse_same, write_text
from fer_runtime.model.session import Classifier
from fer_runtime.pipeline.loop import Loop
from fer_runtime.sources.files import Pictures
from fer_runtime.system import host
from fer_runtime.types import UNCERTAIN, Frame, Result

FPS = 25
GAP = 2.0  # seconds between two faces, after which the tracks of the first are forgotten
SIZES = (56, 80, 112, 160, 224, 288)  # sides of a pasted face, pixels
ANGLES = (-30, -15, 0, 15, 30)  # degrees, in the picture's plane


@dataclass(frozen=True)
class Outcome:
    """Of one face: which class was likeliest when last seen, smoothed and in that frame alone; None: not found."""

    placed: Placed
    smoothed: int | None
    raw: int | None
    uncertain: bool
    false_alarms: int


def show(loop: Loop, start: float, face: NDArray[np.uint8], background: NDArray[np.uint8], placed: Placed) -> Outcome:
    """Show a face to the loop from `start` on, seconds: what it says of it in the last frame."""
    for step in range(SHOWN):
        frame = Frame(paste(face, background, placed.moved(step)), step, start + step / FPS)
        result = loop.process(frame)
    return _outcome(result, placed.moved(SHOWN - 1))


def _outcome(result: Result, placed: Placed) -> Outcome:
    right = [face for face in result.faces if detection_recall.match([face.box], [placed.box])]
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


@click.command(
    epilog="Example: python -m fer_benchmarks.pipeline.end_to_end fer2013.zip --limit 500 --json endtoend.json"
)
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
    plain: dict[str, Any] = {"conditions": asdict(host.describe()) | {"seed": seed}}
    if data:
        labelled = scoring_set.load(data, classifier.manifest)
        split, faces = labelled.held_out()
        for note in labelled.notes:
            click.echo(f"note: {note}", err=True)
        plain |= {"split": split, "pasted": _pasted(classifier, faces, limit, seed)}
    if folder:
        plain["photos"] = asdict(detection_recall.measure(folder, classifier))
    if json_file:
        write_text(json_file, json.dumps(plain, indent=2) + "\n")
    if data:
        _tell(plain["pasted"])
    if folder:
        click.echo("photos: {found} of {faces} faces found, {false_alarms} false alarms".format(**plain["photos"]))


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
