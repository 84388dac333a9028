"""fer-train fit."""

from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import click

from fer_runtime.cli.options import FILE
from fer_train.cli import inputs
from fer_train.recipe import RECIPES, for_votes

if TYPE_CHECKING:
    from fer_runtime.data.dataset import Dataset, Faces
    from fer_train.checkpoint import Ranges
    from fer_train.data.sources import Renamed
    from fer_train.model import FerNet
    from fer_train.training.distributed import Group
    from fer_train.training.soft_targets import Sources
    from fer_train.training.state import RunConfig, RunResult


@click.command(epilog="Example: fer-train fit fer2013.zip --model small --out runs/small")
@inputs.data
@click.option(
    "--model",
    type=click.Choice(list(RECIPES)),
    default="small",
    show_default=True,
    help="Network size: 5, 22, 38, 142 or 736 million multiply-adds per face; the last two are teachers.",
)
@click.option("--out", type=FILE, metavar="FOLDER", help="Folder of the run.  [default: runs/MODEL]")
@click.option(
    "--epochs", type=click.IntRange(min=1), metavar="N", help="Passes over the data.  [default: from the recipe]"
)
@click.option(
    "--teacher", "teachers", type=FILE, multiple=True, metavar="MODEL.pt",
    help="Distil from this network's soft targets, beside the labels; several are averaged.",
)  # fmt: skip
@click.option(
    "--votes",
    type=FILE,
    metavar="CSV",
    help="FER+ votes: train on their shares instead of the labels, where there are any.",
)
@inputs.classes
@inputs.share
@click.option(
    "--unlabelled",
    type=FILE,
    metavar="DATA",
    help="Faces without labels: the student learns what the teachers predict for them.",
)
@click.option(
    "--init",
    type=FILE,
    metavar="MODEL.pt",
    help="Start from this network's weights; a new head where the classes differ.",
)
@click.option(
    "--qat", is_flag=True, help="Quantization-aware training at the end; kept only where int8 accuracy gains."
)
@click.option(
    "--device", type=click.Choice(["auto", "cpu", "cuda"]), default="auto", show_default=True, help="Where to train."
)
@click.option("--seed", type=click.IntRange(0, 2**32 - 1), default=0, show_default=True, help="Of all random numbers.")
@click.option("--stream", is_flag=True, help="Keep the decoded faces on disk, for a set larger than memory.")
@click.option("--resume", is_flag=True, help="Continue the run in --out after its last finished epoch.")
def fit(
    data: tuple[Path, ...],
    model: str,
    out: Path | None,
    epochs: int | None,
    teachers: tuple[Path, ...],
    votes: Path | None,
    renamed: "Renamed",
    shares: tuple[float, ...],
    unlabelled: Path | None,
    init: Path | None,
    qat: bool,
    device: str,
    seed: int,
    stream: bool,
    resume: bool,
) -> None:
    """Fit a network on DATA: a folder or zip of images in class folders, or Kaggle's fer2013.csv; one or several.

    Of several, the classes are the first one's, each is validated on its own split, and the epoch with the best mean
    over them is chosen; pictures that two of them share are trained on once.
    FER2013's test/ folder is split by file name: PublicTest_* chooses the best epoch, PrivateTest_* is left alone.
    Training images whose pixels stand in an evaluation split are dropped. Writes model.pt, metrics.json, curves.png,
    confusion.png and augmented.png. Ctrl-C keeps all finished epochs; the same command with --resume continues them.
    Several GPUs or machines: torchrun --nproc-per-node 2 -m fer_train fit DATA ...
    """
    from fer_runtime.data import dataset
    from fer_runtime.data.index import SPLITS
    from fer_runtime.errors import FerError
    from fer_runtime.files import make_folder
    from fer_train.data import sources
    from fer_train.training.distributed import group
    from fer_train.training.finalize import finish

    if unlabelled and not teachers:
        raise click.UsageError("--unlabelled: what such faces teach is a teacher's prediction: give --teacher too")
    out = out or Path("runs") / model
    state = out / "last.pt"
    for path in data:
        if path.is_dir() and out.resolve().is_relative_to(path.resolve()):
            raise FerError(f"{out} is inside {path}, where its pictures would be read as faces: choose another --out")
    if state.exists() and not resume:
        raise FerError(f"{out} already holds a run: add --resume to continue it, or choose another --out")
    with group(device) as processes:
        _print_once(
            processes, [f"note: {out} holds no run to resume: starting anew"] if resume and not state.exists() else []
        )
        if stream:
            make_folder(out)
        faces = sources.load(data, renamed, out if stream else None)
        _print_once(processes, [faces.understood, *(f"note: {note}" for note in faces.notes)])
        if len(faces.classes) < 2:
            raise FerError(f"{data[0]} has one class ({faces.classes[0]}): expected a folder for each of two or more")
        config, network, learned = _config(faces, model, epochs, seed, teachers, votes, init)
        train = dataset.training_split(faces)
        inputs.check_shares(shares, faces, train)
        config = replace(config, shares=shares, renamed=faces.renamed)
        counts = {name: len(faces.splits[name]) for name in SPLITS if name in faces.splits}
        if unlabelled:
            transfer, notes = sources.transfer_set(unlabelled, faces, out if stream else None)
            _print_once(processes, [f"note: {note}" for note in notes])
            config = replace(config, unlabelled=dataset.Dataset((), {"train": transfer}).fingerprint)
            train, counts["unlabelled"] = dataset.joined([train, transfer]), len(transfer)
        listed = ", ".join(f"{count} {name}" for name, count in counts.items())
        _print_once(processes, [f"training {model} on {processes.device}: {listed} faces"])
        make_folder(out)
        trained, ranges = _trained(train, faces, config, network, learned, processes, state, qat)
        if not processes.first:
            return
        click.echo("measuring framing, activation ranges and temperature", err=True)
        scores, notes = finish(trained, faces, out, learned.votes, ranges)
        _print_once(processes, [f"note: {note}" for note in notes] + [_time_to_accuracy(trained)])
        click.echo(f"{out / 'model.pt'}: best epoch {trained.best.epoch}, validation {scores.line()}")


