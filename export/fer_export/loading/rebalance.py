"""Another balance for a checkpoint: `none`, a mix by its name, or shares of the classes out of a JSON file."""

import json
from dataclasses import replace
from math import isfinite
from pathlib import Path

import torch
from torch import Tensor

from fer_runtime.errors import FerError
from fer_train.balance import MIXES, balance, described, mix
from fer_train.checkpoint import Checkpoint


def rebalanced(path: Path, checkpoint: Checkpoint, wanted: str) -> Checkpoint:
    """The checkpoint of `path`, its head's bias moved from the balance it has to `wanted`, which its manifest tells.

    wanted: "none", one of fer_train.balance.MIXES, or a JSON file of each class's share. What was measured of it
    no longer holds and is taken out. Raises FerError for a mix that is none, or a checkpoint that cannot find one.
    """
    manifest, network = checkpoint.manifest, checkpoint.network
    added: Tensor = torch.zeros(len(manifest.labels))
    facts: dict[str, object] = {}
    if wanted != "none":
        shares, logits = _evidence(path, checkpoint, wanted)
        added = balance(logits, shares)
        facts = described(wanted if wanted in MIXES else Path(wanted).name, shares, added)
    before = torch.tensor(manifest.balance.get("added", [0.0] * len(manifest.labels)))
    with torch.no_grad():
        network.head.bias.add_(added - before)
    return replace(checkpoint, manifest=replace(manifest, balance=facts, measured=()))


def _evidence(path: Path, checkpoint: Checkpoint, wanted: str) -> tuple[Tensor, Tensor]:
    """Shares of the classes in the mix, float32 [classes], and logits of views of training faces, float32 [n, classes].

    Raises FerError.
    """
    found = checkpoint.balance
    if found is None:
        raise FerError(
            f"{path} carries no predictions to find a balance from, as it is of an older version: write it again with "
            "fer-train finish RUN DATA, or give --balance none"
        )
    if wanted not in MIXES:
        return _read(Path(wanted), checkpoint.manifest.labels), found.logits.float()
    if wanted in ("votes", "between") and found.votes == found.labels:
        raise FerError(f"{path} learned from labels alone: --balance {wanted} is for a network that learned from votes")
    return mix(wanted, torch.tensor(found.labels), torch.tensor(found.votes)), found.logits.float()


def _read(file: Path, labels: tuple[str, ...]) -> Tensor:
    """The shares in a JSON file, as float32 [classes] that sum to 1. Raises FerError."""
    expected = f'expected {", ".join(["none", *MIXES])}, or a JSON file such as {{"{labels[0]}": 0.3, ...}}'
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
    except OSError as error:
        raise FerError(f"--balance {file}: {error.strerror}; {expected}") from error
    except ValueError as error:
        raise FerError(f"{file} is not JSON ({error}): {expected}") from error
    if not isinstance(content, dict) or set(content) != set(labels):
        found = ", ".join(map(str, content)) if isinstance(content, dict) else type(content).__name__
        raise FerError(f"{file} holds {found[:200] or 'nothing'}: expected a share for each of {', '.join(labels)}")
    wrong = [name for name, share in content.items() if isinstance(share, bool) or not isinstance(share, int | float)]
    wrong = wrong or [name for name, share in content.items() if not (isfinite(share) and 0 <= share <= 1e9)]
    if wrong or not sum(content.values()):
        raise FerError(f"{file}: the share of {wrong[0] if wrong else 'every class'} is none: expected numbers above 0")
    shares = torch.tensor([float(content[label]) for label in labels])
    return shares / shares.sum()
