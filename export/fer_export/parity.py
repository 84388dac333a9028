"""The file in onnxruntime against the network in PyTorch, from the same pixels."""

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from fer_runtime.contract import LOGITS, PROBABILITIES, Manifest, golden_faces
from fer_runtime.errors import GateError
from fer_runtime.session import open_session
from fer_train.model import FerNet

BOUND = 1e-4  # of max(1, |logit|): what float32 sums in another order may differ by
GENERATED_SEED = 7


@dataclass(frozen=True)
class Comparison:
    """faces: how many; worst: largest |delta logit|; worst_relative: largest |delta| / max(1, |logit|);
    agreement: share with the same top-1; logits: float32 [faces, classes] of the file.
    """

    faces: int
    worst: float
    worst_relative: float
    agreement: float
    logits: NDArray[np.float32]


def generated_faces(size: int) -> NDArray[np.uint8]:
    """Inputs where no dataset is: 64 images of soft random shades; uint8 [64, 1, h, w]."""
    return golden_faces(GENERATED_SEED, size, 64)


def edge_faces(size: int) -> NDArray[np.uint8]:
    """Black, white, a checkerboard and noise: uint8 [4, 1, h, w]. No face looks so, and no int8 range covers them."""
    board = np.indices((size, size)).sum(0) % 2 * 255
    noise = np.random.RandomState(GENERATED_SEED).randint(0, 256, (size, size))
    return np.stack([np.zeros_like(board), np.full_like(board, 255), board, noise])[:, None].astype(np.uint8)


def reference(network: FerNet, manifest: Manifest, pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
    """PyTorch's logits [n, classes] of the unfolded network.

    It normalizes the pixels by itself, so that a mistake in the exported normalization shows.
    """
    faces = torch.from_numpy(((pixels.astype(np.float64) - manifest.mean) / manifest.std).astype(np.float32))
    with torch.no_grad():
        return torch.cat([network(chunk) for chunk in faces.split(256)]).numpy()


def compare(file: bytes, expected: NDArray[np.float32], pixels: NDArray[np.uint8]) -> Comparison:
    """Run the file on uint8 pixels [n, 1, h, w], in batches and one by one, against `expected` logits [n, classes]."""
    session = open_session(file)
    chunks = np.array_split(pixels, max(1, len(pixels) // 64))
    found = np.concatenate([session.run([LOGITS], {"faces": chunk})[0] for chunk in chunks])
    # Alone a face may take other kernels than in a batch: of the two answers, the worse one is kept.
    alone = np.concatenate([session.run([LOGITS], {"faces": face[None]})[0] for face in pixels[:64]])
    batched, expected_alone = found[: len(alone)], expected[: len(alone)]
    worse = ~(np.abs(alone - expected_alone) <= np.abs(batched - expected_alone)) & ~np.isnan(batched)
    found[: len(alone)] = np.where(worse, alone, batched)
    delta = np.abs(found - expected)
    return Comparison(
        len(pixels),
        float(delta.max()),
        float((delta / np.maximum(1, np.abs(expected))).max()),
        float((found.argmax(1) == expected.argmax(1)).mean()),
        found,
    )


def check(comparison: Comparison, expected: NDArray[np.float32]) -> None:
    """The gate of an fp32 file. Raises GateError when a logit, or a top-1 whose margin is clear, differs."""
    if not comparison.worst_relative <= BOUND:  # a NaN breaches too
        delta = np.abs(comparison.logits - expected) / np.maximum(1, np.abs(expected))
        face, label = np.unravel_index(np.nanargmax(np.where(np.isnan(delta), np.inf, delta)), delta.shape)
        raise GateError(
            f"parity breached: logit {label} of face {face} is {comparison.logits[face, label]:.6f} in onnxruntime and "
            f"{expected[face, label]:.6f} in PyTorch, beyond {BOUND:g} of max(1, |logit|); no file was written"
        )
    ordered = np.sort(expected, axis=1)
    clear = ordered[:, -1] - ordered[:, -2] > 2 * BOUND * np.maximum(1, np.abs(ordered[:, -1]))
    flipped = clear & (comparison.logits.argmax(1) != expected.argmax(1))
    if flipped.any():
        raise GateError(f"parity breached: face {int(flipped.argmax())} has another top-1; no file was written")


def check_probabilities(file: bytes, pixels: NDArray[np.uint8], manifest: Manifest) -> None:
    """Raise GateError unless probabilities are the softmax of logits / temperature, to 1e-5."""
    logits, found = open_session(file).run([LOGITS, PROBABILITIES], {"faces": pixels[:64]})
    expected = torch.softmax(torch.from_numpy(logits) / manifest.temperature, 1).numpy()
    if not np.abs(found - expected).max() <= 1e-5:
        raise GateError("the file's probabilities are not the softmax of its logits; no file was written")
