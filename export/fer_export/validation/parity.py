"""The file in onnxruntime against the network in PyTorch, from the same pixels, in every setting that is deployed."""

from dataclasses import dataclass, replace
from itertools import product

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from fer_export.quantization.calibration import normalized
from fer_export.validation.layer_diff import first_difference
from fer_runtime.errors import GateError
from fer_runtime.model.inference import batched, softmax
from fer_runtime.model.manifest import INPUT, LOGITS, PROBABILITIES, Manifest, golden_faces
from fer_runtime.model.session import open_session
from fer_train.inference import predict

# Largest |delta logit| over max(1, |logit|): what float32 sums in another order, and weights in half, may differ by.
BOUNDS = {"fp32": 1e-4, "fp16": 2e-2}
AGREEMENT = 0.98  # least share of real faces with the same top-1, in int8
GENERATED_SEED = 7
BATCH = 64
ALONE = 64  # faces that are also run one by one


@dataclass(frozen=True)
class Setting:
    """How a session runs. batch: faces a call."""

    batch: int
    threads: int
    optimized: bool

    def __str__(self) -> str:
        return f"batch {self.batch}, threads {self.threads}, graph optimization {'all' if self.optimized else 'off'}"


DEPLOYED = Setting(1, 1, True)
SETTINGS = [Setting(*each) for each in product((BATCH, 1), (1, 2), (True, False))]


class ParityError(GateError):
    """A file answers differently. output: its name; face, setting: the worst case; difference, bound: of
    max(1, |expected|); layer: the first whose output differs, where that can be told.
    """

    def __init__(self, output: str, what: str, face: int, setting: str, difference: float, bound: float, layer: str):
        self.output, self.face, self.setting = output, face, setting
        self.difference, self.bound, self.layer = difference, bound, layer
        where = f"; the first layer that differs is {layer!r}" if layer else ""
        super().__init__(f"parity breached: {what} ({setting}){where}")


@dataclass(frozen=True)
class Comparison:
    """faces: how many; worst: largest |delta logit|; worst_relative: largest |delta| over max(1, |logit|);
    setting: where that was; agreement: share with the same top-1; logits: float32 [faces, classes] of the file.
    """

    faces: int
    worst: float
    worst_relative: float
    setting: str
    agreement: float
    logits: NDArray[np.float32]


def generated_faces(size: int, channels: int = 1) -> NDArray[np.uint8]:
    """Inputs where no dataset is: 64 images of soft random shades; uint8 [64, channels, size, size]."""
    return golden_faces(GENERATED_SEED, size, 64, channels)


def edge_faces(size: int, channels: int = 1) -> NDArray[np.uint8]:
    """Black, white, a checkerboard and noise: uint8 [4, channels, size, size]. No face looks so, no range covers it."""
    board = np.indices((size, size)).sum(0) % 2 * 255
    noise = np.random.RandomState(GENERATED_SEED).randint(0, 256, (channels, size, size))
    flat = [np.broadcast_to(image, (channels, size, size)) for image in (np.zeros_like(board), board * 0 + 255, board)]
    return np.stack([*flat, noise]).astype(np.uint8)


