"""fer-train finish."""

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import click

from fer_runtime.cli.options import FILE
from fer_train.cli import inputs
from fer_train.recipe import MIXES

if TYPE_CHECKING:
    from fer_train.data.sources import Renamed


@click.command(epilog="Example: fer-train finish runs/small fer2013.zip")
@click.argument("run", type=FILE)
@inputs.data
@inputs.classes
@click.option("--votes", type=FILE, metavar="CSV", help="The votes that the run was trained on.")
@click.option(
    "--balance",
    type=click.Choice(["none", *MIXES]),
    help="Predict each class as often as in this mix.  [default: from the recipe]",
)
@click.option("--half", is_flag=True, help="Keep the weights in half precision, for a teacher of half the size.")
@click.option("--out", type=FILE, metavar="FOLDER", help="Where to write.  [default: the run's folder]")
def finish(
    run: Path,
    data: tuple[Path, ...],
    renamed: "Renamed",
    votes: Path | None,
    balance: str | None,
    half: bool,
    out: Path | None,
) -> None:
    """Write model.pt and the reports for the best epoch so far of RUN, which was stopped or trained elsewhere.

    RUN is the folder of a `fer-train fit`, or a file kept by train/gpu_recipe.sh; DATA is what it was trained on.
    """
    from fer_runtime.errors import FerError
    from fer_runtime.files import make_folder, sha256
    from fer_train.data import sources
    from fer_train.data.ferplus import read
    from fer_train.training.finalize import finish as finish_run
    from fer_train.training.state import read_result

    state = run / "last.pt" if run.is_dir() else run
    if not state.is_file():
        raise FerError(f"{state} does not exist: expected the folder of a run of fer-train fit, or a file it kept")
    found = read_result(state)
    faces, config = sources.load(data, renamed), found.config
    if (faces.classes, faces.renamed, faces.fingerprint) != (config.classes, config.renamed, config.fingerprint):
        given = " ".join(map(str, data))
        raise FerError(f"{given} is not what {run} was trained on: give the same images, in the same order")
    if (sha256(votes) if votes else "") != config.votes:
        learned = "the votes of another CSV than --votes gives" if config.votes else "labels alone, without --votes"
        raise FerError(f"{run} learned from {learned}: give what fer-train fit was given")
    if balance in ("votes", "between") and not votes:
        raise FerError(f"{run} learned from labels alone: --balance {balance} is for a run that learned from votes")
    if balance:
        found = replace(found, config=replace(config, recipe=replace(config.recipe, balance=balance)))
    out = out or state.parent
    make_folder(out)
    label_votes = read(votes, faces.classes) if votes else None
    scores, notes = finish_run(found, faces, out, label_votes, half=half)
    for note in notes:
        click.echo(f"note: {note}", err=True)
    click.echo(f"{out / 'model.pt'}: best epoch {found.best.epoch}, validation {scores.line()}")
