"""Accuracy through the whole loop: `python -m fer_benchmarks.pipeline.end_to_end fer2013.zip`.

Labelled faces are composited into scikit-image's photographs without faces, turned and moving, and shown to the loop
for a few frames each, as to a camera: it has to find, follow and frame them before it classifies them. The same model
classifies the same faces straight from the dataset, so that the difference is what detection and framing cost.
"""

import json
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

import click
import numpy as np
from numpy.typing import NDArray

from fer_benchmarks.pipeline import detection_recall
from fer_benchmarks.pipeline.compositing import FRAMES_PER_FACE, FacePlacement, backgrounds, paste, place
from fer_benchmarks.pipeline.detection_recall import DetectionResult
from fer_runtime.cli.entry import run
from fer_runtime.data import scoring_set
from fer_runtime.data.dataset import Faces
from fer_runtime.files import check_place, refuse_same, write_text
from fer_runtime.model.session import Classifier
from fer_runtime.pipeline.loop import Loop
from fer_runtime.sources.files import Pictures
from fer_runtime.system import host
from fer_runtime.system.host import Host
from fer_runtime.types import UNCERTAIN, Frame, Result

FPS = 25
GAP_S = 3.0  # between two faces, after which the tracks of the first are forgotten
STILL_S = 0.5  # for which a photograph is shown as a video
SIZES = (56, 80, 112, 160, 224, 288)  # sides of a face, pixels
ANGLES = (-30, -15, 0, 15, 30)  # degrees, in the picture's plane


@dataclass(frozen=True)
class FaceOutcome:
    """What the loop made of one face, in the last frame of it."""

    placement: FacePlacement
    smoothed: int | None
    """The likeliest class by the smoothed probabilities; None where the face was not found."""
    raw: int | None
    """The same by this frame's alone."""
    uncertain: bool
    """Whether it was labelled "uncertain"."""
    false_alarms: int
    """Other faces that were found in the frame."""


@dataclass(frozen=True)
class SubsetResult:
    """Figures of some of the faces; accuracies are of those that were found, None where none was."""

    faces: int
    found: int
    recall: float
    """found / faces."""
    accuracy: float | None = None
    """Through the loop, smoothed."""
    raw_accuracy: float | None = None
    """Through the loop, of the last frame alone."""
    direct_accuracy: float | None = None
    """Of the same faces straight from the dataset."""
    difference: float | None = None
    """accuracy - direct_accuracy."""
    interval: tuple[float, float] | None = None
    """95 %, of the difference: paired, of the mean of right - right, each -1, 0 or 1."""


@dataclass(frozen=True)
class CompositedResult:
    """Figures of all composited faces."""

    all: SubsetResult
    uncertain_share: float
    """Of the found faces, those labelled "uncertain"."""
    false_alarms: int
    by_size: dict[str, SubsetResult]
    """By the side of the face in pixels."""
    by_angle: dict[str, SubsetResult]
    """By its angle in degrees."""


@dataclass(frozen=True)
class EndToEndReport:
    """The JSON of a run."""

    environment: Host
    seed: int
    split: str | None
    """Of the data that was scored."""
    composited: CompositedResult | None
    photos: DetectionResult | None
    stills: DetectionResult | None
    """The same photographs as videos that stand still for half a second, in which faces are searched for otherwise."""


def show(
    loop: Loop, start_s: float, face: NDArray[np.uint8], background: NDArray[np.uint8], placement: FacePlacement
) -> FaceOutcome:
    """Show a face to the loop from this second on: what it makes of it in the last frame."""
    for step in range(FRAMES_PER_FACE):
        frame = Frame(paste(face, background, placement.moved(step)), step, start_s + step / FPS)
        result = loop.process(frame)
    return _outcome(result, placement.moved(FRAMES_PER_FACE - 1))


def _outcome(result: Result, placement: FacePlacement) -> FaceOutcome:
    matching = [face for face in result.faces if detection_recall.match([face.box], [placement.box])]
    if not matching:
        return FaceOutcome(placement, None, None, False, len(result.faces))
    face = matching[0]
    smoothed, raw = (int(np.argmax(list(each.values()))) for each in (face.probabilities, face.raw))
    return FaceOutcome(placement, smoothed, raw, face.label == UNCERTAIN, len(result.faces) - 1)


def measure(
    classifier: Classifier,
    faces: Faces,
    seed: int = 0,
    sizes: tuple[int, ...] = SIZES,
    angles: tuple[int, ...] = ANGLES,
    advance: Callable[[], None] = lambda: None,
) -> CompositedResult:
    """Every face once, each size and angle as often as the others, in random order. advance: called after each face."""
    rng = np.random.RandomState(seed)
    pairs = [(size, angle) for size in sizes for angle in angles]
    kinds = rng.permutation(np.resize(np.arange(len(pairs)), len(faces)))
    scenes = backgrounds()
    loop = Loop(Pictures([]), classifier)
    outcomes = []
    for index, kind in enumerate(kinds):
        size, angle = pairs[kind]
        placement = place(size, angle, rng)
        background = scenes[rng.randint(len(scenes))]
        outcomes.append(show(loop, index * GAP_S, faces.pixels[index], background, placement))
        advance()
    return summary(outcomes, classifier.predict(faces.pixels), faces.labels)


