"""The file in onnxruntime compared with the network in PyTorch, from the same pixels, in every deployed setting."""

import copy
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from fer_export import gates
from fer_export.graph import run
from fer_export.graph.run import DEPLOYED, SETTINGS, Setting
from fer_export.validation import exact
from fer_export.validation.layer_diff import first_difference
from fer_runtime.errors import GateError
from fer_runtime.model.inference import batched, softmax
from fer_runtime.model.manifest import INPUT, LOGITS, PROBABILITIES, Manifest, golden_faces
from fer_runtime.model.normalization import normalized
from fer_runtime.model.session import open_session

GENERATED_SEED = 7
GENERATED = 64  # images where no dataset is
ALONE = 64  # faces that are also run one by one
MAX_AMPLIFIED = 100  # times PyTorch's own rounding: on other images a file differs by 1 to 3 times as much
MAX_EXCUSED = 0.5  # share of the generated images: beyond that they prove nothing


class ParityError(GateError):
    """A file's outputs differ from PyTorch's. Attributes: output (its name), face (its index in the comparison),
    setting, difference and bound (of max(1, |expected|)), layer (the first whose output differs, if that can be told).
    """

    def __init__(self, output: str, what: str, face: int, setting: str, difference: float, bound: float, layer: str):
        self.output, self.face, self.setting = output, face, setting
        self.difference, self.bound, self.layer = difference, bound, layer
        where = f"; the first layer that differs is {layer!r}" if layer else ""
        super().__init__(f"parity breached: {what} ({setting}){where}")


@dataclass(frozen=True)
class Comparison:
    """A file's logits beside PyTorch's."""

    faces: int
    """How many were compared."""
    max_difference: float
    """Largest |delta logit|."""
    max_relative_difference: float
    """Largest |delta logit| over max(1, |logit|)."""
    setting: str
    """In which that was."""
    agreement: float
    """Share with the same top-1."""
    logits: NDArray[np.float32]
    """The file's, [faces, classes]."""
    excused: int = 0
    """Generated images on which PyTorch's own rounding is larger than the bound."""


def generated_faces(size: int, channels: int = 1) -> NDArray[np.uint8]:
    """Inputs without a dataset: 64 images of smooth random shades; uint8 [64, channels, size, size]."""
    return golden_faces(GENERATED_SEED, size, GENERATED, channels)


def edge_faces(size: int, channels: int = 1) -> NDArray[np.uint8]:
    """Black, white, a checkerboard and noise: uint8 [4, channels, size, size]. Unlike any face or range."""
    board = np.indices((size, size)).sum(0) % 2 * 255
    noise = np.random.RandomState(GENERATED_SEED).randint(0, 256, (channels, size, size))
    flat = [np.broadcast_to(image, (channels, size, size)) for image in (np.zeros_like(board), board * 0 + 255, board)]
    return np.stack([*flat, noise]).astype(np.uint8)


def reference(
    network: nn.Module, manifest: Manifest, pixels: NDArray[np.uint8], dtype: torch.dtype = torch.float32
) -> NDArray[np.float32]:
    """PyTorch's logits [n, classes] of the unfolded network, which is in eval mode, for uint8 [n, c, h, w].

    The pixels are normalized here, so that a mistake in the exported normalization shows. dtype: of the network.
    """

    def answer(batch: NDArray[np.uint8]) -> NDArray[np.float32]:
        inputs = torch.from_numpy(normalized(batch, manifest.mean, manifest.std))
        logits: NDArray[np.float32] = network(inputs.to(dtype)).float().numpy()
        return logits

    with torch.no_grad():
        return batched(answer, pixels)


def compared(
    found: NDArray[np.float32], expected: NDArray[np.float32], setting: Setting = run.DEFAULT, excused: int = 0
) -> Comparison:
    """Two logits [n, classes] of the same faces, without judging."""
    return Comparison(
        len(found),
        float(np.abs(found - expected).max()),
        float(gates.relative_difference(found, expected).max()),
        str(setting),
        gates.agreement(found, expected),
        found,
        excused,
    )


def prove(
    file: bytes,
    network: nn.Module,
    manifest: Manifest,
    pixels: NDArray[np.uint8],
    expected: NDArray[np.float32],
    *,
    real: bool = False,
) -> Comparison:
    """The worst comparison over all SETTINGS, on `pixels` (uint8 [n, c, h, w]) and on edge inputs.

    expected: PyTorch's logits [n, classes] for `pixels`; real: whether these are faces, and not generated. On what is
    generated a difference is no breach where it is rounding that the network amplifies.
    Raises ParityError for another name, shape or value than PyTorch's, and for another top-1 where its margin is more
    than twice the bound.
    """
    _check_outputs(file, pixels, expected)
    proof = _Proof(file, network, manifest)
    edges = edge_faces(manifest.size, pixels.shape[1])
    expected_edges = reference(network, manifest, edges)
    runs: list[Comparison] = []
    for setting in SETTINGS:
        few = slice(None) if setting.batch > 1 else slice(ALONE)
        inputs = np.concatenate([edges, pixels[few]])
        wanted = np.concatenate([expected_edges, expected[few]])
        found = run.logits(file, inputs, setting)
        breached = _breached(found, wanted, proof.bound)
        generated = len(edges) if real else len(inputs)
        few_breached = breached[:generated]  # a view: real faces are never excused
        excused = proof.excused(inputs[:generated], wanted[:generated], found[:generated], few_breached)
        few_breached &= ~excused
        if breached.any():
            raise proof.breach(inputs, wanted, found, setting, breached)
        runs.append(compared(found[len(edges) :], expected[few], setting, int(excused.sum())))
        _check_excused(excused[len(edges) :])
    check_probabilities(file, pixels, manifest)
    worst = max(runs, key=lambda each: each.max_relative_difference)
    return replace(
        runs[0],
        max_difference=max(each.max_difference for each in runs),
        max_relative_difference=worst.max_relative_difference,
        setting=worst.setting,
        excused=max(each.excused for each in runs),
    )


