"""What fer-verify checks in a file: its format, its manifest, its golden answers, its accuracy. Needs no torch."""

from dataclasses import dataclass
from itertools import product
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from fer_runtime.data import label_order
from fer_runtime.data.dataset import Faces
from fer_runtime.data.index import Split
from fer_runtime.data.metrics import half_interval, score, with_missed
from fer_runtime.errors import FerError
from fer_runtime.model import onnx_format
from fer_runtime.model.inference import batched, softmax
from fer_runtime.model.manifest import Golden, Manifest, golden_faces
from fer_runtime.model.session import Classifier

IR, OPSETS = 9, (18,)  # what fer_export.graph.export writes
SOFTMAX_BOUND = 1e-5
MAX_TOLERANCE = 0.25  # of golden logits: a file that asks for more could answer anything
MAX_GOLDEN = 64
SETTINGS = tuple(product((1, 2), (True, False)))  # threads, graph optimization: kernels and their order differ


@dataclass(frozen=True)
class Check:
    """One property of a file."""

    name: str
    """What was checked."""
    found: str
    """In words."""
    expected: str
    """In words."""
    ok: bool
    """Whether they agree."""


def within(name: str, off: float, bound: float) -> Check:
    """A difference that may be `bound` at most; NaN is too much."""
    return Check(name, f"{off:.1e} off", f"at most {bound:g}", off <= bound)


def of_format(data: bytes, path: Path) -> list[Check]:
    """Versions, and nothing in the file that our files never hold. Raises FerError for what is no ONNX file."""
    try:
        found = onnx_format.read(data)
    except ValueError as error:
        raise FerError(f"{path} is not an ONNX model ({error}): expected a whole file that fer-export wrote") from error
    opsets = ", ".join(map(str, found.opsets))
    foreign = ", ".join(found.foreign[:3])
    return [
        Check("IR version", str(found.ir), str(IR), found.ir == IR),
        Check("operator set", opsets or "none", str(OPSETS[0]), found.opsets == OPSETS),
        Check("self-contained", foreign or "yes", "standard operators, weights inside", not foreign),
    ]


def of_manifest(path: Path) -> Check:
    """Whether the manifest can be read, and fits the graph's inputs and outputs."""
    try:
        manifest = Classifier(path).manifest
    except FerError as error:
        return Check("manifest", str(error), "one that fits the graph", False)
    found = f"{manifest.precision}, {len(manifest.labels)} labels, {manifest.size} px"
    return Check("manifest", found, "one that fits the graph", True)


def of_golden(path: Path, manifest: Manifest) -> list[Check]:
    """The golden inputs' logits and probabilities: threads 1 and 2, optimized or not, as a batch and one by one."""
    expected = _golden_logits(manifest.golden, len(manifest.labels))
    if manifest.golden is None or expected is None:
        return [Check("golden answers", "none that can be read", f"logits of 1 to {MAX_GOLDEN} inputs", False)]
    faces = golden_faces(manifest.golden.seed, manifest.size, len(expected), manifest.channels)
    bound = min(manifest.golden.tolerance, MAX_TOLERANCE)
    checks = []
    for threads, optimized in SETTINGS:
        setting = f"{threads} thread{'s' * (threads > 1)}, {'optimized' if optimized else 'as it is'}"
        golden, shares = f"golden logits, {setting}", f"probabilities, {setting}"
        try:
            logits, probabilities = _answers(Classifier(path, threads, optimized), faces)
        except FerError as error:
            checks.append(Check(golden, str(error), "answers", False))
            continue
        checks.append(within(golden, float(np.abs(logits - expected).max()), bound))
        tempered = softmax(logits, manifest.temperature)
        checks.append(within(shares, float(np.abs(probabilities - tempered).max()), SOFTMAX_BOUND))
    return checks


def of_accuracy(
    classifier: Classifier, split: Split, faces: Faces, missed: NDArray[np.int64] | None = None
) -> tuple[Check, str | None]:
    """Accuracy on labelled faces, beside what was measured of the checkpoint on the same split; and a note.

    missed: photos of each class in which no face was found, int64 [classes]; they count as wrong, and nothing that was
    measured is compared. The note tells of an order of the labels that fits far better.
    """
    manifest = classifier.manifest
    scores = score(classifier.predict(faces.pixels), faces.labels, manifest.labels)
    found = f"{scores.accuracy:.2%} +- {scores.interval:.2%} (n = {scores.n})"
    told = [entry for entry in manifest.measured if (entry.get("split"), entry.get("n")) == (split, scores.n)]
    measured = told[0].get("accuracy") if told else None
    hint = label_order.note(scores)
    if missed is not None:
        n, accuracy = scores.n + int(missed.sum()), with_missed(scores, missed)[0]
        found = f"{accuracy:.2%} +- {half_interval(accuracy, n):.2%} (n = {n}, {missed.sum()} without a face)"
        return Check(f"accuracy on photos, {split}", found, "not in the manifest", True), hint
    if not isinstance(measured, int | float):
        return Check(f"accuracy on {split}", found, "not in the manifest", True), hint
    ok = abs(scores.accuracy - measured) <= scores.interval
    return Check(f"accuracy on {split}", found, f"{measured:.2%} as measured in {told[0].get('precision')}", ok), hint


def _golden_logits(golden: Golden | None, classes: int) -> NDArray[np.float64] | None:
    """The manifest's golden logits, float64 [n, classes]; None where there are none that can be read."""
    if golden is None or not 1 <= len(golden.logits) <= MAX_GOLDEN:
        return None
    try:
        logits = np.array(golden.logits, np.float64)
    except (TypeError, ValueError):
        return None
    return logits if logits.shape == (len(golden.logits), classes) and np.isfinite(logits).all() else None


def _answers(classifier: Classifier, faces: NDArray[np.uint8]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Logits and probabilities, float32 [2, n, classes] each: of one batch, and face by face."""
    logits, probabilities = (np.stack([ask(faces), batched(ask, faces, 1)]) for ask in (classifier.logits, classifier))
    return logits, probabilities
