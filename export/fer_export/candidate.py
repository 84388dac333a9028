"""One precision's file: built, proved or compared, and described."""

from dataclasses import dataclass, replace

import numpy as np
import onnx
from numpy.typing import NDArray

from fer_export.graph import export, fp16, run
from fer_export.quantization import accuracy_budget, calibration, qdq, weight_rounding
from fer_export.quantization.accuracy_budget import Int8, Search
from fer_export.source import Source
from fer_export.validation import parity
from fer_export.validation.parity import Comparison
from fer_runtime.data.dataset import Faces, stratified
from fer_runtime.data.metrics import Scores, score
from fer_runtime.errors import FerError
from fer_runtime.model.manifest import Golden, Manifest, golden_faces
from fer_runtime.model.normalization import normalized
from fer_train.ranges import RANGE_FACES

GOLDEN_SEED = 48
# Rounding in another CPU's kernels: float sums in another order; for int8 also a step that falls the other way.
GOLDEN_TOLERANCE = {"fp32": 1e-3, "fp16": 1e-3, "int8": 0.1}


@dataclass(frozen=True)
class Evidence:
    """What a file is judged by."""

    pixels: NDArray[np.uint8]
    """[n, c, h, w]"""
    expected: NDArray[np.float32]
    """PyTorch's logits for them, [n, classes]."""
    labels: NDArray[np.int64] | None
    """[n]; None for generated images."""
    calibrated_on: Faces | None
    """Faces for int8's ranges and roundings, if any."""

    @property
    def faces(self) -> Faces | None:
        """The labelled faces, None for generated images."""
        if self.labels is None:
            return None
        return Faces(self.pixels, self.labels, tuple(map(str, range(len(self.labels)))))


@dataclass(frozen=True)
class Candidate:
    """One precision's file."""

    file: bytes
    manifest: Manifest
    comparison: Comparison
    """With PyTorch."""
    scores: Scores | None
    """On labelled faces."""
    search: Search | None = None
    """How int8 was made to fit."""


def in_float(source: Source, core: onnx.ModelProto, manifest: Manifest, evidence: Evidence, judged: bool) -> Candidate:
    """The file in `manifest.precision`, "fp32" or "fp16". Raises ParityError where it is `judged` and differs."""
    model = export.assembled(fp16.with_half_weights(core) if manifest.precision == "fp16" else core, manifest)
    file, pixels, expected = export.serialized(model, manifest), evidence.pixels, evidence.expected
    if judged:
        real = evidence.labels is not None
        comparison = parity.prove(file, source.network, manifest, pixels, expected, real=real)
    else:
        comparison = parity.compared(run.logits(file, pixels), expected)
    return _described(model, manifest, comparison, evidence)


def in_int8(
    source: Source, core: onnx.ModelProto, manifest: Manifest, evidence: Evidence, max_drop: float
) -> Candidate:
    """The file in int8; with labelled faces it loses at most `max_drop` (share of 1).

    Raises FerError where there are neither ranges nor faces to measure them on, DropError where int8 loses too much.
    """
    parts, faces = _parts(source, core, manifest, evidence.calibrated_on), evidence.faces
    search = None if faces is None else accuracy_budget.search(parts, faces, evidence.expected, max_drop)
    build = search.kept.build if search else parts.build(next(iter(parts.ranges)), evidence.pixels)
    recipe = qdq.RECIPE | {
        "ranges": build.calibration,
        "rounding": "compensated" if evidence.calibrated_on else "nearest",
        "fp32": list(search.kept.reverted) if search else [],
    }
    manifest = replace(manifest, quantization=recipe)
    parity.check_probabilities(export.serialized(build.model, manifest), evidence.pixels, manifest)
    return _described(build.model, manifest, parity.compared(build.logits, evidence.expected), evidence, search)


def _parts(source: Source, core: onnx.ModelProto, manifest: Manifest, calibrated_on: Faces | None) -> Int8:
    if calibrated_on is None:
        if not source.ranges:
            raise FerError("the network carries no activation ranges: give --calibration DATA for int8")
        return Int8(core, weight_rounding.rounded(core, None), {"checkpoint": source.ranges}, manifest)
    few = stratified(calibrated_on, RANGE_FACES)
    rounded = weight_rounding.rounded(core, normalized(few.pixels, manifest.mean, manifest.std))
    return Int8(core, rounded, calibration.ranges(core, few, manifest), manifest)


def _described(
    model: onnx.ModelProto,
    manifest: Manifest,
    comparison: Comparison,
    evidence: Evidence,
    search: Search | None = None,
) -> Candidate:
    """The candidate, once its golden logits are in the manifest."""
    manifest = replace(manifest, golden=_golden(export.serialized(model, manifest), manifest))
    scores = None
    if evidence.labels is not None:
        scores = score(comparison.logits.argmax(1), evidence.labels, manifest.labels)
    return Candidate(export.serialized(model, manifest), manifest, comparison, scores, search)


def _golden(file: bytes, manifest: Manifest) -> Golden:
    """The logits of this file for generated inputs, so that a device without torch can check itself."""
    logits = run.logits(file, golden_faces(GOLDEN_SEED, manifest.size, channels=manifest.channels))
    rows = tuple(tuple(row) for row in np.round(logits.astype(np.float64), 4).tolist())
    return Golden(GOLDEN_SEED, rows, GOLDEN_TOLERANCE[manifest.precision])
