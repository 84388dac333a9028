"""Everything that changes while training, and its checkpoint."""

import copy
import json
import math
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from fer_runtime.errors import FerError
from fer_runtime.files import written_whole
from fer_train.model import FerNet, build
from fer_train.recipe import Augmentation, Recipe


@dataclass(frozen=True)
class RunConfig:
    """What is trained on what; a run can be resumed only with an equal configuration."""

    model: str
    recipe: Recipe
    seed: int
    classes: tuple[str, ...]
    fingerprint: str  # of the dataset
    votes: str = ""  # SHA-256 of the file, as the following ones
    teachers: tuple[str, ...] = ()
    init: str = ""
    unlabelled: str = ""  # fingerprint of the transfer set
    renamed: tuple[str, ...] = ()  # as in Dataset
    shares: tuple[float, ...] = ()  # of each of several data sets in an epoch; empty: every face once

    def facts(self) -> dict[str, object]:
        """Plain data, as it is stored."""
        plain: dict[str, object] = json.loads(json.dumps(asdict(self)))  # tuples become lists, as in the file
        return plain


@dataclass(frozen=True)
class Tuned:
    """Accuracies of the int8 network on the validation split, and whether tuning for int8 was kept."""

    int8_before: float
    int8_after: float
    kept: bool


@dataclass(frozen=True)
class BestEpoch:
    """The best epoch so far."""

    accuracy: float = -1.0
    """On the validation split."""
    epoch: int = 0
    weights: dict[str, Tensor] = field(default_factory=dict)
    """Averaged."""
    qat: Tuned | None = None
    """What tuning for int8 came to, where it was asked for."""

    def plain(self) -> dict[str, object]:
        """As it is stored."""
        tuned = {"qat": asdict(self.qat)} if self.qat else {}
        return {"accuracy": self.accuracy, "epoch": self.epoch, "weights": self.weights} | tuned


@dataclass(frozen=True)
class RunResult:
    """What a run has come to."""

    config: RunConfig
    history: list[dict[str, float]]
    """One row per epoch."""
    best: BestEpoch

    def network(self) -> FerNet:
        """The averaged network of the best epoch, in eval mode, on the CPU."""
        classes, weights = len(self.config.classes), dict(self.best.weights)
        weights |= {name: weights[name][:classes] for name in ("head.weight", "head.bias")}
        network = build(self.config.model, classes)
        network.load_state_dict(weights)
        return network.eval()

    def save(self, path: Path) -> None:
        """Write it to `path`, whole or not at all: what `read_result` reads, without what resuming needs."""
        with written_whole(path) as beside, beside.open("wb") as file:
            torch.save({"job": self.config.facts(), "history": self.history, "best": self.best.plain()}, file)


def read_result(path: Path) -> RunResult:
    """The result so far of the run whose state is `path`. Raises FerError."""
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
        found = RunResult(
            _config(state["job"]),
            [dict(row) for row in state["history"]],
            _best(state["best"]),
        )
        found.network()
    except Exception as error:  # torch.load and load_state_dict raise almost anything
        raise _damaged(path) from error
    return found


class Run:
    """Everything that changes while training, and its checkpoint. Attribute history: one row per epoch."""

    def __init__(self, config: RunConfig, network: FerNet, steps_an_epoch: int) -> None:
        recipe = config.recipe
        self.config = config
        self.network = network.to(memory_format=torch.channels_last)
        self.average = copy.deepcopy(self.network).requires_grad_(False)
        decayed, others = ([p for p in self.network.parameters() if (p.ndim > 1) == many] for many in (True, False))
        rate = recipe.rate * (recipe.init_rate if config.init else 1)
        groups: list[dict[str, Any]] = [{"params": decayed}, {"params": others, "weight_decay": 0.0}]
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
        self.best = BestEpoch()

    @torch.no_grad()
    def step(self) -> None:
        """Move the weights along their gradients, and their exponential average after them."""
        self.optimizer.step()
        self.schedule.step()
        steps = self.schedule.last_epoch  # the horizon grows from the start, so that short runs are averaged too
        weight = 1 - min(self.config.recipe.ema, steps / (9 + steps))
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
            self.best = BestEpoch(row["valid_accuracy"], int(row["epoch"]), weights)

    def _merit(self, row: dict[str, float]) -> float:
        """What an epoch is chosen for: the validation accuracy, or with votes their likelihood, which varies less."""
        return -row["valid_log_loss"] if self.config.votes else row["valid_accuracy"]

    def save(self, path: Path) -> None:
        """Write the whole state to `path`, whole or not at all."""
        state = {"job": self.config.facts(), "history": self.history, "best": self.best.plain()} | {
            name: getattr(self, name).state_dict() for name in ("network", "average", "optimizer", "schedule")
        }
        with written_whole(path) as beside, beside.open("wb") as file:
            torch.save(state, file)

    def read(self, path: Path) -> dict[str, Any]:
        """The state in `path`, for `restore`. Raises FerError when it is damaged or of another configuration."""
        try:
            state: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
            _check_same(path, _config(state["job"]), self.config)
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
            self.best = _best(state["best"])
        except Exception as error:  # load_state_dict raises almost anything
            raise _damaged(path) from error

    def result(self) -> RunResult:
        """The result so far."""
        return RunResult(self.config, self.history, self.best)


def _config(facts: dict[str, Any]) -> RunConfig:
    """The configuration that `RunConfig.facts` described; parts that it did not have yet have their defaults."""
    recipe = dict(facts["recipe"])
    if "balanced" in recipe:  # until 0.6 the mix was always the labels'
        recipe["balance"] = "labels" if recipe.pop("balanced") else "none"
    varied: dict[str, Any] = recipe["augmentation"]
    varied = {name: tuple(bound) if isinstance(bound, list) else bound for name, bound in varied.items()}
    listed = {name: tuple(facts.get(name, ())) for name in ("classes", "teachers", "renamed", "shares")}
    return RunConfig(**facts | listed | {"recipe": Recipe(**recipe | {"augmentation": Augmentation(**varied)})})


def _best(facts: dict[str, Any]) -> BestEpoch:
    """What `BestEpoch.plain` described."""
    qat = Tuned(**facts["qat"]) if facts.get("qat") else None
    return BestEpoch(facts["accuracy"], facts["epoch"], dict(facts["weights"]), qat)


def _damaged(path: Path) -> FerError:
    return FerError(f"{path} is not a whole checkpoint of fer-train fit: remove it to start anew")


def _check_same(path: Path, stored: RunConfig, ours: RunConfig) -> None:
    """Raise FerError, naming the first fact in which the stored configuration differs from ours."""
    then, now = ({**vars(config), **vars(config.recipe), "recipe": None} for config in (stored, ours))
    for key, value in now.items():
        if then[key] != value:
            raise FerError(
                f"{path} belongs to another run: its {key} is {then[key]}, now {value}; "
                "give the same options and data, or another --out"
            )
