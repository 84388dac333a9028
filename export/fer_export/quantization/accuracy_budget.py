"""int8 within an accuracy budget: calibrations compared, then the most harmful layers put back to fp32, one by one."""

from collections.abc import Callable
from dataclasses import dataclass
from math import sqrt

import numpy as np
import onnx
from numpy.typing import NDArray

from fer_export.quantization import sensitivity
from fer_export.quantization.qdq import quantizable, quantized
from fer_export.quantization.sensitivity import Harm
from fer_export.quantization.weight_rounding import with_weights_of
from fer_export.validation.parity import AGREEMENT
from fer_runtime.data.dataset import Faces
from fer_runtime.errors import GateError
from fer_runtime.model.manifest import Manifest
from fer_train.checkpoint import Ranges


class DropError(GateError):
    """int8 cannot keep to the budget. trial: the last one, most of it back in fp32; max_drop: share of 1."""

    def __init__(self, trial: "Trial", max_drop: float) -> None:
        self.trial, self.max_drop = trial, max_drop
        super().__init__(
            f"int8 loses too much, even with {len(trial.nodes)} nodes back in fp32: {100 * trial.drop:.2f} points (at "
            f"most {100 * max_drop:g}), {trial.agreement:.2%} same answers (at least {AGREEMENT:.0%})"
        )


@dataclass(frozen=True)
class Trial:
    """One way of making int8, measured. calibration: its method; reverted: the sites put back to fp32, in order;
    nodes: the graph nodes that this took out of int8; accuracy, drop, agreement: shares of 1; interval: half the
    95 % interval of the drop; logits: float32 [n, classes].
    """

    calibration: str
    reverted: tuple[str, ...]
    nodes: frozenset[str]
    model: onnx.ModelProto
    accuracy: float
    drop: float
    interval: float
    agreement: float
    logits: NDArray[np.float32]

    def fits(self, max_drop: float) -> bool:
        """Whether it keeps the budget; the point estimate decides."""
        return self.drop <= max_drop and self.agreement >= AGREEMENT


@dataclass(frozen=True)
class Search:
    """Every trial, the kept one last; harms: each site's own, the most harmful first."""

    trials: tuple[Trial, ...]
    harms: tuple[Harm, ...]

    @property
    def kept(self) -> Trial:
        """The trial that fits."""
        return self.trials[-1]


@dataclass(frozen=True)
class Int8:
    """What int8 is made from. core: fer_export.graph.export.core; rounded: by weight_rounding; ranges: by method."""

    core: onnx.ModelProto
    rounded: onnx.ModelProto
    ranges: dict[str, Ranges]
    manifest: Manifest

    def model(self, method: str, in_fp32: frozenset[str] = frozenset()) -> onnx.ModelProto:
        """The network in int8, but for the nodes named in `in_fp32`, which keep their own weights."""
        return quantized(with_weights_of(self.rounded, self.core, in_fp32), self.ranges[method], self.manifest, in_fp32)


def search(
    parts: Int8,
    faces: Faces,
    expected: NDArray[np.float32],
    answer: Callable[[onnx.ModelProto], NDArray[np.float32]],
    max_drop: float,
) -> Search:
    """The first way of making int8 that loses at most `max_drop` (share of 1) and agrees often enough.

    expected: PyTorch's logits [n, classes] on `faces`; answer: an int8 network's logits on them.
    Raises DropError when every layer would have to go back to fp32.
    """

    def trial(method: str, reverted: tuple[str, ...] = (), nodes: frozenset[str] = frozenset()) -> Trial:
        model = parts.model(method, nodes)
        logits = answer(model)
        drop, interval = paired_drop(expected, logits, faces.labels)
        agreement = float((logits.argmax(1) == expected.argmax(1)).mean())
        accuracy = float((logits.argmax(1) == faces.labels).mean())
        return Trial(method, reverted, nodes, model, accuracy, drop, interval, agreement, logits)

    trials: list[Trial] = []
    for method in parts.ranges:
        trials.append(trial(method))
        if trials[-1].fits(max_drop):
            break
    best = trials[-1] if trials[-1].fits(max_drop) else max(trials, key=lambda each: each.agreement)
    harms = sensitivity.harms(parts.core, parts.rounded, parts.ranges[best.calibration], faces, parts.manifest)
    everything = {node.name for node in quantizable(parts.core)}
    for harm in harms:
        if best.fits(max_drop):
            break
        nodes = best.nodes | set(harm.nodes)
        if nodes == best.nodes:
            continue
        if everything <= nodes:
            break
        best = trial(best.calibration, (*best.reverted, f"{harm.site} ({harm.kind})"), nodes)
        trials.append(best)
    if not best.fits(max_drop):
        raise DropError(best, max_drop)
    return Search((*(each for each in trials if each is not best), best), tuple(harms))


def paired_drop(
    expected: NDArray[np.float32], found: NDArray[np.float32], labels: NDArray[np.int64]
) -> tuple[float, float]:
    """Accuracy lost from logits `expected` to `found` on the same faces, and half its 95 % interval; shares of 1."""
    lost = (expected.argmax(1) == labels).astype(np.float64) - (found.argmax(1) == labels)
    return float(lost.mean()), float(1.96 * lost.std() / sqrt(len(lost)))
