"""Everything that changes while training, and its checkpoint."""

import copy
import json
import math
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch

from fer_runtime.errors import FerError
from fer_runtime.files import written_whole
from fer_train.model import FerNet, build
from fer_train.recipe import Augmentation, Recipe


@dataclass(frozen=True)
class Job:
    """What is trained on what; a run can be resumed only by an equal job."""

    model: str
    recipe: Recipe
    seed: int
    classes: tuple[str, ...]
    fingerprint: str  # of the dataset
    votes: str = ""  # SHA-256 of the file, as the following ones
    teachers: tuple[str, ...] = ()
    init: str = ""

    def facts(self) -> dict[str, Any]:
        """Plain data, as it is stored and compared."""
        plain: dict[str, Any] = json.loads(json.dumps(asdict(self)))  # tuples become lists, as in the file
        return plain


@dataclass(frozen=True)
class Outcome:
    """What a run has come to. history: a row an epoch; best: accuracy, epoch and averaged weights of the best one."""

    job: Job
    history: list[dict[str, float]]
    best: dict[str, Any]

    def network(self) -> FerNet:
        """The averaged network of the best epoch, in eval mode, on the CPU."""
        classes, weights = len(self.job.classes), dict(self.best["weights"])
        weights |= {name: weights[name][:classes] for name in ("head.weight", "head.bias")}
        network = build(self.job.model, classes)
        network.load_state_dict(weights)
        return network.eval()

    def save(self, path: Path) -> None:
        """Write it to `path`, whole or not at all: what `outcome` reads, without what resuming needs."""
        with written_whole(path) as beside, beside.open("wb") as file:
            torch.save({"job": self.job.facts(), "history": self.history, "best": self.best}, file)


def outcome(path: Path) -> Outcome:
    """What the run whose state is `path` has come to so far. Raises FerError."""
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
        found = Outcome(
            _job(state["job"]),
            [dict(row) for row in state["history"]],
            dict(state["best"]),
        )
        found.network()
    except Exception as error:  # torch.load and load_state_dict raise almost anything
        raise _damaged(path) from error
    return found


class Run:
    """Everything that changes while training, and its checkpoint.

    history: a row an epoch; best: the epoch with the highest validation accuracy and its averaged weights.
    """

    def __init__(self, job: Job, network: FerNet, steps_an_epoch: int) -> None:
        recipe = job.recipe
        self.job = job
        self.network = network.to(memory_format=torch.channels_last)
        self.average = copy.deepcopy(self.network).requires_grad_(False)
        groups: list[dict[str, Any]] = [
            {"params": [p for p in self.network.parameters() if p.ndim > 1]},
            {"params": [p for p in self.network.parameters() if p.ndim <= 1], "weight_decay": 0.0},
        ]
        rate = recipe.rate * (recipe.init_rate if job.init else 1)
        self.optimizer = torch.optim.SGD(
            groups, lr=rate, momentum=recipe.momentum, nesterov=True, weight_decay=recipe.weight_decay
        )
        self.schedule = torch.optim.lr_scheduler.OneCycleLR(
            self.optimizer,
            rate,
            total_steps=recipe.epochs * steps_an_epoch,
            pct_start=min(0.3, recipe.warmup_epochs / recipe.epochs),
            cycle_momentum=False,
        )
        self.history: list[dict[str, float]] = []
        self.best: dict[str, Any] = {"accuracy": -1.0, "epoch": 0, "weights": {}}

    @torch.no_grad()
    def step(self) -> None:
        """Move the weights along their gradients, and their exponential average after them."""
        self.optimizer.step()
        self.schedule.step()
        steps = self.schedule.last_epoch  # the horizon grows from the start, so that short runs are averaged too
        weight = 1 - min(self.job.recipe.ema, steps / (9 + steps))
        averaged, current = (
            [value for value in network.state_dict().values() if value.is_floating_point()]
            for network in (self.average, self.network)
        )
        torch._foreach_lerp_(averaged, current, weight)

    def record(self, row: dict[str, float]) -> None:
        """Add an epoch's row to the history, and keep its weights when it is the best so far."""
        best = max(map(self._merit, self.history), default=-math.inf)
        self.history.append(row)
        if self._merit(row) > best:
            weights = {name: value.cpu().clone() for name, value in self.average.state_dict().items()}
            self.best = {"accuracy": row["valid_accuracy"], "epoch": row["epoch"], "weights": weights}

    def _merit(self, row: dict[str, float]) -> float:
        """What an epoch is chosen for: the validation accuracy, or with votes their likelihood, which varies less."""
        return -row["valid_log_loss"] if self.job.votes else row["valid_accuracy"]

    def save(self, path: Path) -> None:
        """Write the whole state to `path`, whole or not at all."""
        state = {"job": self.job.facts(), "history": self.history, "best": self.best} | {
            name: getattr(self, name).state_dict() for name in ("network", "average", "optimizer", "schedule")
        }
        with written_whole(path) as beside, beside.open("wb") as file:
            torch.save(state, file)

    def read(self, path: Path) -> dict[str, Any]:
        """The state in `path`, for `restore`. Raises FerError when it is damaged or belongs to another job."""
        try:
            state: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
            _check_same(path, _job(state["job"]).facts(), self.job.facts())
        except FerError:
            raise
        except Exception as error:  # torch.load raises almost anything for a damaged file
            raise _damaged(path) from error
        return state

    def restore(self, state: dict[str, Any], path: Path) -> None:
        """Continue from what `read` gave. Raises FerError when parts are missing."""
        try:
            for name in ("network", "average", "optimizer", "schedule"):
                getattr(self, name).load_state_dict(state[name])
            self.history = [dict(row) for row in state["history"]]
            self.best = {key: state["best"][key] for key in self.best}
        except Exception as error:  # load_state_dict raises almost anything
            raise _damaged(path) from error

    def outcome(self) -> Outcome:
        """What it has come to so far."""
        return Outcome(self.job, self.history, self.best)


def _job(facts: dict[str, Any]) -> Job:
    """The job that `Job.facts` described; parts that it did not have yet are as by default."""
    recipe = dict(facts["recipe"])
    if "balanced" in recipe:  # until 0.6 the mix was always the labels'
        recipe["balance"] = "labels" if recipe.pop("balanced") else "none"
    varied = recipe["augmentation"]
    varied = Augmentation(**varied | {"erase_side": tuple(varied["erase_side"])})
    listed = {"classes": tuple(facts["classes"]), "teachers": tuple(facts["teachers"])}
    return Job(**facts | listed | {"recipe": Recipe(**recipe | {"augmentation": varied})})


def _damaged(path: Path) -> FerError:
    return FerError(f"{path} is not a whole checkpoint of fer-train fit: remove it to start anew")


def _check_same(path: Path, stored: dict[str, Any], ours: dict[str, Any]) -> None:
    """Raise FerError, naming the first fact in which the stored job differs from ours."""
    stored, ours = ({**job, **job["recipe"], "recipe": None} for job in (stored, ours))
    for key, now in ours.items():
        if stored.get(key) != now:
            raise FerError(
                f"{path} belongs to another run: its {key} is {stored.get(key)}, now {now}; "
                "give the same options and data, or another --out"
            )
