"""From a network to the file to write: every precision that is asked for, a race between them, a choice."""

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import onnx
import onnxruntime
import torch
from numpy.typing import NDArray

from fer_export import candidate
from fer_export.candidate import Candidate, Evidence
from fer_export.graph import export
from fer_export.loading.adopt import Source
from fer_export.validation import int8_advice, parity, speedup
from fer_export.validation.speedup import SpeedError, Timing
from fer_runtime.data.dataset import Faces
from fer_runtime.data.metrics import Scores, score
from fer_runtime.errors import FerError, GateError
from fer_runtime.model.manifest import Manifest

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
    core = export.core(source)
    manifest = _with_facts(source, core)
    pixels = parity.generated_faces(manifest.size, manifest.channels) if faces is None else faces.pixels
    expected = parity.reference(source.network, manifest, pixels)
    evidence = Evidence(pixels, expected, None if faces is None else faces.labels, calibrated_on)
    candidates: dict[str, Candidate] = {}
    notes: list[str] = []
    for precision in wish.precisions:
        say(f"proving {precision}")
        own = replace(manifest, precision=precision)
        try:
            if precision == "int8":
                candidates[precision] = candidate.in_int8(source, core, own, evidence, wish.max_drop)
            else:  # beside int8, fp32 is there to be timed and compared with
                judged = wish.precision != "int8"
                candidates[precision] = candidate.in_float(source, core, own, evidence, judged)
        except GateError as error:
            if wish.precision != "auto" or precision == "fp32":
                raise
            notes.append(f"{precision} is left out: {error}")
    timings: dict[str, Timing] = {}
    if len(candidates) > 1:
        say("timing")
        timings = speedup.race({name: each.file for name, each in candidates.items()}, pixels[:1], wish.threads)
    chosen, why = _chosen(wish, candidates, timings)
    scores = None if faces is None else score(expected.argmax(1), faces.labels, manifest.labels)
    return Exported(chosen, candidates, timings, expected, scores, (*notes, *why))


def _with_facts(source: Source, core: onnx.ModelProto) -> Manifest:
    versions = {"onnx": onnx.__version__, "onnxruntime": onnxruntime.__version__}
    versions["torch_export"] = str(torch.__version__)
    manifest = source.manifest
    return replace(
        manifest,
        checkpoint=source.digest,
        macs=manifest.macs or export.macs(core),
        versions=manifest.versions | versions,
    )


def _chosen(wish: Wish, candidates: dict[str, Candidate], timings: dict[str, Timing]) -> tuple[str, list[str]]:
    """The precision to write, and why. Raises SpeedError where int8 must be faster than it is."""
    if "int8" not in candidates:
        return "fp32" if wish.precision == "auto" else wish.precision, []
    needed = MIN_SPEEDUP if wish.min_speedup is None else wish.min_speedup  # 0 takes any
    ratio = timings["int8"].ratio
    notes = [int8_advice.RASPBERRY_PI]
    if ratio >= needed:
        return "int8", [f"int8 is {ratio:.2f} times as fast as fp32 on this CPU", *notes]
    int8 = candidates["int8"]
    short = SpeedError(ratio, needed, int8_advice.why_slow(int8.manifest, int8.file))
    if wish.precision == "auto":
        return "fp32", [f"{short}; fp32 is kept", *notes]
    if wish.min_speedup is not None:
        raise short
    return "int8", [f"{short}; fp32 may serve better here", *notes]
