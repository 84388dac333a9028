"""What each part of the recipe is worth: short runs that differ in one thing, and the table of their ends."""

import argparse
import json
import sys
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from matplotlib.figure import Figure
from torch import nn

from fer_runtime.data import dataset
from fer_runtime.errors import FerError
from fer_runtime.files import make_folder, sha256, written_whole
from fer_train import checkpoint
from fer_train.cli.progress import shown
from fer_train.evaluation import plots
from fer_train.model import ConvNorm, FerNet
from fer_train.recipe import RECIPES, Augmentation, Recipe
from fer_train.training.distributed import group
from fer_train.training.loop import fit, start
from fer_train.training.soft_targets import Sources, aligned, training_targets, validation_targets
from fer_train.training.state import RunConfig, RunResult

STILL = Augmentation(0, 0, 0, 0, 0, 0, 0, 0)  # mirrored half the time, else as it is


@dataclass(frozen=True)
class Row:
    """One run. change: of the recipe; norm: with batch norm; distilled: from the teachers."""

    name: str
    change: Callable[[Recipe], Recipe] = lambda recipe: recipe
    norm: bool = True
    distilled: bool = False
    seed: int = 0


ROWS = (
    Row("the recipe, with teachers", distilled=True),
    Row("the recipe, without teachers"),
    Row("without weight decay", lambda recipe: replace(recipe, weight_decay=0.0)),
    # Without batch norm the usual rate is too high.
    Row("without batch norm (rate 0.02)", lambda recipe: replace(recipe, rate=recipe.rate / 5), norm=False),
    Row("without augmentation", lambda recipe: replace(recipe, augmentation=STILL)),
    Row(
        "without augmentation, weight decay and label smoothing",
        lambda recipe: replace(recipe, augmentation=STILL, weight_decay=0.0, label_smoothing=0.0),
    ),
    Row("whole faces in every epoch", lambda recipe: replace(recipe, low_share=0.0)),
    *(Row(f"the recipe, without teachers, seed {seed}", seed=seed) for seed in (1, 2)),
)


def without_norm(network: FerNet) -> FerNet:
    """`network` with biases in the place of batch norms, changed in place."""
    for module in network.modules():
        if isinstance(module, ConvNorm):
            conv = module[0]
            assert isinstance(conv, nn.Conv2d)
            conv.bias = nn.Parameter(conv.weight.new_zeros(conv.out_channels))
            module[1] = nn.Identity()
    return network


def main() -> None:
    """`python -m fer_train.experiments.ablation fer2013.zip --teacher A.pt --epochs 12 --out runs/ablation`."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", type=Path)
    parser.add_argument("--model", default="small", choices=list(RECIPES))
    parser.add_argument("--epochs", type=int, default=12, help="the same short schedule for every row")
    parser.add_argument("--teacher", type=Path, action="append", required=True, metavar="MODEL.pt")
    parser.add_argument("--out", type=Path, default=Path("runs/ablation"), help="finished epochs there are kept")
    given = parser.parse_args()
    try:
        _measure(given.data, given.model, given.epochs, given.teacher, given.out)
    except FerError as error:
        sys.exit(f"{parser.prog}: {error}")
    except KeyboardInterrupt:
        sys.exit(130)


def _measure(path: Path, model: str, epochs: int, teachers: list[Path], out: Path) -> None:
    data = dataset.load(path, carve=True)
    train, valid = dataset.training_split(data), data.split("valid")
    recipe = replace(RECIPES[model], epochs=epochs)
    results: dict[str, RunResult] = {}
    for row in ROWS:
        digests = tuple(sha256(teacher) for teacher in teachers) if row.distilled else ()
        config = RunConfig(model, row.change(recipe), row.seed, data.classes, data.fingerprint, teachers=digests)
        network = start(config) if row.norm else without_norm(start(config))
        asked = tuple(aligned(checkpoint.load(teacher), data.classes) for teacher in teachers) if row.distilled else ()
        folder = out / "".join(letter if letter.isalnum() else "-" for letter in row.name)
        make_folder(folder)
        with group("auto") as alone, shown() as progress:
            progress.say(row.name)
            soft_targets = training_targets(train, config, Sources(teachers=asked), out, alone, progress)
            valid_targets = validation_targets(valid, len(data.classes), None)
            results[row.name] = fit(
                train, valid, config, network, soft_targets, valid_targets, alone, folder / "last.pt", progress
            )
        plain = {"model": model, "epochs": epochs, "rows": {n: r.history for n, r in results.items()}}
        plots.write_json(out / "ablation.json", plain)
    _draw(results, out / "ablation.png")
    print(table(json.loads((out / "ablation.json").read_text())["rows"]))


def table(rows: dict[str, list[dict[str, float]]]) -> str:
    """Markdown: the last epoch of each row."""
    lines = ["| run | valid | best valid | train, augmented | gap |", "|---|---|---|---|---|"]
    for name, history in rows.items():
        valid, seen = history[-1]["valid_accuracy"], history[-1]["train_accuracy"]
        best = max(epoch["valid_accuracy"] for epoch in history)
        lines.append(f"| {name} | {valid:.2%} | {best:.2%} | {seen:.2%} | {100 * (seen - valid):+.1f} |")
    return "\n".join(lines)


def _draw(results: dict[str, RunResult], path: Path) -> None:
    """Validation (solid) and training accuracy (dotted) of every row over the epochs, as PNG."""
    figure = Figure(figsize=(10, 5), layout="constrained")
    axes = figure.subplots()
    for index, (name, result) in enumerate(results.items()):
        epochs = [row["epoch"] for row in result.history]
        colour = f"C{index}"
        axes.plot(epochs, [100 * row["valid_accuracy"] for row in result.history], color=colour, label=name)
        axes.plot(epochs, [100 * row["train_accuracy"] for row in result.history], color=colour, linestyle=":")
    axes.set(xlabel="epoch", ylabel="accuracy, % (solid: validation, dotted: train)")
    axes.legend(fontsize=8)
    with written_whole(path) as beside:
        figure.savefig(beside, dpi=110)


if __name__ == "__main__":
    main()
