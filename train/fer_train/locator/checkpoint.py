"""The trained locator as a file: tensors and plain data, which load with weights_only=True."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from fer_runtime.errors import FerError
from fer_runtime.files import sha256, written_whole
from fer_train.checkpoint import Ranges
from fer_train.locator.network import LocatorNet

FORMAT = "fer-edge locator 1"


@dataclass(frozen=True)
class LocatorCheckpoint:
    """A trained locator with what its export needs."""

    network: LocatorNet
    """In eval mode."""
    ranges: Ranges
    """Activation ranges of the folded network."""
    metrics: dict[str, Any]
    """Its score on held-out scenes."""
    recipe: dict[str, Any]
    """How it was trained."""
    digest: str = ""
    """SHA-256 of the file it was read from."""


def save(checkpoint: LocatorCheckpoint, path: Path) -> None:
    """Write `path`, whole or not at all; kernels in half precision."""
    weights = checkpoint.network.state_dict()
    plain = {
        "format": FORMAT,
        "weights": {name: value.half() if value.ndim > 1 else value for name, value in weights.items()},
        "ranges": checkpoint.ranges,
        "metrics": checkpoint.metrics,
        "recipe": checkpoint.recipe,
    }
    with written_whole(path) as beside, beside.open("wb") as file:
        torch.save(plain, file)


def load(path: Path) -> LocatorCheckpoint:
    """Read `path` on the CPU. Raises FerError for anything that `save` did not write."""
    try:
        plain = torch.load(path, map_location="cpu", weights_only=True)
        if plain["format"] != FORMAT:
            raise ValueError(plain["format"])
        network = LocatorNet()
        network.load_state_dict({name: value.float() for name, value in plain["weights"].items()})
        ranges = {site: (float(low), float(high)) for site, (low, high) in plain["ranges"].items()}
        return LocatorCheckpoint(network.eval(), ranges, plain["metrics"], plain["recipe"], sha256(path))
    except Exception as error:  # torch's reader raises almost anything
        raise FerError(f"{path} is no locator: expected a file that python -m fer_train.locator wrote") from error