def reference(network: nn.Module, manifest: Manifest, pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
    """PyTorch's logits [n, classes] of the unfolded network in eval mode, for uint8 [n, c, h, w].

    The pixels are normalized here, so that a mistake in the exported normalization shows.
    """
    logits: NDArray[np.float32] = predict(
        network, pixels, prepare=lambda batch: torch.from_numpy(normalized(batch.numpy(), manifest))
    ).numpy()
    return logits


def answers(file: bytes, pixels: NDArray[np.uint8], setting: Setting) -> NDArray[np.float32]:
    """The file's logits [n, classes] for uint8 [n, c, h, w]."""
    session = open_session(file, setting.threads, setting.optimized)
    return batched(lambda batch: session.run([LOGITS], {INPUT: batch})[0], pixels, setting.batch)


def compare(file: bytes, expected: NDArray[np.float32], pixels: NDArray[np.uint8]) -> Comparison:
    """The file against `expected` logits [n, classes] for uint8 [n, c, h, w], without judging: for int8."""
    return _comparison(answers(file, pixels, SETTINGS[0]), expected, SETTINGS[0])


def prove(
    file: bytes,
    network: nn.Module,
    manifest: Manifest,
    pixels: NDArray[np.uint8],
    expected: NDArray[np.float32],
) -> Comparison:
    """The worst comparison over all SETTINGS, on `pixels` (uint8 [n, c, h, w]) and on edge inputs.

    expected: PyTorch's logits [n, classes] for `pixels`. Raises ParityError for another name, shape or value than
    PyTorch's, and for another top-1 where its margin is more than twice the bound.
    """
    _check_outputs(file, pixels, expected)
    edges = edge_faces(manifest.size, pixels.shape[1])
    expected_edges = reference(network, manifest, edges)
    runs: list[Comparison] = []
    for setting in SETTINGS:
        few = slice(None) if setting.batch > 1 else slice(ALONE)
        inputs = np.concatenate([edges, pixels[few]])
        wanted = np.concatenate([expected_edges, expected[few]])
        found = answers(file, inputs, setting)
        _check_values(file, network, manifest, inputs, wanted, found, setting)
        runs.append(_comparison(found[len(edges) :], expected[few], setting))
    check_probabilities(file, pixels, manifest)
    worst = max(runs, key=lambda run: run.worst_relative)
    return replace(
        runs[0], worst=max(run.worst for run in runs), worst_relative=worst.worst_relative, setting=worst.setting
    )


def check_probabilities(file: bytes, pixels: NDArray[np.uint8], manifest: Manifest) -> None:
    """Raise ParityError unless probabilities are the softmax of logits / temperature, to 1e-5."""
    logits, found = open_session(file).run([LOGITS, PROBABILITIES], {INPUT: pixels[:ALONE]})
    off = np.abs(found - softmax(logits, manifest.temperature)).max(1)
    if not off.max() <= 1e-5:
        face = int(np.nanargmax(np.where(np.isnan(off), np.inf, off)))
        what = f"probabilities of face {face} are not the softmax of its logits over {manifest.temperature:g}"
        raise ParityError(PROBABILITIES, what, face, str(DEPLOYED), float(off[face]), 1e-5, "")


def disagreements(
    expected: NDArray[np.float32], found: NDArray[np.float32], labels: tuple[str, ...]
) -> list[tuple[str, str, int]]:
    """(PyTorch's answer, the file's answer, faces) for every pair of different answers, the most frequent first."""
    pairs = np.stack([expected.argmax(1), found.argmax(1)], 1)
    kinds, counts = np.unique(pairs[pairs[:, 0] != pairs[:, 1]], axis=0, return_counts=True)
    rows = [(labels[a], labels[b], int(n)) for (a, b), n in zip(kinds.tolist(), counts, strict=True)]
    return sorted(rows, key=lambda row: -row[2])


def _comparison(found: NDArray[np.float32], expected: NDArray[np.float32], setting: Setting) -> Comparison:
    delta = np.abs(found - expected)
    relative = float((delta / np.maximum(1, np.abs(expected))).max())
    agreement = float((found.argmax(1) == expected.argmax(1)).mean())
    return Comparison(len(found), float(delta.max()), relative, str(setting), agreement, found)


def _check_outputs(file: bytes, pixels: NDArray[np.uint8], expected: NDArray[np.float32]) -> None:
    """Names, then shapes."""
    session = open_session(file)
    names = [output.name for output in session.get_outputs()]
    if names != [LOGITS, PROBABILITIES]:
        what = f"the outputs are {', '.join(names)}, expected {LOGITS} and {PROBABILITIES}"
        raise ParityError(names[0] if names else "", what, 0, str(DEPLOYED), float("nan"), 0, "")
    for name, found in zip(names, session.run(names, {INPUT: pixels[:2]}), strict=True):
        if found.shape != expected[:2].shape:
            what = f"{name} has shape {list(found.shape)}, expected {list(expected[:2].shape)}"
            raise ParityError(name, what, 0, str(DEPLOYED), float("nan"), 0, "")


def _check_values(
    file: bytes,
    network: nn.Module,
    manifest: Manifest,
    pixels: NDArray[np.uint8],
    expected: NDArray[np.float32],
    found: NDArray[np.float32],
    setting: Setting,
) -> None:
    """On a breach raise ParityError with the worst face, the class, and the layer it comes from."""
    bound = BOUNDS[manifest.precision]
    scale = np.maximum(1, np.abs(expected))
    delta = np.abs(found - expected) / scale
    delta = np.where(np.isnan(delta), np.inf, delta)  # a NaN breaches too
    face, label = (int(i) for i in np.unravel_index(delta.argmax(), delta.shape))
    ordered = np.sort(expected, axis=1)
    clear = ordered[:, -1] - ordered[:, -2] > 2 * bound * np.maximum(1, np.abs(ordered[:, -1]))
    flipped = clear & (found.argmax(1) != expected.argmax(1))
    if delta[face, label] <= bound and not flipped.any():
        return
    face = face if delta[face, label] > bound else int(flipped.argmax())
    layer = first_difference(file, network, manifest, pixels[face], bound)
    what = (
        f"logit {manifest.labels[label]!r} of face {face} is {found[face, label]:.6f} in onnxruntime and "
        f"{expected[face, label]:.6f} in PyTorch, beyond {bound:g} of max(1, |logit|)"
    )
    raise ParityError(LOGITS, what, face, str(setting), float(delta[face, label]), bound, layer)
