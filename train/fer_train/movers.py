"""What moves the weights: Muon the convolutions' kernels, SGD-nesterov the few others; one cycle of rates for both."""

from typing import Any

import torch
from torch import Tensor, nn
from torch.optim.lr_scheduler import OneCycleLR

from fer_train.recipe import Recipe

SGD_RATE, SGD_MOMENTUM = 0.1, 0.9  # of norms, biases and head: SGD-nesterov's usual peak at a batch of 128


class Movers:
    """Both optimizers of a channels_last network, and their rates over `steps` steps.

    Muon (Jordan 2024, kellerjordan.github.io/posts/muon) makes each kernel's step an orthogonal matrix.
    share: of all rates, for a network that has been trained before.
    """

    def __init__(self, network: nn.Module, recipe: Recipe, steps: int, share: float = 1.0) -> None:
        # Each kernel, and the same memory seen as a matrix: torch's Muon takes nothing else.
        self._kernels = [(p, nn.Parameter(_matrix(p.detach()))) for p in network.parameters() if p.ndim == 4]
        others = [p for p in network.parameters() if p.ndim != 4]
        self._optimizers = (
            torch.optim.Muon(
                [matrix for _, matrix in self._kernels],
                lr=share * recipe.rate,
                momentum=recipe.momentum,
                weight_decay=recipe.weight_decay,
            ),
            torch.optim.SGD(others, lr=share * SGD_RATE, momentum=SGD_MOMENTUM, nesterov=True),
        )
        warmup = min(0.3, recipe.warmup_epochs / recipe.epochs)
        self._schedules = tuple(
            OneCycleLR(each, each.defaults["lr"], total_steps=steps, pct_start=warmup, cycle_momentum=False)
            for each in self._optimizers
        )

    @property
    def steps(self) -> int:
        """How many were made."""
        return int(self._schedules[0].last_epoch)

    def step(self) -> None:
        """Move all weights along their gradients, and forget these."""
        for kernel, matrix in self._kernels:
            assert kernel.grad is not None
            matrix.grad, kernel.grad = _matrix(kernel.grad), None
        for optimizer, schedule in zip(self._optimizers, self._schedules, strict=True):
            optimizer.step()
            schedule.step()
            optimizer.zero_grad(set_to_none=True)

    def state_dict(self) -> dict[str, Any]:
        """What `load_state_dict` takes."""
        return {
            "optimizers": [each.state_dict() for each in self._optimizers],
            "schedules": [each.state_dict() for each in self._schedules],
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from `state`."""
        for optimizer, kept in zip(self._optimizers, state["optimizers"], strict=True):
            optimizer.load_state_dict(kept)
        for schedule, kept in zip(self._schedules, state["schedules"], strict=True):
            schedule.load_state_dict(kept)


def _matrix(kernel: Tensor) -> Tensor:
    """[outputs, inputs, h, w] -> [outputs, h * w * inputs], without a copy where it lies channels last."""
    return kernel.permute(0, 2, 3, 1).flatten(1)
