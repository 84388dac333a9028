"""fer-train fit."""

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    import torch


@click.command(epilog="Example: fer-train fit fer2013.zip --model small --out runs/small")
@click.argument("data", type=click.Path(path_type=Path))
@click.option(
    "--model",
    type=click.Choice(["nano", "small", "base", "teacher"]),
    default="small",
    show_default=True,
    help="Network size: 8, 38 or 70 million multiply-adds a face.",
)
@click.option(
    "--out", type=click.Path(path_type=Path), metavar="FOLDER", help="Where the run is kept.  [default: runs/MODEL]"
)
@click.option(
    "--epochs", type=click.IntRange(min=1), metavar="N", help="Passes over the data.  [default: the recipe's]"
)
@click.option("--device", type=click.Choice(["auto", "cpu", "cuda"]), default="auto", show_default=True)
@click.option("--seed", type=click.IntRange(0, 2**32 - 1), default=0, show_default=True)
@click.option("--resume", is_flag=True, help="Continue the run in --out after its last finished epoch.")
def fit(data: Path, model: str, out: Path | None, epochs: int | None, device: str, seed: int, resume: bool) -> None:
    """Fit a network on DATA, a folder or zip of images in class folders.

    FER2013's test/ folder is split by file name: PublicTest_* chooses the best epoch, PrivateTest_* is left alone.
    Training images whose pixels stand in an evaluation split are dropped. Writes model.pt, metrics.json, curves.png,
    confusion.png and augmented.png. Ctrl-C keeps all finished epochs; the same command with --resume continues them.
    """
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeElapsedColumn,
        TimeRemainingColumn,
    )

    from fer_runtime import dataset
    from fer_runtime.errors import FerError
    from fer_runtime.files import make_folder
    from fer_train.finish import finish
    from fer_train.fit import fit as fit_network
    from fer_train.recipe import RECIPES

    out = out or Path("runs") / model
    state = out / "last.pt"
    if state.exists() and not resume:
        raise FerError(f"{out} already holds a run: add --resume to continue it, or choose another --out")
    if resume and not state.exists():
        click.echo(f"note: {out} holds no run to resume: starting anew", err=True)
    chosen = _device(device)
    faces = dataset.load(data, carve=True)
    if len(faces.classes) < 2:
        raise FerError(f"{data} has one class ({faces.classes[0]}): expected a folder for each of two or more")
    for note in faces.notes:
        click.echo(f"note: {note}", err=True)
    counts = ", ".join(f"{len(split)} {name}" for name, split in faces.splits.items())
    click.echo(f"{data}: {counts} faces in {len(faces.classes)} classes; training {model} on {chosen}", err=True)
    recipe = RECIPES[model] if epochs is None else replace(RECIPES[model], epochs=epochs)
    make_folder(out)
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
    )
    try:
        with Progress(*columns, console=Console(stderr=True)) as progress:
            trained = fit_network(faces, model, recipe, seed, chosen, state, progress)
    except KeyboardInterrupt:
        if state.exists():
            click.echo(f"\nfinished epochs are kept in {state}: the same command with --resume continues", err=True)
        raise
    click.echo("measuring framing, activation ranges and temperature", err=True)
    scores, notes = finish(trained, faces, out)
    for note in notes:
        click.echo(f"note: {note}", err=True)
    click.echo(f"{out / 'model.pt'}: best epoch {trained.best['epoch']}, validation {scores.line()}")


def _device(wanted: str) -> "torch.device":
    """The torch device. Raises FerError when a GPU is asked for and none is there."""
    import torch

    from fer_runtime.errors import FerError

    if wanted == "cuda" and not torch.cuda.is_available():
        raise FerError("--device cuda: torch finds no GPU here; use --device cpu or auto")
    return torch.device("cuda" if wanted != "cpu" and torch.cuda.is_available() else "cpu")
