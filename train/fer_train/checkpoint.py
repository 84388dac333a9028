"""model.pt: weights and facts, in tensors and plain data that load with weights_only=True."""

import math
import warnings
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch

from fer_runtime.errors import FerError
from fer_runtime.files import sha256, written_whole
from fer_runtime.model.manifest import Manifest, from_dict
from fer_train.balance import Evidence
from fer_train.model import Architecture, FerNet, Stage

FORMAT = "fer-edge checkpoint 1"

Ranges = dict[str, tuple[float, float]]  # site name (fer_train.model.sites) -> least and largest value seen


@dataclass(frozen=True)
class Checkpoint:
    """A trained network with what export and runtime need of it."""

    network: FerNet
    """In eval mode."""
    manifest: Manifest
    """Its facts."""
    ranges: Ranges
    """Activation ranges of the folded network, observed on training faces."""
    metrics: dict[str, Any]
    """What the run came to, for the reader."""
    recipe: dict[str, Any]
    """How it was trained, for the reader."""
    digest: str = ""
    """SHA-256 of the file it was read from."""
    balance: Evidence | None = None
    """What another balance is found from; None in older files."""


def save(checkpoint: Checkpoint, path: Path, half: bool = False) -> None:
    """Write `path`, whole or not at all; with `half`, kernels in half precision. Raises FerError."""
    weights = checkpoint.network.state_dict()
    plain = {
        "format": FORMAT,
        "weights": {name: value.half() if half and value.ndim > 1 else value for name, value in weights.items()},
        "manifest": asdict(checkpoint.manifest),
        "ranges": checkpoint.ranges,
        "metrics": checkpoint.metrics,
        "recipe": checkpoint.recipe,
        "balance": vars(checkpoint.balance) if checkpoint.balance else None,
    }
    # Through a file object: by path, torch would put the temporary name into the file, and no two would be equal.
    with written_whole(path) as beside, beside.open("wb") as file:
        torch.save(plain, file)


def load(path: Path) -> Checkpoint:
    """Read `path` on the CPU, in eval mode. Raises FerError for anything that `save` did not write."""
    if not path.is_file():
        raise FerError(f"{path} is not a file: expected a model.pt that fer-train fit wrote")
    plain = _read(path)
    if not isinstance(plain, dict) or plain.get("format") != FORMAT:
        found = f"keys {sorted(map(str, plain))[:4]}" if isinstance(plain, dict) else type(plain).__name__
        raise FerError(f"{path} is not a checkpoint of ours: expected a model.pt of fer-train fit, found {found}")
    try:
        manifest = from_dict(plain["manifest"], str(path))
        manifest.to_json()
        network = FerNet(_architecture(manifest))
        weights = {
            name: value.float() if value.dtype == torch.float16 else value for name, value in plain["weights"].items()
        }
        if wrong := [
            n
            for n, v in weights.items()
            if v.is_floating_point() and not (v.dtype == torch.float32 and v.isfinite().all())
        ]:
            raise ValueError(f"{wrong[0]} holds values that are not finite float32")
        network.load_state_dict(weights)
        ranges = {site: (float(low), float(high)) for site, (low, high) in plain["ranges"].items()}
        if wrong := [site for site, (low, high) in ranges.items() if not -math.inf < low <= high < math.inf]:
            raise ValueError(f"the activation range of {wrong[0]} is not one")
        balance = _evidence(plain.get("balance"), len(manifest.labels))
        return Checkpoint(network.eval(), manifest, ranges, plain["metrics"], plain["recipe"], sha256(path), balance)
    except (KeyError, TypeError, ValueError, RuntimeError, AttributeError, OverflowError) as error:
        reason = " ".join(str(error).split())[:200]
        raise FerError(f"{path} is damaged ({reason}): train or copy it again") from error


def _read(path: Path) -> Any:
    """What torch finds in the file, without running code from it. Raises FerError."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about other kinds of files, which the error below names
            return torch.load(path, map_location="cpu", weights_only=True)
    except OSError as error:
        raise FerError(f"cannot read {path}: {error.strerror}") from error
    except Exception as error:  # torch.load raises almost anything for a foreign file
        raise FerError(
            f"{path} is not a checkpoint of ours: expected a model.pt that fer-train fit wrote, found a file that "
            "torch.load(weights_only=True) refuses (cut short, or a pickle that may run code; none was run)"
        ) from error


def _architecture(manifest: Manifest) -> Architecture:
    """Raises ValueError for numbers that no network of ours has, before memory is spent on them."""
    facts = manifest.architecture
    stages = tuple(Stage(stage["width"], stage["blocks"], stage["stride"]) for stage in facts["stages"])
    for width in (facts["stem"], *(stage.width for stage in stages)):
        _within("width", width, 1, 1024)
    for stage in stages:
        _within("blocks", stage.blocks, 1, 32)
        _within("stride", stage.stride, 1, 2)
    _within("stages", len(stages), 1, 8)
    plain = facts.get("plain", 0)  # networks of 0.1 had none
    _within("plain", plain, 0, 8)
    return Architecture(facts["stem"], plain, stages, len(manifest.labels), manifest.size)


def _evidence(facts: dict[str, Any] | None, classes: int) -> Evidence | None:
    """Raises ValueError for anything but finite logits and shares of as many classes."""
    if facts is None:
        return None
    found = Evidence(facts["logits"], tuple(map(float, facts["labels"])), tuple(map(float, facts["votes"])))
    shares = torch.tensor([found.labels, found.votes])
    if not (
        found.logits.ndim == 2
        and found.logits.shape[1] == shares.shape[1] == classes
        and found.logits.isfinite().all()
        and shares.isfinite().all()
        and (shares >= 0).all()
        and (shares.sum(1) > 0).all()
    ):
        raise ValueError("what it carries for another balance does not fit its classes")
    return found


def _within(name: str, value: object, low: int, high: int) -> None:
    if not (isinstance(value, int) and low <= value <= high):
        raise ValueError(f"{name} is {value!r}, expected {low} to {high}")
