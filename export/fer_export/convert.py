"""From a network to a checked file: build it in each precision that is asked for, prove, measure, choose, describe."""

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import onnx
import onnxruntime
import torch
from numpy.typing import NDArray

from fer_export import advice, budget, calibration, graph, half, parity, quantize, rounding, speed
from fer_export.budget import Int8, Search
from fer_export.foreign import Source
from fer_export.parity import Comparison
from fer_export.speed import SpeedError, Timing
from fer_runtime import contract
from fer_runtime.contract import Golden, Manifest
from fer_runtime.dataset import Faces, stratified
from fer_runtime.errors import FerError, GateError
from fer_runtime.metrics import Scores, score
from fer_runtime.session import open_session
from fer_train.ranges import RANGE_FACES

GOLDEN_SEED = 48
# Rounding in another CPU's kernels: float sums in another order; for int8 also a step that falls the other way.
GOLDEN_TOLERANCE = {"fp32": 1e-3, "fp16": 1e-3, "int8": 0.1}
MIN_SPEEDUP = 1.1


@dataclass(frozen=True)
class Wish:
    """What is asked for. precision: "fp32", "fp16", "int8" or "auto"; max_drop: share of 1 that int8 may lose;
    min_speedup: of int8 over fp32, None for the default, which only warns unless precision is "auto";
    threads: of the timed sessions.
    """

    precision: str
    max_drop: float
    min_speedup: float | None
    threads: int

    @property
    def precisions(self) -> tuple[str, ...]:
        """What has to be built; int8 is compared with fp32."""
        return {"auto": ("fp32", "fp16", "int8"), "int8": ("fp32", "int8")}.get(self.precision, (self.precision,))


@dataclass(frozen=True)
class Candidate:
    """One precision's file. comparison: with PyTorch; scores: on labelled faces; search: how int8 was made to fit."""

    file: bytes
    manifest: Manifest
    comparison: Comparison
    scores: Scores | None = None
    search: Search | None = None


@dataclass(frozen=True)
class Exported:
    """chosen: the precision of the file to write; candidates, timings: by precision; expected, scores: PyTorch's;
    notes: what the user should be told.
    """

    chosen: str
    candidates: dict[str, Candidate]
    timings: dict[str, Timing]
    expected: NDArray[np.float32]
    scores: Scores | None
    notes: tuple[str, ...]

    @property
    def file(self) -> Candidate:
        """The candidate to write."""
        return self.candidates[self.chosen]


def convert(
    source: Source, wish: Wish, calibrated_on: Faces | None, faces: Faces | None, say: Callable[[str], None]
) -> Exported:
    """Export `source` as `wish` says.

    calibrated_on: faces that int8's ranges and roundings are measured on, instead of the checkpoint's ranges;
    faces: labelled in the model's order, compared on and scored; without them generated images are compared, and
    int8's accuracy is not measured. `say` is told what is going on.
    Raises FerError for bad input, GateError (exit code 3) when a gate is breached.
    """
    if wish.precision == "auto" and faces is None:
        raise FerError("--precision auto compares accuracies: give the labelled faces with --data DATA")
    say("exporting")
    core = graph.core(source)
    manifest = _described(source, core)
    pixels = parity.generated_faces(manifest.size, manifest.channels) if faces is None else faces.pixels
    expected = parity.reference(source.network, manifest, pixels)
    candidates: dict[str, Candidate] = {}
    notes: list[str] = []
    for precision in wish.precisions:
        say(f"proving {precision}")
        own = replace(manifest, precision=precision)
        try:
            if precision == "int8":
                found = _int8(source, core, own, calibrated_on, faces, pixels, expected, wish)
            else:
                model = _assembled(half.with_half_weights(core) if precision == "fp16" else core, own)
                file = graph.finished(model, own)
                judged = wish.precision != "int8"  # beside int8, fp32 is there to be timed and to be compared with
                comparison = (
                    parity.prove(file, source.network, own, pixels, expected)
                    if judged
                    else parity.compare(file, expected, pixels)
                )
                found = _candidate(model, own, comparison, faces)
            candidates[precision] = found
        except GateError as error:
            if wish.precision != "auto" or precision == "fp32":
                raise
            notes.append(f"{precision} is left out: {error}")
    timings: dict[str, Timing] = {}
    if len(candidates) > 1:
        say("timing")
        timings = speed.race({name: each.file for name, each in candidates.items()}, pixels[:1], wish.threads)
    chosen, why = _chosen(wish, candidates, timings)
    notes += why
    scores = None if faces is None else score(expected.argmax(1), faces.labels, manifest.labels)
    return Exported(chosen, candidates, timings, expected, scores, tuple(notes))


