"""What is exported: a network, its facts, and what must be known of where it came from."""

from dataclasses import dataclass

import torch
from torch import nn

from fer_runtime.model.manifest import Manifest
from fer_train.checkpoint import Ranges


@dataclass(frozen=True)
class Source:
    """A network on its way into a file."""

    network: nn.Module
    """In eval mode: normalized float32 [n, c, h, w] -> logits [n, classes]."""
    manifest: Manifest
    """The facts that are known before the export."""
    ranges: Ranges
    """Of activations, by site; empty if unknown."""
    digest: str
    """SHA-256 of the file that it was read from."""
    program: torch.export.ExportedProgram | None = None
    """What torch's exporter takes, where that is not `network` itself."""
    notes: tuple[str, ...] = ()
    """What the user should be told."""
