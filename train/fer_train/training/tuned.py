"""Quantization-aware training as a phase of `fer-train fit --qat` after a finished run, and its gate."""

from dataclasses import replace

import torch
from torch import Tensor

from fer_runtime.data.dataset import Faces
from fer_train.checkpoint import Ranges
from fer_train.inference import predict
from fer_train.model import FerNet
from fer_train.ranges import activation_ranges
from fer_train.training.progress_callback import ProgressCallback
from fer_train.training.qat import Tuning, rounding, tune
from fer_train.training.soft_targets import SoftTargets, ValidationTargets
from fer_train.training.state import RunResult, Tuned

SPREAD = 0.004  # what a gain must exceed: fer-nano's int8 accuracy moved so far between four sets of calibration faces


def tuned(
    run: RunResult,
    train: Faces,
    valid: Faces,
    soft_targets: SoftTargets,
    valid_targets: ValidationTargets,
    device: torch.device,
    progress: ProgressCallback,
) -> tuple[RunResult, Ranges | None]:
    """The run with its network tuned for int8, and the ranges it was tuned with; as it was, and None, if that lost.

    train, soft_targets: as it was trained. Both are compared as int8 on `valid`, by `valid_targets`.
    Raises FerError for a loss not finite.
    """
    network, recipe = run.network(), run.config.recipe
    ranges = activation_ranges(network, train)
    progress.begin("tuning for int8", Tuning.epochs * -(-len(train) // recipe.batch), 0)
    candidate = tune(
        network,
        ranges,
        train,
        soft_targets,
        recipe,
        run.config.seed,
        device,
        progress.advance,
        shares=run.config.shares,
    )
    before, after = (valid_targets.accuracy(_int8_logits(each, ranges, valid)) for each in (network, candidate))
    kept = after > before + SPREAD
    progress.say(f"tuning for int8: {before:.2%} before, {after:.2%} after: {'kept' if kept else 'not kept'}")
    weights = candidate.state_dict() if kept else run.best.weights
    best = replace(run.best, qat=Tuned(round(before, 5), round(after, 5), kept), weights=weights)
    return replace(run, best=best), ranges if kept else None


def _int8_logits(network: FerNet, ranges: Ranges, faces: Faces) -> Tensor:
    """The logits that the int8 file will have, float32 [n, classes]."""
    return predict(rounding(network, ranges), faces.pixels)