def _config(
    faces: "Dataset",
    model: str,
    epochs: int | None,
    seed: int,
    teachers: tuple[Path, ...],
    votes: Path | None,
    init: Path | None,
) -> "tuple[RunConfig, FerNet, Sources]":
    """What is to be done, the network it starts from, and what it learns from. Raises FerError for wrong files."""
    from fer_runtime.files import sha256
    from fer_train import checkpoint
    from fer_train.data.ferplus import read
    from fer_train.training.loop import start
    from fer_train.training.soft_targets import Sources, aligned
    from fer_train.training.state import RunConfig

    recipe = RECIPES[model] if epochs is None else replace(RECIPES[model], epochs=epochs)
    recipe = for_votes(recipe) if votes else recipe
    trained = checkpoint.load(init) if init else None
    loaded = [checkpoint.load(path) for path in teachers]
    sources = Sources(
        read(votes, faces.classes) if votes else None,
        tuple(aligned(teacher, faces.classes) for teacher in loaded),
    )
    config = RunConfig(
        model,
        recipe,
        seed,
        faces.classes,
        faces.fingerprint,
        votes=sha256(votes) if votes else "",
        teachers=tuple(teacher.digest for teacher in loaded),
        init=trained.digest if trained else "",
    )
    return config, start(config, trained), sources


def _trained(
    train: "Faces",
    faces: "Dataset",
    config: "RunConfig",
    network: "FerNet",
    learned: "Sources",
    processes: "Group",
    state: Path,
    qat: bool,
) -> "tuple[RunResult, Ranges | None]":
    from fer_train.cli.progress import shown
    from fer_train.training.loop import fit as fit_network
    from fer_train.training.progress_callback import ProgressCallback
    from fer_train.training.soft_targets import training_targets, validation_targets
    from fer_train.training.tuned import tuned

    valid = faces.split("valid")
    try:
        with shown() if processes.first else nullcontext(ProgressCallback()) as progress:
            targets = training_targets(train, config, learned, state.parent.parent, processes, progress)
            valid_targets = validation_targets(valid, len(config.classes), learned.votes, faces.sources)
            trained = fit_network(train, valid, config, network, targets, valid_targets, processes, state, progress)
            return (
                tuned(trained, train, valid, targets, valid_targets, processes.device, progress)
                if qat and processes.first
                else (trained, None)
            )
    except KeyboardInterrupt:
        if state.exists():
            _print_once(processes, [f"\nfinished epochs are kept in {state}: the same command with --resume continues"])
        raise


def _time_to_accuracy(run: "RunResult") -> str:
    """When the validation accuracy first passed each fifth percent, and what it had cost."""
    reached: dict[int, str] = {}
    for row in run.history:
        mark = int(row["valid_accuracy"] * 20) * 5
        if mark > max(reached, default=0):
            reached[mark] = f"{mark} % after {row['seconds'] / 60:.1f} min ({row['pflop']:.3f} PFLOP)"
    return "time to accuracy: " + ", ".join(list(reached.values())[-3:]) if reached else "no 5 % reached"


def _print_once(processes: "Group", lines: list[str]) -> None:
    """On stderr, once for all processes."""
    for line in lines if processes.first else []:
        click.echo(line, err=True)
