"""What a run leaves for the reader: metrics.json, curves, confusion matrix, augmented faces."""

import json
import warnings
from collections.abc import Mapping
from pathlib import Path

from matplotlib.figure import Figure
from torch import Tensor
from torchvision.utils import save_image

from fer_runtime.data.metrics import Scores
from fer_runtime.files import write_text, written_whole


def write_json(path: Path, plain: Mapping[str, object]) -> None:
    """Write `plain` as indented JSON, whole or not at all."""
    write_text(path, json.dumps(plain, indent=2) + "\n")


def write_curves(path: Path, history: list[dict[str, float]], best_epoch: int) -> None:
    """Loss and accuracies over the epochs, as PNG."""
    epochs = [row["epoch"] for row in history]
    figure = Figure(figsize=(10, 4), layout="constrained")
    left, right = figure.subplots(1, 2)
    left.plot(epochs, [row["loss"] for row in history], color="tab:gray")
    left.set(title="training loss", xlabel="epoch")
    right.plot(epochs, [100 * row["train_accuracy"] for row in history], color="tab:gray", label="train, augmented")
    right.plot(epochs, [100 * row["valid_accuracy"] for row in history], color="tab:blue", label="validation")
    right.axvline(best_epoch, color="tab:blue", linestyle=":", label=f"best: epoch {best_epoch}")
    right.set(title="accuracy, %", xlabel="epoch")
    right.legend()
    _save(figure, path)


def write_confusion(path: Path, scores: Scores, classes: tuple[str, ...], title: str) -> None:
    """The confusion matrix in percent of each true class, as PNG."""
    shares = [[100 * cell / max(1, sum(row)) for cell in row] for row in scores.confusion]
    side = max(5.0, 0.8 * len(classes))
    figure = Figure(figsize=(side + 1, side), layout="constrained")
    axes = figure.subplots()
    axes.imshow(shares, cmap="Blues", vmin=0, vmax=100)
    axes.set_xticks(range(len(classes)), classes, rotation=45, ha="right", parse_math=False)
    axes.set_yticks(range(len(classes)), classes, parse_math=False)
    axes.set(title=title, xlabel="predicted", ylabel="labelled")
    for y, row in enumerate(shares):
        for x, share in enumerate(row):
            axes.text(x, y, f"{share:.0f}", ha="center", va="center", color="white" if share > 50 else "black")
    _save(figure, path)


def write_faces(path: Path, faces: Tensor) -> None:
    """Faces as the network sees them in training, float [n, 1, h, w] of 0..255, as one PNG."""
    with written_whole(path) as beside:
        save_image(faces, beside, nrow=8, normalize=True, value_range=(0, 255))


def _save(figure: Figure, path: Path) -> None:
    with written_whole(path) as beside, warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Glyph")  # letters that its font lacks are drawn as boxes
        figure.savefig(beside, dpi=110)
