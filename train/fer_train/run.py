"""Everything that changes while training, and its checkpoint."""

import json
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.optim.swa_utils import AveragedModel

from fer_runtime.errors import FerError
from fer_runtime.files import written_whole
from fer_train.model import FerNet, build
from fer_train.recipe import Recipe


@dataclass(frozen=True)
class Job:
    """What is trained on what; a run can be resumed only by an equal job."""

    model: str
    recipe: Recipe
    seed: int
    classes: tuple[str, ...]
    fingerprint: str  # of the dataset

    def facts(self) -> dict[str, Any]:
        """Plain data, as it is stored and compared."""
        plain: dict[str, Any] = json.loads(json.dumps(asdict(self)))  # tuples become lists, as in the file
        return plain


class Run:
    """Everything that changes while training, and its checkpoint."""

    def __init__(self, job: Job, steps_an_epoch: int, device: torch.device) -> None:
        torch.manual_seed(job.seed)
        recipe = job.recipe
        self.job = job
        self.network = build(job.model, len(job.classes)).to(device).to(memory_format=torch.channels_last)
        self.average = AveragedModel(self.network, use_buffers=True, multi_avg_fn=_ema(recipe.ema))
        groups: list[dict[str, Any]] = [
            {"params": [p for p in self.network.parameters() if p.ndim > 1]},
            {"params": [p for p in self.network.parameters() if p.ndim <= 1], "weight_decay": 0.0},
        ]
        self.optimizer = torch.optim.SGD(
            groups,
            lr=recipe.rate,
            momentum=recipe.momentum,
            nesterov=True,
            weight_decay=recipe.weight_decay,
        )
        self.schedule = torch.optim.lr_scheduler.OneCycleLR(
            self.optimizer,
            recipe.rate,
            total_steps=recipe.epochs * steps_an_epoch,
            pct_start=min(0.3, recipe.warmup_epochs / recipe.epochs),
            cycle_momentum=False,
        )
        self.history: list[dict[str, float]] = []
        self.best: dict[str, Any] = {"accuracy": -1.0, "epoch": 0, "weights": {}}

    def save(self, path: Path) -> None:
        """Write the whole state to `path`, whole or not at all."""
        state = {"job": self.job.facts(), "history": self.history, "best": self.best} | {
            name: getattr(self, name).state_dict() for name in ("network", "average", "optimizer", "schedule")
        }
        with written_whole(path) as beside, beside.open("wb") as file:
            torch.save(state, file)

    def restore(self, path: Path, device: torch.device) -> None:
        """Continue from `path`. Raises FerError when it belongs to another job."""
        try:
            state = torch.load(path, map_location=device, weights_only=True)
            _check_same(path, state["job"], self.job.facts())
            for name in ("network", "average", "optimizer", "schedule"):
                getattr(self, name).load_state_dict(state[name])
            self.history = [dict(row) for row in state["history"]]
            self.best = {key: state["best"][key] for key in self.best}
        except FerError:
            raise
        except Exception as error:  # torch.load and load_state_dict raise almost anything for a damaged file
            raise FerError(f"{path} is not a whole checkpoint of fer-train fit: remove it to start anew") from error

    def best_network(self) -> FerNet:
        """The averaged network of the best epoch, in eval mode, on the CPU."""
        network = FerNet(self.network.architecture)
        network.load_state_dict(self.best["weights"])
        return network.eval()


def _check_same(path: Path, stored: dict[str, Any], ours: dict[str, Any]) -> None:
    """Raise FerError, naming the first fact in which the stored job differs from ours."""
    stored, ours = ({**job, **job["recipe"], "recipe": None} for job in (stored, ours))
    for key, now in ours.items():
        if stored.get(key) != now:
            raise FerError(
                f"{path} belongs to another run: its {key} is {stored.get(key)}, now {now}; "
                "give the same options and data, or another --out"
            )


Tensors = tuple[Tensor, ...] | list[Tensor]


def _ema(decay: float) -> Callable[[Tensors, Tensors, Tensor | int], None]:
    """Exponential moving average whose horizon grows from the start, so that short runs are averaged too."""

    @torch.no_grad()
    def update(averaged: Tensors, current: Tensors, steps: Tensor | int) -> None:
        weight = 1 - min(decay, (1 + int(steps)) / (10 + int(steps)))
        if averaged[0].is_floating_point():
            torch._foreach_lerp_(averaged, current, weight)
        else:  # batch norm's counters
            torch._foreach_copy_(averaged, current)

    return update