def summary(outcomes: list[FaceOutcome], direct: NDArray[np.int64], labels: NDArray[np.int64]) -> CompositedResult:
    """The figures of all faces, of each size and of each angle. direct: classes predicted straight from the dataset."""

    def subsets(of: Callable[[FacePlacement], int]) -> dict[str, SubsetResult]:
        values = np.array([of(outcome.placement) for outcome in outcomes])
        return {str(value): _subset(outcomes, direct, labels, values == value) for value in np.unique(values)}

    everything = np.ones(len(outcomes), bool)
    uncertain = [outcome.uncertain for outcome in outcomes if outcome.raw is not None]
    return CompositedResult(
        all=_subset(outcomes, direct, labels, everything),
        uncertain_share=round(float(np.mean(uncertain or [False])), 5),
        false_alarms=sum(outcome.false_alarms for outcome in outcomes),
        by_size=subsets(lambda placement: placement.size),
        by_angle=subsets(lambda placement: placement.angle),
    )


def _subset(
    outcomes: list[FaceOutcome], direct: NDArray[np.int64], labels: NDArray[np.int64], chosen: NDArray[np.bool_]
) -> SubsetResult:
    found = chosen & np.array([outcome.smoothed is not None for outcome in outcomes])
    smoothed = np.array([-1 if outcome.smoothed is None else outcome.smoothed for outcome in outcomes])
    raw = np.array([-1 if outcome.raw is None else outcome.raw for outcome in outcomes])
    faces, n = int(chosen.sum()), int(found.sum())
    recall = round(n / max(1, faces), 5)
    if n == 0:
        return SubsetResult(faces, n, recall)
    correct, raw_correct, direct_correct = ((each == labels)[found].astype(float) for each in (smoothed, raw, direct))
    paired = correct - direct_correct
    half = 1.96 * float(paired.std(ddof=1)) / n**0.5 if n > 1 else 1.0
    mean = float(paired.mean())
    return SubsetResult(
        faces,
        n,
        recall,
        accuracy=round(float(correct.mean()), 5),
        raw_accuracy=round(float(raw_correct.mean()), 5),
        direct_accuracy=round(float(direct_correct.mean()), 5),
        difference=round(mean, 5),
        interval=(round(mean - half, 5), round(mean + half, 5)),
    )


@click.command(
    epilog="Example: python -m fer_benchmarks.pipeline.end_to_end fer2013.zip --limit 500 --json end_to_end.json"
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
    """Score the whole loop on the validation faces of DATA in photographs, and on labelled photographs."""
    if data is None and folder is None:
        raise click.UsageError("give DATA with labelled faces, or --photos FOLDER, or both")
    refuse_same([json_file], [data, model, folder])
    if json_file:
        check_place(json_file)
    classifier = Classifier(model)
    split, composited = None, None
    if data:
        labelled = scoring_set.load(data, classifier.manifest)
        split, faces = labelled.held_out()
        for note in labelled.notes:
            click.echo(f"note: {note}", err=True)
        composited = _with_progress(classifier, faces, limit, seed)
    photos = detection_recall.measure(folder, classifier) if folder else None
    stills = detection_recall.measure(folder, classifier, STILL_S) if folder else None
    report = EndToEndReport(host.describe(), seed, split, composited, photos, stills)
    if json_file:
        write_text(json_file, json.dumps(asdict(report), indent=2) + "\n")
    if composited:
        _print_table(composited)
    for kind, each in (("photos", photos), ("photos as still videos", stills)):
        if each:
            click.echo(f"{kind}: {each.found} of {each.faces} faces found, {each.false_alarms} false alarms")


def _with_progress(classifier: Classifier, faces: Faces, limit: int | None, seed: int) -> CompositedResult:
    """`measure` with a progress bar, of `limit` faces drawn at random."""
    from rich.console import Console
    from rich.progress import Progress

    if limit and limit < len(faces):
        faces = faces.take(np.sort(np.random.RandomState(seed).permutation(len(faces))[:limit]))
    console = Console(stderr=True)
    with Progress(console=console, transient=True, disable=not console.is_terminal) as progress:
        task = progress.add_task("faces", total=len(faces))
        return measure(classifier, faces, seed, advance=lambda: progress.advance(task))


def _print_table(result: CompositedResult) -> None:
    click.echo(f"{'':12}{'faces':>7}{'recall':>9}{'loop':>9}{'direct':>9}{'difference, points':>28}")
    rows = [("all", result.all)]
    rows += [(f"{size} px", subset) for size, subset in result.by_size.items()]
    rows += [(f"{int(angle):+d} deg", subset) for angle, subset in result.by_angle.items()]
    for name, subset in rows:
        line = f"{name:12}{subset.faces:7}{subset.recall:9.2%}"
        if subset.interval and subset.difference is not None:
            low, high = (100 * end for end in subset.interval)
            difference = f"{100 * subset.difference:+.2f} ({low:+.2f} to {high:+.2f})"
            line += f"{subset.accuracy:9.2%}{subset.direct_accuracy:9.2%}{difference:>28}"
        click.echo(line)
    click.echo(f"uncertain: {result.uncertain_share:.1%} of the found; false alarms: {result.false_alarms}")


if __name__ == "__main__":
    run(cli, "bench")