def _described(source: Source, core: onnx.ModelProto) -> Manifest:
    versions = {"onnx": onnx.__version__, "onnxruntime": onnxruntime.__version__}
    versions["torch_export"] = str(torch.__version__)
    manifest = source.manifest
    return replace(
        manifest,
        checkpoint=source.digest,
        macs=manifest.macs or graph.macs(core),
        versions=manifest.versions | versions,
    )


def _assembled(model: onnx.ModelProto, manifest: Manifest) -> onnx.ModelProto:
    """A copy of `model` with camera bytes in and probabilities out."""
    copy = onnx.ModelProto()
    copy.CopyFrom(model)
    return graph.with_probabilities(graph.with_pixels(copy, manifest), manifest)


def _candidate(
    model: onnx.ModelProto,
    manifest: Manifest,
    comparison: Comparison,
    faces: Faces | None,
    search: Search | None = None,
) -> Candidate:
    manifest = replace(manifest, golden=_golden(graph.finished(model, manifest), manifest))
    scores = None if faces is None else score(comparison.logits.argmax(1), faces.labels, manifest.labels)
    return Candidate(graph.finished(model, manifest), manifest, comparison, scores, search)


def _int8(
    source: Source,
    core: onnx.ModelProto,
    manifest: Manifest,
    calibrated_on: Faces | None,
    faces: Faces | None,
    pixels: NDArray[np.uint8],
    expected: NDArray[np.float32],
    wish: Wish,
) -> Candidate:
    parts = _parts(source, core, manifest, calibrated_on)

    def file(model: onnx.ModelProto) -> bytes:
        return graph.finished(_assembled(model, manifest), manifest)

    def answer(model: onnx.ModelProto) -> NDArray[np.float32]:
        return parity.answers(file(model), pixels, parity.SETTINGS[0])

    method = next(iter(parts.ranges))
    search = None if faces is None else budget.search(parts, faces, expected, answer, wish.max_drop)
    model = search.kept.model if search else parts.model(method)
    recipe = quantize.RECIPE | {
        "ranges": search.kept.calibration if search else method,
        "rounding": "compensated" if calibrated_on else "nearest",
        "fp32": list(search.kept.reverted) if search else [],
    }
    manifest = replace(manifest, quantization=recipe)
    comparison = parity.compare(file(model), expected, pixels)
    parity.check_probabilities(file(model), pixels, manifest)
    return _candidate(_assembled(model, manifest), manifest, comparison, faces, search)


def _parts(source: Source, core: onnx.ModelProto, manifest: Manifest, calibrated_on: Faces | None) -> Int8:
    """Raises FerError where there are neither ranges nor faces to measure them on."""
    if calibrated_on is None:
        if not source.ranges:
            raise FerError("the network carries no activation ranges: give --calibration DATA for int8")
        return Int8(core, rounding.rounded(core, None), {"checkpoint": source.ranges}, manifest)
    few = stratified(calibrated_on, RANGE_FACES)
    rounded = rounding.rounded(core, calibration.normalized(few.pixels, manifest))
    return Int8(core, rounded, calibration.ranges(core, few, manifest), manifest)


def _chosen(wish: Wish, candidates: dict[str, Candidate], timings: dict[str, Timing]) -> tuple[str, list[str]]:
    """The precision to write, and why. Raises SpeedError where int8 must be faster than it is."""
    if "int8" not in candidates:
        return "fp32" if wish.precision == "auto" else wish.precision, []
    needed, ratio = wish.min_speedup or MIN_SPEEDUP, timings["int8"].ratio
    notes = [advice.RASPBERRY_PI]
    if ratio >= needed:
        return "int8", [f"int8 is {ratio:.2f} times as fast as fp32 on this CPU", *notes]
    int8 = candidates["int8"]
    short = SpeedError(ratio, needed, advice.why_slow(int8.manifest, int8.file))
    if wish.precision == "auto":
        return "fp32", [f"{short}; fp32 is kept", *notes]
    if wish.min_speedup is not None:
        raise short
    return "int8", [f"{short}; fp32 may serve better here", *notes]


def _golden(file: bytes, manifest: Manifest) -> Golden:
    """What this file answers on generated inputs, so that a device without torch can check itself."""
    faces = contract.golden_faces(GOLDEN_SEED, manifest.size, channels=manifest.channels)
    logits = open_session(file).run([contract.LOGITS], {contract.INPUT: faces})[0]
    rows = tuple(tuple(row) for row in np.round(logits.astype(np.float64), 4).tolist())
    return Golden(GOLDEN_SEED, rows, GOLDEN_TOLERANCE[manifest.precision])
