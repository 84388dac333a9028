"""One precision's file: built, proved or compared, and described."""

from dataclasses import dataclass, replace

import numpy as np
import onnx
from numpy.typing import NDArray

from fer_export.graph import export, fp16
from fer_export.loading.adopt import Source
from fer_export.quantization import accuracy_budget, calibration, qdq, weight_rounding
from fer_export.quantization.accuracy_budget import Int8, Search
from fer_export.validation import parity
from fer_export.validation.parity import Comparison
from fer_runtime.data.dataset import Faces, stratified
from fer_runtime.data.metrics import Scores, score
from fer_runtime.errors import FerError
from fer_runtime.model.manifest import INPUT, LOGITS, Golden, Manifest, golden_faces
from fer_runtime.model.session import open_session
from fer_train.ranges import RANGE_FACES

GOLDEN_SEED = 48
# Rounding in another CPU's kernels: float sums in another order; for int8 also a step that falls the other way.
GOLDEN_TOLERANCE = {"fp32": 1e-3, "fp16": 1e-3, "int8": 0.1}


@dataclass(frozen=True)
class Evidence:
    """What a file is judged by. pixels: uint8 [n, c, h, w]; expected: PyTorch's logits [n, classes] for them;
    labels: int64 [n], None for generated images; calibrated_on: faces for int8's ranges and roundings, if any.
    """

    pixels: NDArray[np.uint8]
    expected: NDArray[np.float32]
    labels: NDArray[np.int64] | None
    calibrated_on: Faces | None

    @property
    def faces(self) -> Faces | None:
        """The labelled faces, None for generated images."""
        if self.labels is None:
            return None
        return Faces(self.pixels, self.labels, tuple(map(str, range(len(self.labels)))))


@dataclass(frozen=True)
class Candidate:
    """One precision's file. comparison: with PyTorch; scores: on labelled faces; search: how int8 was made to fit."""

    file: bytes
    manifest: Manifest
    comparison: Comparison
    scores: Scores | None
    search: Search | None = None


def in_float(source: Source, core: onnx.ModelProto, manifest: Manifest, evidence: Evidence, judged: bool) -> Candidate:
    """The file in `manifest.precision`, "fp32" or "fp16". Raises ParityError where it is `judged` and differs."""
    model = _assembled(fp16.with_half_weights(core) if manifest.precision == "fp16" else core, manifest)
    file, pixels, expected = export.finished(model, manifest), evidence.pixels, evidence.expected
    if judged:
        comparison = parity.prove(file, source.network, manifest, pixels, expected)
    else:
        comparison = parity.compare(file, expected, pixels)
    return _described(model, manifest, comparison, evidence)


def in_int8(
    source: Source, core: onnx.ModelProto, manifest: Manifest, evidence: Evidence, max_drop: float
) -> Candidate:
    """The file in int8; with labelled faces it loses at most `max_drop` (share of 1).

    Raises FerError where there are neither ranges nor faces to measure them on, DropError where int8 loses too much.
    """
    parts = _parts(source, core, manifest, evidence.calibrated_on)

    def file(model: onnx.ModelProto) -> bytes:
        return export.finished(_assembled(model, manifest), manifest)

    def answer(model: onnx.ModelProto) -> NDArray[np.float32]:
        return parity.answers(file(model), evidence.pixels, parity.SETTINGS[0])

    method, faces = next(iter(parts.ranges)), evidence.faces
    search = None if faces is None else accuracy_budget.search(parts, faces, evidence.expected, answer, max_drop)
    model = search.kept.model if search else parts.model(method)
    recipe = qdq.RECIPE | {
        "ranges": search.kept.calibration if search else method,
        "rounding": "compensated" if evidence.calibrated_on else "nearest",
        "fp32": list(search.kept.reverted) if search else [],
    }
    comparison = parity.compare(file(model), evidence.expected, evidence.pixels)
    parity.check_probabilities(file(model), evidence.pixels, manifest)
    manifest = replace(manifest, quantization=recipe)
    return _described(_assembled(model, manifest), manifest, comparison, evidence, search)


def _parts(source: Source, core: onnx.ModelProto, manifest: Manifest, calibrated_on: Faces | None) -> Int8:
    if calibrated_on is None:
        if not source.ranges:
            raise FerError("the network carries no activation ranges: give --calibration DATA for int8")
        return Int8(core, weight_rounding.rounded(core, None), {"checkpoint": source.ranges}, manifest)
    few = stratified(calibrated_on, RANGE_FACES)
    rounded = weight_rounding.rounded(core, calibration.normalized(few.pixels, manifest))
    return Int8(core, rounded, calibration.ranges(core, few, manifest), manifest)


def _assembled(model: onnx.ModelProto, manifest: Manifest) -> onnx.ModelProto:
    """A copy of `model` with camera bytes in and probabilities out."""
    copy = onnx.ModelProto()
    copy.CopyFrom(model)
    return export.with_probabilities(export.with_pixels(copy, manifest), manifest)


def _described(
    model: onnx.ModelProto,
    manifest: Manifest,
    comparison: Comparison,
    evidence: Evidence,
    search: Search | None = None,
) -> Candidate:
    manifest = replace(manifest, golden=_golden(export.finished(model, manifest), manifest))
    scores = None
    if evidence.labels is not None:
        scores = score(comparison.logits.argmax(1), evidence.labels, manifest.labels)
    return Candidate(export.finished(model, manifest), manifest, comparison, scores, search)


def _golden(file: bytes, manifest: Manifest) -> Golden:
    """What this file answers on generated inputs, so that a device without torch can check itself."""
    faces = golden_faces(GOLDEN_SEED, manifest.size, channels=manifest.channels)
    logits = open_session(file).run([LOGITS], {INPUT: faces})[0]
    rows = tuple(tuple(row) for row in np.round(logits.astype(np.float64), 4).tolist())
    return Golden(GOLDEN_SEED, rows, GOLDEN_TOLERANCE[manifest.precision])
