"""The training loop: SGD-nesterov, one cycle, an average of the weights, a checkpoint each epoch."""

import json
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from rich.progress import Progress
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel

from fer_runtime.dataset import Dataset, Faces, drop_copies
from fer_runtime.errors import FerError
from fer_runtime.files import written_whole
from fer_train.augment import augment
from fer_train.model import FerNet, build, normalize
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
        self.network = build(job.model, len(job.classes)).to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]  # torch's stub lacks this form
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
        with written_whole(path) as beside:
            torch.save(state, beside)

    def restore(self, path: Path, device: torch.device) -> None:
        """Continue from `path`. Raises FerError when it belongs to another job."""
        try:
            state = torch.load(path, map_location=device, weights_only=True)
            stored: dict[str, Any] = state["job"]
        except Exception as error:  # torch.load raises almost anything for a foreign file
            raise FerError(f"{path} is not a checkpoint of fer-train fit: remove it to start anew") from error
        ours = self.job.facts()
        differing = [key for key in ours if stored.get(key) != ours[key]]
        if differing:
            key = differing[0]
            raise FerError(
                f"{path} belongs to another run: its {key} is {stored.get(key)}, now {ours[key]}; "
                "give the same options and data, or another --out"
            )
        for name in ("network", "average", "optimizer", "schedule"):
            getattr(self, name).load_state_dict(state[name])
        self.history, self.best = state["history"], state["best"]

    def best_network(self) -> FerNet:
        """The averaged network of the best epoch, in eval mode, on the CPU."""
        network = FerNet(self.network.architecture)
        network.load_state_dict(self.best["weights"])
        return network.eval()


def fit(
    data: Dataset, model: str, recipe: Recipe, seed: int, device: torch.device, state: Path, progress: Progress
) -> Run:
    """Train on `data`'s train split, keep the epoch that is best on its valid split.

    `progress` shows the steps and prints a line an epoch. The state is written to the file `state` after each epoch
    and continued from there. Each epoch seeds torch's generator anew, so a resumed run equals an uninterrupted one (bit
    for bit on a CPU with the same threads).
    Raises FerError for a state of another run or a loss that is not finite.
    """
    train, valid = training_split(data), data.split("valid")
    if len(train) < 2:
        raise FerError(f"{len(train)} training images are left: expected at least two")
    if len(train) < recipe.batch:
        recipe = replace(recipe, batch=len(train))
    steps = len(train) // recipe.batch
    run = Run(Job(model, recipe, seed, data.classes, data.fingerprint), steps, device)
    if state.exists():
        run.restore(state, device)
        _print(progress, f"resuming after epoch {len(run.history)} of {recipe.epochs}")
    task = progress.add_task("training", total=recipe.epochs * steps, completed=len(run.history) * steps)
    pixels = torch.from_numpy(train.pixels).to(device)
    labels = torch.from_numpy(train.labels).to(device)
    for epoch in range(len(run.history) + 1, recipe.epochs + 1):
        torch.manual_seed(seed * 100_003 + epoch)
        loss, seen_right = _epoch(run, pixels, labels, lambda: progress.advance(task))
        if not np.isfinite(loss):
            raise FerError(f"the loss became {loss} in epoch {epoch}: lower the learning rate in the recipe")
        logits = predict(run.average.module, valid, device)
        right = float((logits.argmax(1) == torch.from_numpy(valid.labels)).double().mean())
        run.history.append({"epoch": epoch, "loss": loss, "train_accuracy": seen_right, "valid_accuracy": right})
        if right > run.best["accuracy"]:
            weights = {name: value.cpu().clone() for name, value in run.average.module.state_dict().items()}
            run.best = {"accuracy": right, "epoch": epoch, "weights": weights}
        run.save(state)
        left = progress.tasks[task].time_remaining or 0
        _print(
            progress,
            f"epoch {epoch:3}/{recipe.epochs}  loss {loss:.3f}  train {seen_right:6.2%}  valid {right:6.2%}"
            f"  left {left / 60:.0f} min",
        )
    return run


def _print(progress: Progress, line: str) -> None:
    progress.console.print(line, highlight=False, soft_wrap=True)


def training_split(data: Dataset) -> Faces:
    """Train without the images whose pixels stand in an evaluation split."""
    return drop_copies(data.split("train"), [faces for name, faces in data.splits.items() if name != "train"])


def predict(network: nn.Module, faces: Faces, device: torch.device) -> Tensor:
    """float32 logits [n, classes] on the CPU, in eval mode."""
    was_training = network.training
    network.eval()
    with torch.no_grad():
        chunks = torch.from_numpy(faces.pixels).split(512)
        logits = torch.cat([network(normalize(chunk.to(device))).float().cpu() for chunk in chunks])
    network.train(was_training)
    return logits


def _epoch(run: Run, pixels: Tensor, labels: Tensor, step: Callable[[], None]) -> tuple[float, float]:
    """One pass over the training faces in random order; mean loss and accuracy on the augmented faces."""
    recipe, device = run.job.recipe, pixels.device
    criterion = nn.CrossEntropyLoss(label_smoothing=recipe.label_smoothing)
    run.network.train()
    total = torch.zeros(2, device=device)
    batches = torch.randperm(len(pixels), device=device).split(recipe.batch)[: len(pixels) // recipe.batch]
    for index in batches:
        faces = normalize(augment(pixels[index], recipe.augmentation))
        with torch.autocast(device.type, torch.bfloat16, enabled=_bf16_pays(device)):
            logits = run.network(faces.contiguous(memory_format=torch.channels_last))
        loss = criterion(logits.float(), labels[index])
        run.optimizer.zero_grad(set_to_none=True)
        loss.backward()
        run.optimizer.step()
        run.schedule.step()
        run.average.update_parameters(run.network)
        step()
        total += torch.stack([loss.detach(), (logits.argmax(1) == labels[index]).float().mean()])
    mean = total / len(batches)
    return float(mean[0]), float(mean[1])


def _bf16_pays(device: torch.device) -> bool:
    """bfloat16 is 2-3 times faster where the hardware multiplies it, and slower where it is emulated."""
    if device.type == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    capabilities: dict[str, Any] = getattr(torch.cpu, "get_capabilities", dict)()  # torch 2.9 and later
    return bool(capabilities.get("avx512_bf16") or capabilities.get("amx_bf16"))


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
