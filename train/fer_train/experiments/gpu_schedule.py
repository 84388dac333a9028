"""Teachers and all sizes in one plan, in stages that resume one another; needs torch, numpy and OpenCV alone."""

import argparse
import sys
import time
from dataclasses import dataclass, replace
from pathlib import Path

import torch

from fer_runtime.data import dataset
from fer_runtime.data.dataset import Dataset, training_split
from fer_runtime.errors import FerError
from fer_runtime.files import make_folder, sha256
from fer_train.data.ferplus import Votes, read
from fer_train.recipe import RECIPES, for_votes
from fer_train.training.distributed import Group, group
from fer_train.training.loop import fit, start
from fer_train.training.progress_callback import ProgressCallback
from fer_train.training.soft_targets import Sources, training_targets, validation_targets
from fer_train.training.state import RunConfig, RunResult, read_result

VotesOfFile = tuple[Votes | None, str]  # what the runs learn beside the labels, and its SHA-256


@dataclass(frozen=True)
class Step:
    """One run of the plan. The epochs are what a GPU has time for."""

    name: str
    model: str
    seed: int
    epochs: int


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
    given = parser.parse_args()
    plan = [step for step in (*TEACHERS, *STUDENTS) if not given.only or step.name in given.only]
    ends = time.monotonic() + 60 * given.minutes
    try:
        with group("auto") as alone:
            data = dataset.load(given.data, carve=True)
            votes = (read(given.votes, data.classes), sha256(given.votes)) if given.votes else (None, "")
            _go_on(data, votes, given.folder, plan, given.epochs, alone, ends)
        print(f"all runs are finished: fer-train finish {given.folder}/keep/small-0.pt {given.data} measures one")
    except OutOfTimeError:
        print("this stage is over: the same command continues where it ended")
    except FerError as error:
        sys.exit(f"{parser.prog}: {error}")


def _go_on(
    data: Dataset, votes: VotesOfFile, folder: Path, plan: list[Step], epochs: int | None, alone: Group, ends: float
) -> None:
    keep = folder / "keep"
    make_folder(keep)
    teachers: list[Path] = []
    for step in plan:
        kept = keep / f"{step.name}.pt"
        if not kept.exists():
            used = teachers if step in STUDENTS else []
            found = _run(step, data, votes, used, folder, epochs, alone, ends)
            # A teacher is kept in half precision, so that it stays under 16 MB; it only gives soft targets.
            (_halved(found) if step in TEACHERS else found).save(kept)
            (folder / f"{step.name}.last.pt").unlink()
        if step in TEACHERS:
            teachers.append(kept)


def _run(
    step: Step,
    data: Dataset,
    votes: VotesOfFile,
    teachers: list[Path],
    folder: Path,
    epochs: int | None,
    alone: Group,
    ends: float,
) -> RunResult:
    recipe = replace(RECIPES[step.model], epochs=epochs or step.epochs)
    if votes[0]:
        recipe = replace(for_votes(recipe), label_share=0.25 if step in TEACHERS else 0.0)
    networks = tuple(read_result(path).network() for path in teachers)
    digests = tuple(sha256(path) for path in teachers)
    config = RunConfig(step.model, recipe, step.seed, data.classes, data.fingerprint, votes=votes[1], teachers=digests)
    progress = Deadline(step.name, ends)
    train, valid = training_split(data), data.split("valid")
    soft_targets = training_targets(train, config, Sources(votes[0], networks), folder, alone, progress)
    valid_targets = validation_targets(valid, len(config.classes), votes[0])
    state = folder / f"{step.name}.last.pt"
    return fit(train, valid, config, start(config), soft_targets, valid_targets, alone, state, progress)


def _halved(found: RunResult) -> RunResult:
    weights = {name: value.to(torch.float16) if value.ndim > 1 else value for name, value in found.best.weights.items()}
    return replace(found, best=replace(found.best, weights=weights))


if __name__ == "__main__":
    main()
