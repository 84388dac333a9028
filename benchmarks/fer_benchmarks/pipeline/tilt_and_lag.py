"""How well tilted faces are classified, and how late the smoothed label follows a change of expression.

`python -m fer_benchmarks.pipeline.tilt_and_lag DATA`; faces are composited into scikit-image's photographs.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import click
import cv2
import numpy as np
from numpy.typing import NDArray

from fer_runtime.cli.entry import run

if TYPE_CHECKING:
    from fer_runtime.data.dataset import Faces
    from fer_runtime.faces.smoothing import Smoother
    from fer_runtime.model.session import Classifier

ANGLES = (0, 10, -10, 20, -20, 30, -30)  # degrees, counter-clockwise
SIDE = 260  # of a composited face, pixels
THRESHOLD = 0.4  # of the detector, which without hair, ears and shoulders is less sure of these faces
CLEAR = 0.7  # probability of the two right labels between which a clear change is
BEFORE, AFTER, FPS = 60, 45, 30  # frames before and after a change; frames per second
PAIRS = 300
IN_TIME_S = 0.25


@dataclass(frozen=True)
class TiltResult:
    """Accuracy on the faces of one angle that were found."""

    found: int
    direct: float
    """Of the faces straight from the dataset."""
    unaligned: float
    """Of crops as they are."""
    aligned: float
    """Of crops that are turned upright by the line of the eyes."""


def tilted(classifier: "Classifier", faces: "Faces", angle: int) -> TiltResult:
    """Composite the faces at this angle, find and classify them."""
    from fer_benchmarks.pipeline.compositing import backgrounds, paste, place
    from fer_benchmarks.pipeline.detection_recall import match
    from fer_runtime.faces.detection import RetinaFace
    from fer_runtime.model.preprocessing import crop, tilt

    detector, manifest, rng = RetinaFace(threshold=THRESHOLD), classifier.manifest, np.random.RandomState(0)
    scenes, labels = backgrounds(), []
    direct, unaligned, aligned = (list[NDArray[np.uint8]]() for _ in range(3))
    for index, pixels in enumerate(faces.pixels):
        placement = place(SIDE, angle, rng)
        frame = paste(pixels, scenes[index % len(scenes)], placement)
        found = [each for each in detector(frame) if match([each.box], [placement.box])]
        if found:
            box, lean = found[0].box, tilt(found[0].landmarks)
            direct.append(pixels)
            for crops, turned in ((unaligned, 0.0), (aligned, lean)):
                crops.append(crop(frame, box, manifest.framing, manifest.size, manifest.colour, turned))
            labels.append(faces.labels[index])
    if not labels:
        return TiltResult(0, 0.0, 0.0, 0.0)
    accuracies = [float((classifier.predict(np.stack(each)) == labels).mean()) for each in (direct, unaligned, aligned)]
    return TiltResult(len(labels), *accuracies)


def changes(classifier: "Classifier", faces: "Faces") -> list[tuple[NDArray[np.float32], NDArray[np.float32], int]]:
    """PAIRS changes from one face to another of another label: probabilities before and after, and the new label.

    Both are classified correctly and clearly; each frame of a face is shifted, scaled and noisy, as a camera's is.
    """
    from fer_runtime.model.inference import batched

    rng = np.random.RandomState(0)
    probabilities = batched(classifier, faces.pixels)
    right = (probabilities.argmax(1) == faces.labels) & (probabilities.max(1) >= CLEAR)
    clear = np.flatnonzero(right)
    pairs: list[tuple[NDArray[np.float32], NDArray[np.float32], int]] = []
    while len(pairs) < PAIRS:
        a, b = rng.choice(clear, 2, replace=False)
        if faces.labels[a] != faces.labels[b]:
            seen = [classifier(_shaken(faces.pixels[i], n, rng)) for i, n in ((a, BEFORE), (b, AFTER))]
            pairs.append((seen[0], seen[1], int(faces.labels[b])))
    return pairs


def _shaken(face: NDArray[np.uint8], count: int, rng: np.random.RandomState) -> NDArray[np.uint8]:
    frames = []
    for _ in range(count):
        move = np.array([[1, 0, rng.uniform(-1, 1)], [0, 1, rng.uniform(-1, 1)]])
        move[0, 0] = move[1, 1] = rng.uniform(0.98, 1.02)
        moved = [cv2.warpAffine(c, move, c.shape[::-1], borderMode=cv2.BORDER_REPLICATE) for c in face]
        frames.append(np.clip(np.stack(moved) + rng.normal(0, 3, face.shape), 0, 255).astype(np.uint8))
    return np.stack(frames)


def lags(
    pairs: list[tuple[NDArray[np.float32], NDArray[np.float32], int]], fps: int, make: Callable[[], "Smoother"]
) -> NDArray[np.float64]:
    """Seconds from each change to the frame with the new label, where the raw one has it at once; inf for never."""
    found, step = [], FPS // fps
    for before, after, label in pairs:
        smooth = make()
        for index, probabilities in enumerate(before[::step]):
            smooth(probabilities, index * step / FPS)
        start = len(before[::step])
        shown = [smooth(p, (start + index) * step / FPS)[1] for index, p in enumerate(after[::step])]
        if int(after[0].argmax()) == label:
            found.append(shown.index(label) * step / FPS if label in shown else np.inf)
    return np.array(found)


@click.command(epilog="Example: python -m fer_benchmarks.pipeline.tilt_and_lag fer2013.zip")
@click.argument("data", type=click.Path(path_type=Path))
@click.option("--faces", "count", type=click.IntRange(min=10), default=1000, show_default=True, help="Faces per angle.")
def cli(data: Path, count: int) -> None:
    """Accuracy on tilted faces with and without alignment; delay of the smoothed label after a clear change."""
    from fer_runtime.data import scoring_set
    from fer_runtime.data.dataset import stratified
    from fer_runtime.faces.smoothing import Smoother
    from fer_runtime.model.session import Classifier

    classifier = Classifier()
    split, faces = scoring_set.load(data, classifier.manifest).held_out()
    few = stratified(faces, min(count, len(faces)))
    click.echo(f"accuracy on faces of {split} that are found in frames, by their tilt")
    click.echo(f"{'degrees':>8}{'found':>8}{'direct':>9}{'unaligned':>11}{'aligned':>9}")
    for angle in ANGLES:
        result = tilted(classifier, few, angle)
        accuracies = f"{result.direct:9.1%}{result.unaligned:11.1%}{result.aligned:9.1%}"
        click.echo(f"{angle:+8}{result.found:8}{accuracies}")
    pairs = changes(classifier, faces)
    for fps in (FPS, 10):
        late = lags(pairs, fps, Smoother)
        p50, p95 = np.percentile(late, [50, 95])
        click.echo(
            f"{fps} fps, {len(late)} clear changes: lag p50 {p50:.2f} s, p95 {p95:.2f} s, "
            f"{(late <= IN_TIME_S).mean():.1%} within {IN_TIME_S:g} s"
        )


if __name__ == "__main__":
    run(cli, "bench")
