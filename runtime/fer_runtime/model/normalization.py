"""Networks that fer-train did not make: what the options say of their labels and their input, checked once for all."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fer_runtime.errors import FerError

EXAMPLE_LABELS = "angry,disgust,fear,happy,neutral,sad,surprise"
MEAN_BOUNDS = (0.0, 255.0)  # of pixels of 0..255
STD_BOUNDS = (0.01, 1000.0)

Numbers = float | tuple[float, ...]  # one value for all channels, or one each


@dataclass(frozen=True)
class ForeignOptions:
    """What the options say of a foreign network; None, or empty, where nothing was said."""

    labels: tuple[str, ...] = ()
    """Class names, in the order of the network's outputs."""
    size: int | None = None
    """Side of its input in pixels."""
    colour: str | None = None
    """Of the faces it is fed: "grey" or "rgb"."""
    mean: tuple[float, ...] = ()
    """As in torchvision's Normalize, of pixels of 0..1, or of 0..255: one value, or one a channel."""
    std: tuple[float, ...] = ()
    """Standard deviation, in the same units as `mean`."""


@dataclass(frozen=True)
class Normalization:
    """(pixel - mean) / std, for pixels of 0..255."""

    mean: tuple[float, ...]
    """One value, or one a channel."""
    std: tuple[float, ...]
    """One value, or one a channel."""
    note: str
    """How the options were understood."""


def normalization(options: ForeignOptions, channels: int) -> Normalization:
    """The normalization of a network with `channels` input channels, from `--mean` and `--std`.

    Both count in pixels of 0..1, as after ToTensor, unless one is above 1: then of 0..255. Raises FerError for another
    number of values than 1 or `channels`, for values out of bounds, and where the two cannot be in the same units.
    """
    for name, values in (("--mean", options.mean), ("--std", options.std)):
        if values and len(values) not in (1, channels):
            raise FerError(f"{name} has {len(values)} values: expected one, or one for each of {channels} channels")
    mean, std = options.mean or (0.0,), options.std or (1.0,)
    unit = _unit(mean, std, stated=bool(options.std))
    for name, values, (low, high) in (("--mean", mean, MEAN_BOUNDS), ("--std", std, STD_BOUNDS)):
        if not all(low <= value * unit <= high for value in values):
            raise FerError(f"{name} is {typed(values)}: expected {low / unit:.2g} to {high / unit:g}")
    pixels = "0..255" if unit == 1 else "0..1, as after ToTensor"
    note = f"normalization: (pixel - {typed(mean)}) / {typed(std)} with pixels of {pixels}"
    return Normalization(_scaled(mean, unit), _scaled(std, unit), note)


def normalized(pixels: NDArray[np.uint8], mean: Numbers, std: Numbers) -> NDArray[np.float32]:
    """uint8 [n, c, h, w] -> float32 [n, c, h, w]: (pixel - mean) / std, of each channel.

    A grey picture (c = 1) with three values each becomes three channels.
    """
    per_channel_mean, per_channel_std = (np.array(value, np.float64).reshape(1, -1, 1, 1) for value in (mean, std))
    return ((pixels - per_channel_mean) / per_channel_std).astype(np.float32)


def check_labels(labels: tuple[str, ...]) -> None:
    """Raise FerError unless these are two or more different names."""
    if len(labels) < 2 or len(set(labels)) < len(labels) or not all(labels):
        found = ", ".join(labels) or "empty"
        raise FerError(f"the labels are {found}: expected two or more different names, {EXAMPLE_LABELS}")


def typed(values: tuple[float, ...]) -> str:
    """Numbers as they are typed on the command line."""
    return ",".join(f"{value:g}" for value in values)


def _unit(mean: tuple[float, ...], std: tuple[float, ...], *, stated: bool) -> float:
    """1 for values in pixels of 0..255, 255 for pixels of 0..1. Raises FerError where it may be either.

    stated: whether --std was given.
    """
    if max(*mean, *std) <= 1 or not all(np.isfinite([*mean, *std])):
        return 255.0
    if not stated:
        raise FerError(f"--mean {typed(mean)} is of pixels of 0..255: give their --std too")
    if 0 < max(mean) <= 1 or (max(mean) > 1 and max(std) < 1):
        raise FerError(
            f"--mean {typed(mean)} and --std {typed(std)} are in different units: give both for pixels of 0..1, or "
            "both for 0..255"
        )
    return 1.0


def _scaled(values: tuple[float, ...], unit: float) -> tuple[float, ...]:
    """In units of pixels 0..255; one value where all channels have the same."""
    scaled = tuple(value * unit for value in values)
    return scaled[:1] if len(set(scaled)) == 1 else scaled
