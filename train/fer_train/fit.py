"""The training loop: SGD-nesterov, one cycle, an average of the weights, a checkpoint each epoch."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from rich.progress import Progress
from torch import Tensor, nn

from fer_runtime.dataset import Dataset, Faces, drop_copies
from fer_runtime.errors import FerError
from fer_train.augment import augment
from fer_train.model import normalize
from fer_train.recipe import Recipe
from fer_train.run import Job, Run


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
        loss, seen_right = _epoch(run, pixels, labels, _side(recipe, epoch, train), lambda: progress.advance(task))
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


def _side(recipe: Recipe, epoch: int, faces: Faces) -> int:
    """The side in pixels at which `epoch` (from 1) shows the faces."""
    side = faces.pixels.shape[-1]
    return round(side * recipe.low_side) if epoch <= recipe.low_share * recipe.epochs else side


def _epoch(run: Run, pixels: Tensor, labels: Tensor, side: int, step: Callable[[], None]) -> tuple[float, float]:
    """One pass over the training faces in random order; mean loss and accuracy on the augmented faces."""
    recipe, device = run.job.recipe, pixels.device
    criterion = nn.CrossEntropyLoss(label_smoothing=recipe.label_smoothing)
    run.network.train()
    total = torch.zeros(2, device=device)
    batches = torch.randperm(len(pixels), device=device).split(recipe.batch)[: len(pixels) // recipe.batch]
    for index in batches:
        faces = normalize(augment(pixels[index], recipe.augmentation, side))
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
    """bfloat16 is faster (1.4 times on a Zen 4 core) where the hardware multiplies it, slower where it is emulated."""
    if device.type == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    capabilities: dict[str, Any] = getattr(torch.cpu, "get_capabilities", dict)()  # torch 2.9 and later
    return bool(capabilities.get("avx512_bf16") or capabilities.get("amx_bf16"))
