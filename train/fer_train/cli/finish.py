"""fer-train finish."""

from pathlib import Path

import click


@click.command(epilog="Example: fer-train finish runs/small fer2013.zip")
@click.argument("run", type=click.Path(path_type=Path))
@click.argument("data", type=click.Path(path_type=Path))
@click.option(
    "--out", type=click.Path(path_type=Path), metavar="FOLDER", help="Where to write.  [default: the run's folder]"
)
def finish(run: Path, data: Path, out: Path | None) -> None:
    """Write model.pt and the reports for the best epoch so far of RUN, which was stopped or trained elsewhere.

    RUN is the folder of `fer-train fit`, or a file that train/gpu_recipe.sh kept; DATA is what it was trained on.
    """
    from fer_runtime.data import dataset
    from fer_runtime.errors import FerError
    from fer_runtime.files import make_folder
    from fer_train.training.finalize import finish as finish_run
    from fer_train.training.state import outcome

    state = run / "last.pt" if run.is_dir() else run
    if not state.is_file():
        raise FerError(f"{state} does not exist: expected the folder of a run of fer-train fit, or a file it kept")
    found = outcome(state)
    faces = dataset.load(data, carve=True)
    if (faces.classes, faces.fingerprint) != (found.job.classes, found.job.fingerprint):
        raise FerError(f"{data} is not what {run} was trained on: give the same images")
    out = out or state.parent
    make_folder(out)
    scores, notes = finish_run(found, faces, out)
    for note in notes:
        click.echo(f"note: {note}", err=True)
    click.echo(f"{out / 'model.pt'}: best epoch {found.best['epoch']}, validation {scores.line()}")
