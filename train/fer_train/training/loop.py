"""The training loop: SGD-nesterov, one cycle, an average of the weights, a checkpoint each epoch."""

import time
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from fer_runtime.data.dataset import UNLABELLED, Faces
from fer_runtime.errors import FerError
from fer_train.checkpoint import Checkpoint
from fer_train.data.augment import augment
from fer_train.data.batches import Batches, epoch_order
from fer_train.inference import predict
from fer_train.model import FerNet, build, macs, normalize
from fer_train.training.distributed import Group
from fer_train.training.precision import autocast
from fer_train.training.progress_callback import ProgressCallback
from fer_train.training.soft_targets import SoftTargets, ValidationTargets, aligned
from fer_train.training.state import Run, RunConfig, RunResult


@dataclass(frozen=True)
class EpochInputs:
    """What every epoch needs. labels: int64 [n], on the device, or UNLABELLED; forward: network or DDP."""

    faces: Faces
    batches: Batches
    soft_targets: SoftTargets
    labels: Tensor
    forward: nn.Module


def fit(
    train: Faces,
    valid: Faces,
    config: RunConfig,
    network: FerNet,
    soft_targets: SoftTargets,
    valid_targets: ValidationTargets,
    group: Group,
    state: Path,
    progress: ProgressCallback,
) -> RunResult:
    """Train `network` on `train`, keep the epoch that is best on `valid`, by `valid_targets`.

    The state is written to the file `state` after each epoch and continued from there. Whatever is random in an epoch
    follows from the seed and its number, so a resumed run equals an uninterrupted one (bit for bit on a CPU with the
    same threads).
    Raises FerError for a state of another run, a loss that is not finite, or a batch that cannot be shared out.
    """
    config = replace(config, recipe=replace(config.recipe, batch=_batch(config, train, group)))
    recipe = config.recipe
    steps = len(train) // recipe.batch
    run = Run(config, network.to(group.device), steps)
    started = time.monotonic()
    if found := group.agreed(run.read(state) if group.first and state.exists() else None):
        run.restore(found, state)
        progress.say(f"resuming after epoch {len(run.history)} of {recipe.epochs}")
    progress.begin("training", recipe.epochs * steps, len(run.history) * steps)
    labels = torch.from_numpy(train.labels)
    if config.votes:  # the training accuracy is that of the class with most votes
        voted = soft_targets.views[0, :, : len(config.classes)].argmax(1)
        labels = torch.where(labels == UNLABELLED, labels, voted)
    batches = Batches(train, group.device)
    inputs = EpochInputs(train, batches, soft_targets, labels.to(group.device), group.parallel(run.network))
    spent = run.history[-1] if run.history else {"seconds": 0.0, "pflop": 0.0}
    # Forward and backward are three passes of two operations a multiply-add.
    pflop = 6 * macs(run.network) * steps * recipe.batch / 1e15
    for epoch in range(len(run.history) + 1, recipe.epochs + 1):
        side = _side(run, epoch)
        loss, seen_right = _epoch(run, inputs, epoch, side, group, progress)
        if not np.isfinite(loss):
            raise FerError(f"the loss became {loss} in epoch {epoch}: lower the learning rate in the recipe")
        if not group.first:
            continue
        logits = predict(run.average, valid.pixels, group.device)[:, : len(config.classes)]
        right, surprise = valid_targets.accuracy(logits), valid_targets.log_loss(logits)
        by_source = valid_targets.accuracies(logits) if valid_targets.names else {}
        spent = {
            "seconds": round(spent["seconds"] + time.monotonic() - started, 1),
            "pflop": spent["pflop"] + pflop * (side / run.network.architecture.size) ** 2,
        }
        started = time.monotonic()
        run.record(
            {
                "epoch": epoch,
                "loss": loss,
                "train_accuracy": seen_right,
                "valid_accuracy": right,
                "valid_log_loss": surprise,
            }
            | spent
            | {f"valid_accuracy {name}": accuracy for name, accuracy in by_source.items()}
        )
        run.save(state)
        progress.say(
            f"epoch {epoch:3}/{recipe.epochs}  loss {loss:.3f}  train {seen_right:6.2%}  valid {right:6.2%}"
            + "".join(f" ({name} {accuracy:.2%})" for name, accuracy in by_source.items())
            + f"  log loss {surprise:.3f}  {spent['seconds'] / 60:.1f} min  {spent['pflop']:.3f} PFLOP"
        )
    return run.result()


def start(config: RunConfig, init: Checkpoint | None = None) -> FerNet:
    """A fresh network for `config`, or a trained one, with a fresh head where the classes are others, in any order.

    Raises FerError for a trained network of another size.
    """
    torch.manual_seed(config.seed)
    network = build(config.model, len(config.classes) * (2 if config.recipe.label_share else 1))
    if init is None:
        return network
    same = sorted(init.manifest.labels) == sorted(config.classes)
    trained = (aligned(init, config.classes) if same else init.network).state_dict()
    if not same or config.recipe.label_share:
        trained |= {name: value for name, value in network.state_dict().items() if name.startswith("head.")}
    try:
        network.load_state_dict(trained)
    except RuntimeError as error:
        name = init.manifest.architecture.get("name")
        raise FerError(f"--init is a network of size {name}: expected {config.model}; give --model {name}") from error
    return network


def _batch(config: RunConfig, train: Faces, group: Group) -> int:
    """The recipe's batch, or all faces where there are fewer. Raises FerError."""
    if len(train) < 2 * group.world:
        raise FerError(f"{len(train)} training images are left: expected at least two for each process")
    batch = min(config.recipe.batch, len(train) // group.world * group.world)
    if batch % group.world:
        raise FerError(f"a batch of {batch} faces cannot be shared by {group.world} processes: start 2, 4 or 8")
    return batch


def _side(run: Run, epoch: int) -> int:
    """The side in pixels at which `epoch` (from 1) shows the faces."""
    recipe, side = run.config.recipe, run.network.architecture.size
    low = epoch <= recipe.low_share * recipe.epochs and not run.config.init  # a trained network starts where others end
    return round(side * recipe.low_side) if low else side


def _epoch(
    run: Run, inputs: EpochInputs, epoch: int, side: int, group: Group, progress: ProgressCallback
) -> tuple[float, float]:
    """One pass over the training faces in random order; mean loss, and accuracy on the augmented faces with a label."""
    recipe = run.config.recipe
    generator = torch.Generator().manual_seed(run.config.seed * 100_003 + epoch)
    order = epoch_order(inputs.faces, run.config.shares, generator).split(recipe.batch)
    shards = [group.shard(batch) for batch in order if len(batch) == recipe.batch]
    numbers, soft_targets = (each.to(group.device) for each in inputs.soft_targets.of(epoch, run.config.seed))
    run.network.train()
    total = torch.zeros(3, device=group.device)
    for index, pixels in inputs.batches.of(shards):
        faces = normalize(augment(pixels, numbers[index], recipe.augmentation, side))
        with autocast(group.device):
            logits = inputs.forward(faces.contiguous(memory_format=torch.channels_last))
        heads = logits.float().unflatten(1, (-1, len(run.config.classes)))
        loss = -(soft_targets[index] * heads.log_softmax(2).flatten(1)).sum(1).mean()
        run.optimizer.zero_grad(set_to_none=True)
        loss.backward()
        run.step()
        progress.advance()
        labels = inputs.labels[index]
        total += torch.stack([loss.detach(), (heads[:, 0].argmax(1) == labels).sum(), (labels != UNLABELLED).sum()])
    loss_sum, right, known = group.mean(total).tolist()
    return loss_sum / len(shards), right / max(known, 1)
