"""Teachers and all sizes in one plan, in stages that resume one another; needs torch, numpy and OpenCV alone."""

import argparse
import sys
import time
from dataclasses import dataclass, replace
from pathlib import Path

import torch

from fer_runtime.data import dataset
from fer_runtime.data.dataset import Dataset, Faces, training_split
from fer_runtime.errors import FerError
from fer_runtime.files import make_folder, sha256
from fer_train import checkpoint
from fer_train.checkpoint import Checkpoint
from fer_train.data import sources
from fer_train.data.ferplus import Votes, read
from fer_train.recipe import RECIPES, for_votes
from fer_train.training.distributed import Group, group
from fer_train.training.loop import fit, start
from fer_train.training.progress_callback import ProgressCallback
from fer_train.training.soft_targets import Sources, training_targets, validation_targets
from fer_train.training.state import RunConfig, RunResult, read_result


@dataclass(frozen=True)
class Step:
    """One run of the plan. The epochs are what a GPU has time for."""

    name: str
    model: str
    seed: int
    epochs: int


@dataclass(frozen=True)
class Material:
    """What the runs learn from."""

    data: Dataset
    votes: Votes | None  # for all runs; the teachers learn the labels too
    votes_digest: str  # SHA-256 of their file
    transfer: Faces | None  # without labels: the students learn what the teachers predict for them
    init: Path | None  # folder of fer-nano.pt, fer-small.pt and fer-base.pt, whose weights the students start from


TEACHERS = tuple(Step(f"teacher-{seed}", "large", seed, 60) for seed in range(3))
STUDENTS = (
    Step("small-0", "small", 0, 150),
    Step("nano-0", "nano", 0, 150),
    Step("base-0", "base", 0, 120),
    Step("small-1", "small", 1, 150),
    Step("small-2", "small", 2, 150),
)


class OutOfTimeError(Exception):
    """The stage is over; all finished epochs are on disk."""


class Deadline(ProgressCallback):
    """Prints the lines, and ends the stage before an epoch that would not fit into it."""

    def __init__(self, name: str, ends: float) -> None:
        self._name, self._ends, self._last = name, ends, time.monotonic()

    def say(self, line: str) -> None:
        """Called after each epoch."""
        print(f"{self._name:9} {line}", flush=True)
        now = time.monotonic()
        longest, self._last = now - self._last, now
        if now + 1.5 * longest > self._ends:
            raise OutOfTimeError


def main() -> None:
    """Go on with the plan for some minutes: `python -m fer_train.experiments.gpu_schedule DATA FOLDER --minutes 9`."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", type=Path, help="folder, zip or csv of labelled faces")
    parser.add_argument("folder", type=Path, help="where the runs are kept, and found again by the next stage")
    parser.add_argument("--minutes", type=float, default=9, help="length of this stage (default: 9)")
    parser.add_argument("--epochs", type=int, help="for every run, instead of the plan's: for a trial")
    parser.add_argument("--only", nargs="+", metavar="RUN", help="these runs of the plan: for a trial")
    parser.add_argument("--votes", type=Path, help="votes for all runs to learn; the teachers learn the labels too")
    parser.add_argument("--unlabelled", type=Path, help="faces without labels, for the students to learn by teachers")
    parser.add_argument("--init", type=Path, help="folder of fer-nano.pt, fer-small.pt, fer-base.pt to start from")
    given = parser.parse_args()
    plan = [step for step in (*TEACHERS, *STUDENTS) if not given.only or step.name in given.only]
    ends = time.monotonic() + 60 * given.minutes
    try:
        with group("auto") as alone:
            material = _material(given.data, given.votes, given.unlabelled, given.init)
            _go_on(material, given.folder, plan, given.epochs, alone, ends)
        print(f"all runs are finished: fer-train finish {given.folder}/keep/small-0.pt {given.data} measures one")
    except OutOfTimeError:
        print("this stage is over: the same command continues where it ended")
    except FerError as error:
        sys.exit(f"{parser.prog}: {error}")


def _material(path: Path, votes: Path | None, unlabelled: Path | None, init: Path | None) -> Material:
    data = dataset.load(path, carve=True)
    transfer, notes = sources.transfer_set(unlabelled, data) if unlabelled else (None, [])
    for note in notes:
        print(f"note: {note}")
    return Material(data, read(votes, data.classes) if votes else None, sha256(votes) if votes else "", transfer, init)


def _go_on(material: Material, folder: Path, plan: list[Step], epochs: int | None, alone: Group, ends: float) -> None:
    keep = folder / "keep"
    make_folder(keep)
    teachers: list[Path] = []
    for step in plan:
        kept = keep / f"{step.name}.pt"
        if not kept.exists():
            used = teachers if step in STUDENTS else []
            found = _run(step, material, used, folder, epochs, alone, ends)
            # A teacher is kept in half precision, so that it stays under 16 MB; it only gives soft targets.
            (_halved(found) if step in TEACHERS else found).save(kept)
            (folder / f"{step.name}.last.pt").unlink()
        if step in TEACHERS:
            teachers.append(kept)


def _run(
    step: Step, material: Material, teachers: list[Path], folder: Path, epochs: int | None, alone: Group, ends: float
) -> RunResult:
    config, init = _config(step, material, teachers, epochs)
    data, transfer = material.data, material.transfer if teachers else None
    progress = Deadline(step.name, ends)
    train, valid = training_split(data), data.split("valid")
    if transfer is not None:
        train = dataset.joined([train, transfer])
        config = replace(config, unlabelled=dataset.Dataset((), {"train": transfer}).fingerprint)
    learned = Sources(material.votes, tuple(read_result(path).network() for path in teachers))
    soft_targets = training_targets(train, config, learned, folder, alone, progress)
    valid_targets = validation_targets(valid, len(config.classes), material.votes)
    state = folder / f"{step.name}.last.pt"
    return fit(train, valid, config, start(config, init), soft_targets, valid_targets, alone, state, progress)


def _config(
    step: Step, material: Material, teachers: list[Path], epochs: int | None
) -> tuple[RunConfig, Checkpoint | None]:
    """What is to be done, and the network it starts from. Raises FerError for one that is missing or no such file."""
    recipe = replace(RECIPES[step.model], epochs=epochs or step.epochs)
    if material.votes:
        recipe = replace(for_votes(recipe), label_share=0.25 if step in TEACHERS else 0.0)
    init = checkpoint.load(material.init / f"fer-{step.model}.pt") if material.init and step in STUDENTS else None
    data, digests = material.data, tuple(sha256(path) for path in teachers)
    config = RunConfig(
        step.model,
        recipe,
        step.seed,
        data.classes,
        data.fingerprint,
        votes=material.votes_digest,
        teachers=digests,
        init=init.digest if init else "",
    )
    return config, init


def _halved(found: RunResult) -> RunResult:
    weights = {name: value.to(torch.float16) if value.ndim > 1 else value for name, value in found.best.weights.items()}
    return replace(found, best=replace(found.best, weights=weights))


if __name__ == "__main__":
    main()
