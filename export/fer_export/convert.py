"""From a checkpoint to a checked file: build, quantize, compare, describe."""

from dataclasses import dataclass, replace

import numpy as np
import onnx
import onnxruntime
import torch

from fer_export import graph, parity, quantize
from fer_export.parity import Comparison
from fer_runtime import contract
from fer_runtime.contract import Golden
from fer_runtime.dataset import Faces
from fer_runtime.errors import FerError
from fer_runtime.metrics import Scores, score
from fer_runtime.session import open_session
from fer_train import ranges
from fer_train.checkpoint import Checkpoint, Ranges

GOLDEN_SEED = 48
# Rounding in another CPU's kernels: float sums in another order; for int8 also a step that falls the other way.
GOLDEN_TOLERANCE = {"fp32": 1e-3, "int8": 0.1}


@dataclass(frozen=True)
class Exported:
    """The file's bytes, its comparison with PyTorch, and both sides' scores where labelled faces were given."""

    file: bytes
    manifest: contract.Manifest
    comparison: Comparison
    torch_scores: Scores | None
    file_scores: Scores | None


def convert(
    source: Checkpoint, digest: str, precision: str, calibration: Faces | None, faces: Faces | None
) -> Exported:
    """Export the checkpoint `source`, whose file has the SHA-256 `digest`, as "fp32" or "int8".

    calibration: measures the activation ranges anew, in place of the checkpoint's; faces: labelled in the model's
    order, compared on and scored; without them generated images are compared.
    Raises FerError for bad input, GateError (exit code 3) when the file does not answer as PyTorch does.
    """
    ranges_from = "checkpoint" if calibration is None else "calibration data"
    manifest = replace(
        source.manifest,
        precision=precision,
        checkpoint=digest,
        quantization=quantize.RECIPE | {"ranges": ranges_from} if precision == "int8" else {},
        versions=source.manifest.versions
        | {"onnx": onnx.__version__, "onnxruntime": onnxruntime.__version__, "torch_export": str(torch.__version__)},
    )
    model = graph.core(source.network)
    if precision == "int8":
        model = quantize.quantized(model, _ranges(source, calibration), manifest)
    model = graph.with_probabilities(graph.with_pixels(model, manifest), manifest)
    draft = graph.finished(model, manifest)

    pixels = parity.generated_faces(manifest.size) if faces is None else faces.pixels
    expected = parity.reference(source.network, manifest, pixels)
    comparison = parity.compare(draft, expected, pixels)
    if precision == "fp32":
        parity.check(comparison, expected)
        edges = parity.edge_faces(manifest.size)
        expected_edges = parity.reference(source.network, manifest, edges)
        parity.check(parity.compare(draft, expected_edges, edges), expected_edges)
    parity.check_probabilities(draft, pixels, manifest)
    manifest = replace(manifest, golden=_golden(draft, manifest))
    scores = (
        [None, None]
        if faces is None
        else [score(logits.argmax(1), faces.labels, manifest.labels) for logits in (expected, comparison.logits)]
    )
    return Exported(graph.finished(model, manifest), manifest, comparison, scores[0], scores[1])


def _ranges(source: Checkpoint, calibration: Faces | None) -> Ranges:
    if calibration is not None:
        return ranges.activation_ranges(source.network, calibration)
    if not source.ranges:
        raise FerError("the checkpoint carries no activation ranges: give --calibration DATA for int8")
    return source.ranges


def _golden(file: bytes, manifest: contract.Manifest) -> Golden:
    """What this file answers on generated inputs, so that a device without torch can check itself."""
    faces = contract.golden_faces(GOLDEN_SEED, manifest.size)
    logits = open_session(file).run([contract.LOGITS], {contract.INPUT: faces})[0]
    rows = tuple(tuple(row) for row in np.round(logits.astype(np.float64), 4).tolist())
    return Golden(GOLDEN_SEED, rows, GOLDEN_TOLERANCE[manifest.precision])
