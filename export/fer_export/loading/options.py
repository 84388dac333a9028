"""What the options say of a network that fer-train did not make: its labels, its normalization, how they are typed."""

import shlex
from dataclasses import dataclass, fields
from pathlib import Path

from fer_runtime.data import index
from fer_runtime.errors import FerError

EXAMPLE = "angry,disgust,fear,happy,neutral,sad,surprise"

Pixels = float | tuple[float, ...]  # of 0..255: one value for all channels, or one each


@dataclass(frozen=True)
class Given:
    """None, or empty, where nothing was said.

    mean, std: of one channel or each, as in torchvision's Normalize; data: whose classes are the labels, if not given.
    """

    arch: str | None = None
    labels: tuple[str, ...] = ()
    size: int | None = None
    mean: tuple[float, ...] = ()
    std: tuple[float, ...] = ()
    colour: str | None = None
    unsafe_pickle: bool = False
    data: Path | None = None

    def named(self) -> list[str]:
        """The options that were given, as they are typed; --data is for all kinds of networks."""
        return [f"--{f.name.replace('_', '-')}" for f in fields(self) if f.name != "data" and getattr(self, f.name)]

    def command(self, file: str | Path, *more: str) -> str:
        """What to type for `file`: `more`, then the facts that were given, with an example for missing labels."""
        words = ["fer-export", str(file), *more]
        if self.labels or self.data is None:
            words += ["--labels", ",".join(self.labels) or EXAMPLE]
        if self.data is not None:
            words += ["--data", str(self.data)]
        for name in ("size", "mean", "std", "colour"):
            if value := getattr(self, name):
                words += [f"--{name}", ",".join(f"{v:g}" for v in value) if isinstance(value, tuple) else str(value)]
        return shlex.join(words)


def labels(path: Path, given: Given) -> tuple[tuple[str, ...], list[str]]:
    """The class names and what to tell of them. Raises FerError where there are none, or one is there twice."""
    names, notes = given.labels, []
    if not names:
        if given.data is None:
            raise FerError(f"{path} carries no class names: give --labels, in the order of its outputs, or --data")
        with index.opened(given.data) as entries:
            names = tuple(sorted({entry.label for entry in entries}))
        notes = [f"labels: {', '.join(names)}, the classes of {given.data.name} in ImageFolder's order"]
    if len(names) < 2 or len(set(names)) < len(names) or not all(names):
        raise FerError(f"the labels are {', '.join(names) or 'empty'}: expected two or more different names, {EXAMPLE}")
    return names, notes


def normalization(given: Given, channels: int) -> tuple[Pixels, Pixels, str]:
    """Mean and deviation in units of the pixels, 0..255, and what to tell of them. Raises FerError."""
    for name, values in (("--mean", given.mean), ("--std", given.std)):
        if values and len(values) not in (1, channels):
            raise FerError(f"{name} has {len(values)} values: expected one, or one for each of {channels} channels")
    mean, std = given.mean or (0.0,), given.std or (1.0,)
    in_pixels = max(*mean, *std) > 1
    if in_pixels and not given.std:
        raise FerError(f"--mean {_typed(mean)} is of pixels of 0..255: give their --std too")
    unit = 1.0 if in_pixels else 255.0
    for name, values, low, high in (("--mean", mean, 0.0, 255.0), ("--std", std, 0.01, 1000.0)):
        if not all(low <= value * unit <= high for value in values):
            raise FerError(f"{name} is {_typed(values)}: expected {low / unit:.2g} to {high / unit:g}")
    of = "0..255" if in_pixels else "0..1, as after ToTensor"
    told = f"normalization: (pixel - {_typed(mean)}) / {_typed(std)} with pixels of {of}"
    return _scaled(mean, unit), _scaled(std, unit), told


def _typed(values: tuple[float, ...]) -> str:
    return ",".join(f"{value:g}" for value in values)


def _scaled(values: tuple[float, ...], unit: float) -> Pixels:
    """One value where all channels have the same."""
    scaled = tuple(value * unit for value in values)
    return scaled[0] if len(set(scaled)) == 1 else scaled
