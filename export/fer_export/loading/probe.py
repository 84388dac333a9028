"""A foreign network tried on faces before it is exported: what input it takes, and whether one face has one answer."""

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.parameter import is_lazy

from fer_export.loading.errors import reason
from fer_runtime.errors import FerError

ALONE, BATCH = 1, 64  # faces in a batch: what is proved later
OTHER_BATCHES = (2, 4, 8, 10, 16, 20, 32, 50, 100, 128, 256)
OTHER_SIZES = (28, 32, 36, 40, 42, 44, 48, 56, 60, 64, 75, 80, 96, 100, 112, 120, 128, 160, 192, 224, 227, 256, 299)
MAX_CHANGE = 1e-3  # of max(1, |logit|), between two answers to one face; rounding stays far below
MAX_MIXED = 1e-2  # between a face alone and among others: other kernels, and networks that amplify rounding

Network = Callable[[Tensor], Any]


def faces(count: int, channels: int, size: int) -> Tensor:
    """Noise of another contrast and brightness in each, float32 [count, channels, size, size]; always the same."""
    generator = torch.Generator().manual_seed(0)
    contrast, brightness = torch.rand(2, count, 1, 1, 1, generator=generator)
    noise = torch.randn(count, channels, size, size, generator=generator)
    varied: Tensor = noise * (0.3 + contrast) + 2 * brightness - 1
    return varied


def channels(path: Path, network: nn.Module, size: int) -> int:
    """How many channels the network takes, 1 or 3: those of its first convolution, or what it runs on.

    Raises FerError with the reason where it runs on neither.
    """
    declared = _declared_channels(network)
    if declared not in (None, 1, 3):
        raise FerError(f"{path} takes {declared} channels: expected 1 (grey) or 3 (rgb)")
    candidates = list(dict.fromkeys([declared or 1, 1, 3]))
    for count in candidates:
        if all(_error(network, faces(batch, count, size)) is None for batch in (BATCH, ALONE)):
            return count
    raise FerError(_why(path, network, candidates, size))


def check(path: Path, network: Network, tried: Tensor) -> Tensor:
    """The logits of `tried` [n, c, h, w], once they are finite, repeatable, and each face's own. Raises FerError."""
    first, again, alone = _ask(path, network, tried), _ask(path, network, tried), _ask(path, network, tried[:1])
    if not first.isfinite().all():
        raise FerError(f"{path} gives numbers that are not finite")
    if (change := _difference(first, again)) > MAX_CHANGE:
        raise FerError(
            f"{path} gives other outputs each time for the same faces (by {change:.2g}): something in its forward is "
            "random or counts, such as F.dropout without training=self.training; make it a module, nn.Dropout, which "
            "eval() switches off"
        )
    if (change := _difference(first[:1], alone)) > MAX_MIXED:
        raise FerError(
            f"{path} gives a face other outputs alone than among others (by {change:.2g}): its forward mixes the "
            "faces of a batch, such as a batch norm with track_running_stats=False, a softmax over dimension 0, or an "
            "if that looks at all of them"
        )
    return first


def _ask(path: Path, network: Network, tried: Tensor) -> Tensor:
    try:
        with torch.no_grad():
            found: Tensor = network(tried)
    except Exception as error:  # whatever the network raises
        raise FerError(f"{path} fails on {len(tried)} faces at once ({reason(error)})") from error
    return found


def _difference(first: Tensor, second: Tensor) -> float:
    return float(((first - second).abs() / first.abs().clamp_min(1)).nan_to_num(0).max())


def _declared_channels(network: nn.Module) -> int | None:
    """Of the first convolution, by its weights: a lazy one's in_channels stays 0 until it has run."""
    convolutions = (module for module in network.modules() if isinstance(module, nn.Conv2d))
    first = next(convolutions, None)
    if first is None or is_lazy(first.weight):
        return None
    return int(first.weight.shape[1] * first.groups)


def _error(network: Network, tried: Tensor) -> Exception | None:
    """What it raises for these faces."""
    try:
        with torch.no_grad():
            network(tried)
    except Exception as error:  # noqa: BLE001 - whatever the network raises
        return error
    return None


def _first_that_runs(network: Network, trials: Iterable[tuple[int, int, int]]) -> tuple[int, int, int] | None:
    """The first (batch, channels, size) that raises nothing."""
    return next((trial for trial in trials if _error(network, faces(*trial)) is None), None)


def _why(path: Path, network: nn.Module, candidates: list[int], size: int) -> str:
    """The sentence for a network that does not run on batches of 64 and 1 faces of this size."""
    batches = _first_that_runs(network, ((batch, candidates[0], size) for batch in (BATCH, ALONE, *OTHER_BATCHES)))
    if batches is not None:
        works, fails = batches[0], ALONE if batches[0] == BATCH else BATCH
        error = _error(network, faces(fails, candidates[0], size))
        assert error is not None
        return (
            f"{path} takes {works} face{'s' * (works > 1)} at once and not {fails} ({reason(error)}): its forward "
            "fixes the batch; write x.flatten(1), or x.view(x.size(0), -1), in place of sizes that include the batch"
        )
    error = _error(network, faces(BATCH, candidates[0], size))
    assert error is not None
    fails_on = f"{path} fails on {candidates[0]}x{size}x{size} faces ({reason(error)})"
    other = _first_that_runs(network, ((2, count, side) for side in OTHER_SIZES for count in candidates))
    if other is not None:
        return f"{fails_on}: it takes {other[1]}x{other[2]}x{other[2]}; give --size {other[2]}"
    return f"{fails_on}, and at all other sizes: its forward must take [batch, channels, size, size] and nothing else"
