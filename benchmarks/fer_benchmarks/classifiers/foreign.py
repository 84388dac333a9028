"""What a plain ONNX classifier expects: read off its input, and from the options where that leaves it open."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from fer_benchmarks.classifiers import backends
from fer_benchmarks.classifiers.backends import Plain
from fer_runtime.errors import FerError
from fer_runtime.model import cost
from fer_runtime.model.normalization import EXAMPLE_LABELS, ForeignOptions, check_labels, normalization
from fer_runtime.model.preprocessing import CHANNELS
from fer_runtime.model.session import open_file

DEFAULT_SIZE = 48  # pixels
COLOURS = {number: colour for colour, number in CHANNELS.items()}


@dataclass(frozen=True)
class Input:
    """Of the file."""

    channels: int | None
    """None where it is not fixed."""
    size: int | None
    """Of a side in pixels; None where it is not fixed."""
    channels_last: bool
    uint8: bool


def expected(file: Path, options: ForeignOptions) -> Plain:
    """What the file takes. Raises FerError where the options are too few, or do not fit it."""
    if not options.labels:
        raise FerError(
            f"{file} carries no fer-edge manifest: expected a file of fer-export, or --labels in the order of its "
            f"outputs, such as {EXAMPLE_LABELS}"
        )
    check_labels(options.labels)
    taken = read_input(file)
    if taken.uint8 and (options.mean or options.std):
        raise FerError(f"{file} takes uint8 pixels as they are: leave out --mean and --std")
    colour, channels = _colour(file, taken, options)
    scaled = normalization(options, channels)
    size = _agreed(file, "--size", taken.size, options.size, DEFAULT_SIZE)
    plain = Plain(
        options.labels, size, colour, channels, scaled.mean, scaled.std, taken.channels_last, taken.uint8
    )  # fmt: skip
    classes = backends.of_plain(file, 1, plain)(np.zeros((1, size, size), np.uint8)).shape
    if classes != (1, len(options.labels)):
        raise FerError(f"{file} gives {classes[1:]} classes for {len(options.labels)} --labels: give one per class")
    return plain


def read_input(file: Path) -> Input:
    """The file's input, [n, c, h, w] or [n, h, w, c]. Raises FerError for another one, or several."""
    inputs = open_file(file).get_inputs()
    if len(inputs) != 1 or len(inputs[0].shape) != 4 or inputs[0].type not in cost.INPUT_TYPES:
        found = ", ".join(f"{each.name} {each.type} {each.shape}" for each in inputs)
        raise FerError(f"{file} takes {found}: expected one input of four dimensions, float or uint8")
    _, *shape = (size if isinstance(size, int) else None for size in inputs[0].shape)
    last = shape[2] in COLOURS and shape[0] not in COLOURS
    channels, size = (shape[2], shape[0]) if last else (shape[0], shape[1])
    return Input(channels, size, last, inputs[0].type == "tensor(uint8)")


def _colour(file: Path, taken: Input, options: ForeignOptions) -> tuple[str, int]:
    """The colour of the faces that it is fed, and its channels: grey faces may go into all three of them."""
    if taken.channels == 3 and options.colour == "grey":
        return "grey", 3
    channels = _agreed(file, "--colour", taken.channels, CHANNELS.get(options.colour or ""), 1)
    if channels not in COLOURS:
        raise FerError(f"{file} takes {channels} channels: expected 1 (grey) or 3 (rgb)")
    return COLOURS[channels], channels


def _agreed(file: Path, option: str, fixed: int | None, stated: int | None, default: int) -> int:
    """The file's own number, else the option's. Raises FerError where they differ."""
    if fixed and stated and fixed != stated:
        raise FerError(f"{option} does not fit {file}: its input has {fixed}, the option {stated}")
    return fixed or stated or default
