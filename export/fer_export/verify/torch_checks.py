"""What fer-verify checks with PyTorch: the file is that of this checkpoint, and answers as its network does."""

import numpy as np
from numpy.typing import NDArray

from fer_export import gates
from fer_export.validation import parity
from fer_export.verify.checks import Check, within
from fer_runtime.errors import FerError
from fer_runtime.model.inference import batched
from fer_runtime.model.manifest import Manifest
from fer_runtime.model.session import Classifier
from fer_train.checkpoint import Checkpoint


def of_checkpoint(classifier: Classifier, source: Checkpoint, pixels: NDArray[np.uint8] | None) -> list[Check]:
    """Facts, then logits on `pixels` (uint8 [n, c, h, w]), or on generated faces."""
    manifest, own = classifier.manifest, source.manifest
    return [
        _same("checkpoint", manifest.checkpoint[:12] or "none told", source.digest[:12]),
        _same("labels", ", ".join(manifest.labels), ", ".join(own.labels)),
        _same("size, mean, std", _input(manifest), _input(own)),
        *_of_balance(manifest, own),
        _of_logits(classifier, source, pixels),
    ]


def _same(name: str, found: str, expected: str) -> Check:
    return Check(name, found, expected, found == expected)


def _input(manifest: Manifest) -> str:
    return f"{manifest.size}, {manifest.mean}, {manifest.std}"


def _of_balance(manifest: Manifest, own: Manifest) -> list[Check]:
    """What fer-export --balance made another; nothing for a file with the checkpoint's own."""
    if manifest.balance == own.balance:
        return []
    found, expected = (each.balance.get("mix", "none") for each in (manifest, own))
    return [Check("balance", found, f"{expected} in the checkpoint; told apart below", True)]


def _rebalanced(manifest: Manifest, own: Manifest) -> NDArray[np.float32]:
    """What the file's balance adds to the checkpoint's logits, float32 [classes]."""
    none = [0.0] * len(own.labels)
    file, checkpoint = (np.array(each.balance.get("added", none), np.float32) for each in (manifest, own))
    return np.asarray(file - checkpoint, np.float32)


def _of_logits(classifier: Classifier, source: Checkpoint, pixels: NDArray[np.uint8] | None) -> Check:
    """How far the file's logits are from PyTorch's; in int8, how often both give the same answer."""
    name = f"PyTorch's logits, on {'generated' if pixels is None else len(pixels)} faces"
    bound = gates.MAX_DIFFERENCE.get(classifier.manifest.precision)
    manifest = source.manifest
    try:
        if (classifier.size, len(classifier.labels)) != (manifest.size, len(manifest.labels)):
            return Check(name, "another input or other labels", "the same", False)
        faces = parity.generated_faces(manifest.size, manifest.channels) if pixels is None else pixels
        expected = parity.reference(source.network, manifest, faces) + _rebalanced(classifier.manifest, manifest)
        found = batched(classifier.logits, faces)
    except FerError as error:
        return Check(name, str(error), "answers", False)
    if bound is not None:
        return within(name, float(gates.relative_difference(found, expected).max()), bound)
    same = gates.agreement(found, expected)
    if pixels is None:  # no face looks so: the ranges of int8 are not made for them
        return Check(name, f"{same:.1%} same top-1", "judged with --data only", True)
    return Check(name, f"{same:.2%} same top-1", f"at least {gates.MIN_AGREEMENT:.0%}", same >= gates.MIN_AGREEMENT)
