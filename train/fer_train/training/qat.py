"""Quantization-aware fine-tuning: a trained network is trained on while it rounds as the int8 file does."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize

from fer_runtime.data.dataset import Faces
from fer_runtime.errors import FerError
from fer_train.checkpoint import Ranges
from fer_train.data.augment import augment
from fer_train.data.batches import Batches, epoch_order
from fer_train.model import MEAN, STD, ConvNorm, FerNet, folded, normalize, sites
from fer_train.recipe import Recipe
from fer_train.training.soft_targets import SoftTargets


@dataclass(frozen=True)
class Tuning:
    """How long and how fast; batch, momentum, weight decay and augmentation are the recipe's."""

    epochs: int = 4
    rate: float = 0.002  # no batch norm is left to make up for a long step
    hold: float = 0.5  # share of the steps at `rate`; the others follow a cosine to zero

    def share(self, done: float) -> float:
        """The rate's share after `done` of the steps, 0 to 1."""
        return (1 + math.cos(math.pi * max(0.0, (done - self.hold) / (1 - self.hold)))) / 2


def tune(
    network: FerNet,
    ranges: Ranges,
    faces: Faces,
    soft_targets: SoftTargets,
    recipe: Recipe,
    seed: int,
    device: torch.device,
    step: Callable[[], None],
    how: Tuning = Tuning(),
    shares: tuple[float, ...] = (),
) -> FerNet:
    """The trained `network`, trained on with int8's weights and activations (`rounding`).

    ranges: the network's own (fer_train.ranges). They stay those of the result, which was trained within them. `step`
    is called ceil(n / batch) times per epoch. shares: as for `epoch_order`.
    Returns a network in eval mode on the CPU, its weights on int8's grid. Raises FerError when the loss is not finite.
    """
    rounded = rounding(network, ranges).to(device)
    batches = Batches(faces, device)
    groups: list[dict[str, Any]] = [
        {"params": [p for p in rounded.parameters() if p.ndim > 1], "weight_decay": recipe.weight_decay},
        {"params": [p for p in rounded.parameters() if p.ndim <= 1]},
    ]
    optimizer = torch.optim.SGD(groups, lr=how.rate, momentum=recipe.momentum, nesterov=True)
    steps = how.epochs * -(-len(faces) // recipe.batch)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda done: how.share(done / steps))
    torch.manual_seed(seed)
    for epoch in range(1, how.epochs + 1):
        numbers, targets = (each.to(device) for each in soft_targets.of(epoch, seed))
        total = torch.zeros((), device=device)
        for index, pixels in batches.of(list(epoch_order(faces, shares).split(recipe.batch))):
            views = normalize(augment(pixels, numbers[index], recipe.augmentation, network.architecture.size))
            logits = rounded(views.contiguous(memory_format=torch.channels_last))  # bfloat16 cannot tell 256 levels
            loss = nn.functional.cross_entropy(logits, targets[index, : logits.shape[1]])
            optimizer.zero_grad(set_to_none=True)
            loss.backward()
            optimizer.step()
            schedule.step()
            step()
            total += loss.detach()
        if not total.isfinite():
            raise FerError(f"the loss became {float(total)} in epoch {epoch} of tuning for int8: tune at a lower rate")
    return _unfolded(rounded.cpu())


def rounding(network: FerNet, ranges: Ranges) -> FerNet:
    """A folded copy of `network` that rounds where its int8 file does; gradients pass as if it did not.

    Jacob et al. 2018, arXiv:1712.05877. What goes straight into a ReLU is not rounded: the file does not store it.
    """
    rounded = folded(network).to(memory_format=torch.channels_last)
    rounded.register_forward_pre_hook(lambda _, inputs: _uint8(inputs[0], 1 / STD, MEAN))
    flow = entering = 1 / STD  # scale of what the next convolution takes, and of what its block took
    for name, module in list(sites(rounded)):
        entering = flow if name.endswith(".conv1") else entering
        if isinstance(module, nn.Conv2d):
            weights = _Weights()
            parametrize.register_parametrization(module, "weight", weights)
            parametrize.register_parametrization(
                module, "bias", _Bias(weights, entering if name.endswith(".shortcut") else flow)
            )
        if isinstance(module, nn.ReLU) or name.endswith((".conv2", ".shortcut")):
            scale, zero = _scale_and_zero(*ranges[name])
            module.register_forward_hook(lambda _, __, output, scale=scale, zero=zero: _uint8(output, scale, zero))
            flow = scale if isinstance(module, nn.ReLU) else flow
    return rounded


def _scale_and_zero(low: float, high: float) -> tuple[float, int]:
    """What onnxruntime's quantizer makes of an activation's range: value = scale * (q - zero), q of 0..255."""
    low, high = min(float(np.float32(low)), 0.0), max(float(np.float32(high)), 0.0)
    scale = (high - low) / 255
    return (scale, round(-low / scale)) if scale >= np.finfo(np.float32).tiny else (1.0, 0)


def _uint8(values: Tensor, scale: float, zero: int) -> Tensor:
    return torch.fake_quantize_per_tensor_affine(values, scale, zero, 0, 255)


class _Weights(nn.Module):
    """Weights on their int8 grid: symmetric, one scale per output channel, 7 bits (reduce_range: -64 to 64)."""

    def forward(self, weight: Tensor) -> Tensor:
        scale = weight.detach().abs().amax((1, 2, 3)) / 64
        self.scale = torch.where(scale < torch.finfo(scale.dtype).tiny, 1.0, scale)  # 1 for a channel that is dead
        zero = torch.zeros_like(scale, dtype=torch.int32)
        return torch.fake_quantize_per_channel_affine(weight, self.scale, zero, 0, -64, 64)


class _Bias(nn.Module):
    """Bias on the grid of the sums that it joins: the input's scale times the weights' of this forward pass."""

    def __init__(self, weights: _Weights, flow: float) -> None:
        super().__init__()
        self.weights, self.flow = weights, flow

    def forward(self, bias: Tensor) -> Tensor:
        step = self.flow * self.weights.scale
        return bias + ((bias / step).round() * step - bias).detach()


@torch.no_grad()
def _unfolded(rounded: FerNet) -> FerNet:
    """The form that checkpoints have: each rounded convolution's bias in a batch norm that does nothing else."""
    network = FerNet(rounded.architecture)
    network.head.load_state_dict(rounded.head.state_dict())
    for name, module in network.named_modules():
        if isinstance(module, ConvNorm):
            (conv, norm), source = module, rounded.get_submodule(name)
            assert isinstance(conv, nn.Conv2d)
            assert isinstance(norm, nn.BatchNorm2d)
            assert isinstance(source, nn.Conv2d)
            assert source.bias is not None
            conv.weight.copy_(source.weight)
            norm.bias.copy_(source.bias)
            norm.weight.fill_(math.sqrt(1 + norm.eps))  # over the root of its fresh variance, 1, and eps
    return network.eval()
