"""Labelled faces in frames, for figures of the whole loop: how well leaning ones are named, and how soon a change is.

`python -m fer_benchmarks.pipeline.tilt_and_lag DATA`; the frames are scikit-image's photographs without people.
"""

from collections.abc import Callable
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

ANGLES = (0, -10, 10, -20, 20, -30, 30)  # degrees, clockwise
SIDE, FRAME = 130, 320  # pixels of the pasted face, and of the square frame
CLEAR = 0.7  # probability of the two right answers between which a clear change is
BEFORE, AFTER, RATE = 60, 45, 30  # frames before and after the change, and a second
PAIRS = 300


def leaning(classifier: "Classifier", faces: "Faces", angle: float) -> tuple[int, float, float, float]:
    """How many pasted faces are found, and accuracy on them: as pasted, of crops as they are, of turned crops."""
    from fer_runtime.faces.detection import RetinaFace
    from fer_runtime.model.preprocessing import crop, tilt

    # FER2013's faces fill their picture; without a head around them the detector is less sure of them.
    detector, manifest, rng = RetinaFace(threshold=0.4), classifier.manifest, np.random.RandomState(0)
    backgrounds, labels = _backgrounds(), []
    crops: tuple[list[NDArray[np.uint8]], ...] = ([], [], [])
    for index, pixels in enumerate(faces.pixels):
        left, top = rng.randint(85, 105, 2)
        frame = backgrounds[index % len(backgrounds)].copy()
        _paste(frame, pixels[0], left, top, angle)
        middle = np.array([left + SIDE / 2, top + SIDE / 2])
        found = [
            d for d in detector(frame) if np.abs(np.add(d.box[:2], np.divide(d.box[2:], 2)) - middle).max() < SIDE / 3
        ]
        if found:
            box, lean = found[0].box, tilt(found[0].landmarks)
            crops[0].append(pixels)
            for into, turned in zip(crops[1:], (0.0, lean), strict=True):
                into.append(crop(frame, box, manifest.framing, manifest.size, manifest.colour, turned))
            labels.append(faces.labels[index])
    shares = [float((classifier.predict(np.stack(each)) == labels).mean()) for each in crops]
    return len(labels), shares[0], shares[1], shares[2]


def _backgrounds() -> list[NDArray[np.uint8]]:
    from skimage import data

    pictures = [np.ascontiguousarray(picture[:, :, ::-1]) for picture in (data.coffee(), data.rocket())]
    return [cv2.resize(picture, (FRAME, FRAME)).astype(np.uint8, copy=False) for picture in pictures]


def _paste(frame: NDArray[np.uint8], face: NDArray[np.uint8], left: int, top: int, angle: float) -> None:
    side = face.shape[0]
    turn = cv2.getRotationMatrix2D((side / 2, side / 2), -angle, SIDE / side)
    turn[:, 2] += (left + (SIDE - side) / 2, top + (SIDE - side) / 2)
    colour = cv2.cvtColor(face, cv2.COLOR_GRAY2BGR)
    cv2.warpAffine(colour, turn, (FRAME, FRAME), dst=frame, flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_TRANSPARENT)


def changes(classifier: "Classifier", faces: "Faces") -> list[tuple[NDArray[np.float32], NDArray[np.float32], int]]:
    """PAIRS changes from one face to another of another label: probabilities before and after, and the new label.

    Both are named rightly and clearly; each frame of a face is shifted, scaled and noisy, as a camera's is.
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
    """Seconds from each change to the answer with the new label, where the raw one has it at once; inf for never."""
    found, step = [], RATE // fps
    for before, after, label in pairs:
        smooth = make()
        for index, probabilities in enumerate(before[::step]):
            smooth(probabilities, index * step / RATE)
        start = len(before[::step])
        shown = [smooth(p, (start + index) * step / RATE)[1] for index, p in enumerate(after[::step])]
        if int(after[0].argmax()) == label:
            found.append(shown.index(label) * step / RATE if label in shown else np.inf)
    return np.array(found)


@click.command(epilog="Example: python -m fer_benchmarks.pipeline.tilt_and_lag fer2013.zip")
@click.argument("data", type=click.Path(path_type=Path))
@click.option("--faces", "count", type=click.IntRange(min=10), default=1000, show_default=True, help="To paste.")
def cli(data: Path, count: int) -> None:
    """Accuracy on leaning faces with and without turning them; how late the smoothed label follows a clear change."""
    from fer_runtime.data import scoring_set
    from fer_runtime.data.dataset import stratified
    from fer_runtime.faces.smoothing import Smoother
    from fer_runtime.model.session import Classifier

    classifier = Classifier()
    split, faces = scoring_set.load(data, classifier.manifest).held_out()
    few = stratified(faces, min(count, len(faces)))
    click.echo(f"accuracy on faces of {split} that are found in frames, by the degrees that they lean")
    click.echo(f"{'degrees':>8}{'found':>8}{'pasted':>9}{'as it is':>10}{'turned':>9}")
    for angle in ANGLES:
        n, direct, plain, turned = leaning(classifier, few, angle)
        click.echo(f"{angle:8}{n:8}{direct:9.1%}{plain:10.1%}{turned:9.1%}")
    pairs = changes(classifier, faces)
    for fps in (RATE, 10):
        late = lags(pairs, fps, Smoother)
        p50, p95 = np.percentile(late, [50, 95])
        click.echo(
            f"{fps} answers a second, {len(late)} clear changes: lag p50 {p50:.2f} s, p95 {p95:.2f} s, "
            f"{(late <= 0.25).mean():.1%} within 0.25 s"
        )


if __name__ == "__main__":
    run(cli, "bench")
