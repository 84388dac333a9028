"""int8 within an accuracy budget: calibrations compared, then the most sensitive layers returned to fp32."""

from dataclasses import dataclass
from math import sqrt

import numpy as np
import onnx
from numpy.typing import NDArray

from fer_export import gates
from fer_export.graph import export, run
from fer_export.quantization import sensitivity
from fer_export.quantization.qdq import quantizable, quantized
from fer_export.quantization.sensitivity import LayerSensitivity
from fer_export.quantization.weight_rounding import with_weights_of
from fer_runtime.data.dataset import Faces
from fer_runtime.errors import GateError
from fer_runtime.model.manifest import Manifest
from fer_train.checkpoint import Ranges


class DropError(GateError):
    """int8 loses more than --max-drop. Attributes: trial (the last one, most of it back in fp32), max_drop (of 1)."""

    def __init__(self, trial: "Trial", max_drop: float) -> None:
        self.trial, self.max_drop = trial, max_drop
        super().__init__(
            f"int8 loses too much, even with {len(trial.nodes)} nodes back in fp32: {100 * trial.drop:.2f} points (at "
            f"most {100 * max_drop:g}), {trial.agreement:.2%} same answers (at least {gates.MIN_AGREEMENT:.0%})"
        )


@dataclass(frozen=True)
class Build:
    """One int8 graph, put together and run once."""

    calibration: str
    """The method that its ranges come from."""
    model: onnx.ModelProto
    """As a file holds it (fer_export.graph.export.assembled)."""
    logits: NDArray[np.float32]
    """Of the faces that it is judged on, [n, classes]."""


@dataclass(frozen=True)
class Trial:
    """A build, measured on labelled faces. Shares are of 1."""

    build: Build
    reverted: tuple[str, ...]
    """Sites put back to fp32, in that order."""
    nodes: frozenset[str]
    """Graph nodes that this took out of int8."""
    accuracy: float
    drop: float
    """Accuracy lost against PyTorch, on the same faces."""
    interval: float
    """Half the 95 % interval of the drop."""
    agreement: float
    """Share with PyTorch's top-1."""

    def fits(self, max_drop: float) -> bool:
        """Whether it keeps to the budget; the point estimate decides."""
        return self.drop <= max_drop and self.agreement >= gates.MIN_AGREEMENT


@dataclass(frozen=True)
class Search:
    """How the kept int8 graph was found."""

    trials: tuple[Trial, ...]
    """All of them, the kept one last."""
    sensitivities: tuple[LayerSensitivity, ...]
    """Each site's own, the most harmful first."""

    @property
    def kept(self) -> Trial:
        """The trial that fits."""
        return self.trials[-1]


@dataclass(frozen=True)
class Int8:
    """What int8 graphs are made from."""

    core: onnx.ModelProto
    """In float: fer_export.graph.export.core."""
    rounded: onnx.ModelProto
    """The same with int8's weights (weight_rounding)."""
    ranges: dict[str, Ranges]
    """By calibration method."""
    manifest: Manifest

    def build(self, method: str, pixels: NDArray[np.uint8], in_fp32: frozenset[str] = frozenset()) -> Build:
        """The network in int8, but for the nodes named in `in_fp32`, which keep their own weights; run on `pixels`
        (uint8 [n, c, h, w]).
        """
        weights = with_weights_of(self.rounded, self.core, in_fp32)
        model = export.assembled(quantized(weights, self.ranges[method], self.manifest, in_fp32), self.manifest)
        return Build(method, model, run.logits(export.serialized(model, self.manifest), pixels))


def search(parts: Int8, faces: Faces, expected: NDArray[np.float32], max_drop: float) -> Search:
    """The first way of making int8 that loses at most `max_drop` (share of 1) and agrees often enough.

    expected: PyTorch's logits [n, classes] on `faces`. Raises DropError when every layer would have to go back to fp32.
    """

    def trial(method: str, reverted: tuple[str, ...] = (), nodes: frozenset[str] = frozenset()) -> Trial:
        return _measured(parts.build(method, faces.pixels, nodes), reverted, nodes, faces.labels, expected)

    trials: list[Trial] = []
    for method in parts.ranges:
        trials.append(trial(method))
        if trials[-1].fits(max_drop):
            break
    best = trials[-1] if trials[-1].fits(max_drop) else max(trials, key=lambda each: each.agreement)
    method = best.build.calibration
    sensitivities = sensitivity.measured(parts.core, parts.rounded, parts.ranges[method], faces, parts.manifest)
    everything = {node.name for node in quantizable(parts.core)}
    for worst in sensitivities:
        if best.fits(max_drop):
            break
        nodes = best.nodes | set(worst.nodes)
        if nodes == best.nodes:
            continue
        if everything <= nodes:
            break
        best = trial(method, (*best.reverted, f"{worst.site} ({worst.kind})"), nodes)
        trials.append(best)
    if not best.fits(max_drop):
        raise DropError(best, max_drop)
    return Search((*(each for each in trials if each is not best), best), tuple(sensitivities))


def paired_drop(
    expected: NDArray[np.float32], found: NDArray[np.float32], labels: NDArray[np.int64]
) -> tuple[float, float]:
    """Accuracy lost from logits `expected` to `found` on the same faces, and half its 95 % interval; shares of 1."""
    lost = (expected.argmax(1) == labels).astype(np.float64) - (found.argmax(1) == labels)
    return float(lost.mean()), float(1.96 * lost.std() / sqrt(len(lost)))


def _measured(
    build: Build,
    reverted: tuple[str, ...],
    nodes: frozenset[str],
    labels: NDArray[np.int64],
    expected: NDArray[np.float32],
) -> Trial:
    drop, interval = paired_drop(expected, build.logits, labels)
    accuracy = float((build.logits.argmax(1) == labels).mean())
    return Trial(build, reverted, nodes, accuracy, drop, interval, gates.agreement(build.logits, expected))
