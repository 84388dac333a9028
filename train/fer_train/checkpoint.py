"""model.pt: weights and facts, in tensors and plain data that load with weights_only=True."""

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch

from fer_runtime.contract import Manifest, from_dict
from fer_runtime.errors import FerError
from fer_runtime.files import written_whole
from fer_train.model import Architecture, FerNet, Stage

FORMAT = "fer-edge checkpoint 1"

Ranges = dict[str, tuple[float, float]]  # site name (fer_train.model.sites) -> least and largest value seen


@dataclass(frozen=True)
class Checkpoint:
    """A trained network with what export and runtime need of it.

    ranges: activation ranges of the folded network, observed on training faces; metrics, recipe: for the reader.
    """

    network: FerNet
    manifest: Manifest
    ranges: Ranges
    metrics: dict[str, Any]
    recipe: dict[str, Any]


def save(checkpoint: Checkpoint, path: Path) -> None:
    """Write `path`, whole or not at all. Raises FerError."""
    plain = {
        "format": FORMAT,
        "weights": checkpoint.network.state_dict(),
        "manifest": asdict(checkpoint.manifest),
        "ranges": checkpoint.ranges,
        "metrics": checkpoint.metrics,
        "recipe": checkpoint.recipe,
    }
    with written_whole(path) as beside:
        torch.save(plain, beside)


def load(path: Path) -> Checkpoint:
    """Read `path` on the CPU, in eval mode. Raises FerError for anything that `save` did not write."""
    if not path.is_file():
        raise FerError(f"{path} is not a file: expected a model.pt that fer-train fit wrote")
    try:
        plain = torch.load(path, map_location="cpu", weights_only=True)
    except OSError as error:
        raise FerError(f"cannot read {path}: {error.strerror}") from error
    except Exception as error:  # torch.load raises almost anything for a foreign file
        raise FerError(
            f"{path} is not a checkpoint of ours: expected a model.pt that fer-train fit wrote, found a file that "
            "torch.load(weights_only=True) refuses (cut short, or a pickle that may run code; none was run)"
        ) from error
    if not isinstance(plain, dict) or plain.get("format") != FORMAT:
        found = f"keys {sorted(map(str, plain))[:4]}" if isinstance(plain, dict) else type(plain).__name__
        raise FerError(f"{path} is not a checkpoint of ours: expected a model.pt of fer-train fit, found {found}")
    try:
        manifest = from_dict(plain["manifest"], str(path))
        network = FerNet(_architecture(manifest))
        network.load_state_dict(plain["weights"])
        ranges = {site: (float(low), float(high)) for site, (low, high) in plain["ranges"].items()}
        return Checkpoint(network.eval(), manifest, ranges, plain["metrics"], plain["recipe"])
    except (KeyError, TypeError, ValueError, RuntimeError, AttributeError) as error:
        raise FerError(f"{path} is damaged ({str(error).splitlines()[0]}): train or copy it again") from error


def _architecture(manifest: Manifest) -> Architecture:
    facts = manifest.architecture
    stages = tuple(Stage(stage["width"], stage["blocks"], stage["stride"]) for stage in facts["stages"])
    return Architecture(facts["stem"], stages, len(manifest.labels), manifest.size)