def check_probabilities(file: bytes, pixels: NDArray[np.uint8], manifest: Manifest) -> None:
    """Raise ParityError unless probabilities are the softmax of logits / temperature, to 1e-5."""
    logits, found = open_session(file).run([LOGITS, PROBABILITIES], {INPUT: pixels[:ALONE]})
    off, bound = np.abs(found - softmax(logits, manifest.temperature)).max(1), gates.MAX_SOFTMAX_DIFFERENCE
    if not off.max() <= bound:
        face = int(np.nanargmax(np.where(np.isnan(off), np.inf, off)))
        what = f"probabilities of face {face} are not the softmax of its logits over {manifest.temperature:g}"
        raise ParityError(PROBABILITIES, what, face, str(DEPLOYED), float(off[face]), bound, "")


def disagreements(
    expected: NDArray[np.float32], found: NDArray[np.float32], labels: tuple[str, ...]
) -> list[tuple[str, str, int]]:
    """(PyTorch's label, the file's label, faces) for every pair of different predictions, the most frequent first."""
    pairs = np.stack([expected.argmax(1), found.argmax(1)], 1)
    kinds, counts = np.unique(pairs[pairs[:, 0] != pairs[:, 1]], axis=0, return_counts=True)
    rows = [(labels[a], labels[b], int(n)) for (a, b), n in zip(kinds.tolist(), counts, strict=True)]
    return sorted(rows, key=lambda row: -row[2])


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


def _breached(found: NDArray[np.float32], expected: NDArray[np.float32], bound: float) -> NDArray[np.bool_]:
    """bool [n]: a logit beyond the bound (NaN is), or another top-1 where PyTorch's is clear."""
    beyond = gates.relative_difference(found, expected).max(1) > bound
    ordered = np.sort(expected, axis=1)
    clear = ordered[:, -1] - ordered[:, -2] > 2 * bound * np.maximum(1, np.abs(ordered[:, -1]))
    breached: NDArray[np.bool_] = beyond | (clear & (found.argmax(1) != expected.argmax(1)))
    return breached


def _check_excused(excused: NDArray[np.bool_]) -> None:
    """Raise GateError where too few of the generated images are left to prove anything."""
    if len(excused) and excused.mean() > MAX_EXCUSED:
        raise GateError(
            f"on {excused.sum()} of {len(excused)} generated images PyTorch's own rounding is larger than the bound, "
            "so they prove nothing: compare on faces with --data DATA"
        )


@dataclass(frozen=True)
class _Proof:
    """What is compared with what: a file, and the network that it was exported from."""

    file: bytes
    network: nn.Module
    manifest: Manifest

    @property
    def bound(self) -> float:
        """Of max(1, |logit|)."""
        return gates.MAX_DIFFERENCE[self.manifest.precision]

    def excused(
        self,
        pixels: NDArray[np.uint8],
        expected: NDArray[np.float32],
        found: NDArray[np.float32],
        breached: NDArray[np.bool_],
    ) -> NDArray[np.bool_]:
        """bool [n]: breaches on generated images that are rounding alone, which the network amplifies.

        The graph in float64 must answer as PyTorch in float64, and the difference must be of the size of PyTorch's own
        between float32 and float64: onnxruntime's kernels round up to 30 times as much (InstanceNorm on a white image).
        """
        excused = np.zeros(len(breached), bool)
        if not breached.any():
            return excused
        images, wanted = pixels[breached], expected[breached]
        try:
            true = reference(copy.deepcopy(self.network).double(), self.manifest, images, torch.float64)
            graph = exact.logits(self.file, images)
        except Exception:  # noqa: BLE001 - whatever a network or the evaluator raises; then nothing is excused
            return excused
        same = gates.relative_difference(graph, true).max(1) <= self.bound
        own = gates.relative_difference(wanted, true).max(1)
        excused[breached] = same & (gates.relative_difference(found[breached], wanted).max(1) <= MAX_AMPLIFIED * own)
        return excused

    def breach(
        self,
        pixels: NDArray[np.uint8],
        expected: NDArray[np.float32],
        found: NDArray[np.float32],
        setting: Setting,
        breached: NDArray[np.bool_],
    ) -> ParityError:
        """The error for the worst of the breached faces: its class, and the layer it comes from."""
        difference = gates.relative_difference(found, expected)
        worst = np.where(breached[:, None], difference, -1)
        face, label = (int(i) for i in np.unravel_index(worst.argmax(), worst.shape))
        layer = first_difference(self.file, self.network, self.manifest, pixels[face], self.bound)
        what = (
            f"logit {self.manifest.labels[label]!r} of face {face} is {found[face, label]:.6f} in onnxruntime and "
            f"{expected[face, label]:.6f} in PyTorch, beyond {self.bound:g} of max(1, |logit|)"
        )
        return ParityError(LOGITS, what, face, str(setting), float(difference[face, label]), self.bound, layer)
