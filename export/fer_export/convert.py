"""From a network to the file to write: every requested precision is built, they are timed, and one is chosen."""

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import onnx
import onnxruntime
import torch
from numpy.typing import NDArray
from torch import nn

from fer_export import candidate, gates
from fer_export.candidate import Candidate, Evidence
from fer_export.graph import export
from fer_export.source import Source
from fer_export.validation import int8_advice, parity, speedup
from fer_export.validation.speedup import SpeedError, Timing
from fer_runtime.data import label_order
from fer_runtime.data.dataset import Faces
from fer_runtime.data.metrics import Scores, score
from fer_runtime.errors import FerError, GateError
from fer_runtime.model import cost
from fer_runtime.model.manifest import Manifest
from fer_runtime.model.session import MAX_MODEL_BYTES

BYTES = {"fp32": 4, "auto": 4, "fp16": 2, "int8": 1}  # of a weight in the file


@dataclass(frozen=True)
class ExportOptions:
    """What is asked for."""

    precision: str
    """"fp32", "fp16", "int8" or "auto"."""
    max_drop: float
    """Accuracy that int8 may lose, share of 1."""
    min_speedup: float | None
    """Of int8 over fp32; None for gates.MIN_SPEEDUP, which only warns unless precision is "auto"."""
    threads: int
    """Of the timed sessions."""

    @property
    def precisions(self) -> tuple[str, ...]:
        """What has to be built; int8 is compared with fp32."""
        return {"auto": ("fp32", "fp16", "int8"), "int8": ("fp32", "int8")}.get(self.precision, (self.precision,))


@dataclass(frozen=True)
class Exported:
    """The result of an export."""

    chosen: str
    """The precision of the file to write."""
    candidates: dict[str, Candidate]
    """By precision."""
    timings: dict[str, Timing]
    """By precision, and of the CPU's peak."""
    expected: NDArray[np.float32]
    """PyTorch's logits, [n, classes]."""
    scores: Scores | None
    """PyTorch's, on labelled faces."""
    notes: tuple[str, ...]
    """What the user should be told."""

    @property
    def file(self) -> Candidate:
        """The candidate to write."""
        return self.candidates[self.chosen]


def convert(
    source: Source,
    options: ExportOptions,
    calibrated_on: Faces | None,
    faces: Faces | None,
    on_progress: Callable[[str], None],
) -> Exported:
    """Export `source` as `options` says.

    calibrated_on: faces that int8's ranges and roundings are measured on, instead of the checkpoint's ranges;
    faces: labelled in the model's order, compared on and scored; without them generated images are compared, and
    int8's accuracy is not measured. on_progress: is given the name of each step.
    Raises FerError for bad input, GateError (exit code 3) when a gate is breached.
    """
    if options.precision == "auto" and faces is None:
        raise FerError("--precision auto compares accuracies: give the labelled faces with --data DATA")
    _check_size(source.network, options.precision)
    on_progress("exporting")
    core = export.core(source)
    manifest = _with_facts(source, core)
    pixels = parity.generated_faces(manifest.size, manifest.channels) if faces is None else faces.pixels
    expected = parity.reference(source.network, manifest, pixels)
    evidence = Evidence(pixels, expected, None if faces is None else faces.labels, calibrated_on)
    candidates: dict[str, Candidate] = {}
    notes: list[str] = []
    for precision in options.precisions:
        on_progress(f"proving {precision}")
        own = replace(manifest, precision=precision)
        try:
            if precision == "int8":
                candidates[precision] = candidate.in_int8(source, core, own, evidence, options.max_drop)
            else:  # beside int8, fp32 is there to be timed and compared with
                judged = options.precision != "int8"
                candidates[precision] = candidate.in_float(source, core, own, evidence, judged)
        except GateError as error:
            if options.precision != "auto" or precision == "fp32":
                raise
            notes.append(f"{precision} is left out: {error}")
    timings: dict[str, Timing] = {}
    if len(candidates) > 1:
        on_progress("timing")
        timings = speedup.race({name: each.file for name, each in candidates.items()}, pixels[:1], options.threads)
    notes += _of_rounding(candidates)
    chosen, why = _chosen(options, candidates, timings)
    scores = None if faces is None else score(expected.argmax(1), faces.labels, manifest.labels)
    if scores and (hint := label_order.note(scores)):
        notes.append(hint)
    return Exported(chosen, candidates, timings, expected, scores, (*notes, *why))


def _check_size(network: nn.Module, precision: str) -> None:
    """Raise FerError, before anything is proved, for a file larger than the runtime opens."""
    numbers = sum(tensor.numel() for tensor in (*network.parameters(), *network.buffers()))
    size = numbers * BYTES[precision]
    if size > MAX_MODEL_BYTES:
        raise FerError(
            f"the network has {numbers:,} weights: in {precision} a file of {size >> 20} MiB, and fer-run opens up to "
            f"{MAX_MODEL_BYTES >> 20} MiB; choose a smaller network, or, if it has up to "
            f"{MAX_MODEL_BYTES // BYTES['int8']:,}, --precision int8 with --calibration DATA"
        )


def _of_rounding(candidates: dict[str, Candidate]) -> list[str]:
    """What to tell of generated images on which PyTorch's own rounding is beyond the bound."""
    excused = max(each.comparison.excused for each in candidates.values())
    if not excused:
        return []
    return [
        f"on {excused} generated images the network amplifies rounding (normalization of a flat image): in float64 the "
        "file answers as PyTorch does; compare on faces with --data DATA"
    ]


def _with_facts(source: Source, core: onnx.ModelProto) -> Manifest:
    versions = {"onnx": onnx.__version__, "onnxruntime": onnxruntime.__version__}
    versions["torch_export"] = str(torch.__version__)
    manifest = source.manifest
    return replace(
        manifest,
        checkpoint=source.digest,
        macs=manifest.macs or _macs(core, manifest),
        versions=manifest.versions | versions,
    )


def _macs(core: onnx.ModelProto, manifest: Manifest) -> int:
    """Multiply-adds per face, 0 where onnxruntime cannot run the graph."""
    counted = cost.count(core.SerializeToString(), (1, manifest.channels, manifest.size, manifest.size))
    return counted.macs if counted else 0


def _chosen(
    options: ExportOptions, candidates: dict[str, Candidate], timings: dict[str, Timing]
) -> tuple[str, list[str]]:
    """The precision to write, and why. Raises SpeedError where int8 must be faster than it is."""
    if "int8" not in candidates:
        return "fp32" if options.precision == "auto" else options.precision, []
    needed = gates.MIN_SPEEDUP if options.min_speedup is None else options.min_speedup  # 0 takes any
    ratio = timings["int8"].ratio
    notes = [int8_advice.RASPBERRY_PI]
    if ratio >= needed:
        return "int8", [f"int8 is {ratio:.2f} times as fast as fp32 on this CPU", *notes]
    int8 = candidates["int8"]
    short = SpeedError(ratio, needed, int8_advice.why_slow(int8.manifest, int8.file))
    if options.precision == "auto":
        return "fp32", [f"{short}; fp32 is kept", *notes]
    if options.min_speedup is not None:
        raise short
    return "int8", [f"{short}; fp32 may serve better here", *notes]
