"""The manifest: everything the runtime must know of a model, as JSON inside the ONNX file."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from math import isfinite
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fer_runtime.errors import FerError
from fer_runtime.model.preprocessing import CHANNELS, FER2013, Framing

METADATA_KEY = "fer_edge"
SCHEMA = 1
INPUT = "faces"  # uint8 [batch, channels, size, size]
LOGITS = "logits"  # float32 [batch, classes]
PROBABILITIES = "probabilities"  # float32 [batch, classes]: softmax(logits / temperature)

INTENDED_USE = (
    "Names the apparent expression of a face in a picture. It does not measure what a person feels, "
    "and is not for decisions about people."
)


@dataclass(frozen=True)
class Golden:
    """Generated inputs and the logits expected for them: parity can be proved where torch is not."""

    seed: int
    """Of `golden_faces`."""
    logits: tuple[tuple[float, ...], ...]
    """[faces][classes]"""
    tolerance: float
    """Largest accepted difference on another CPU."""


@dataclass(frozen=True)
class Manifest:
    """One model's facts."""

    labels: tuple[str, ...]
    """In the order of the logits."""
    size: int
    """Side of the input, pixels."""
    mean: float | tuple[float, ...]
    """Of pixel values 0..255, one or per channel; subtracted inside the graph."""
    std: float | tuple[float, ...]
    """Standard deviation, in the same units and number as the mean; divided by inside the graph."""
    architecture: dict[str, Any]
    """What rebuilds the network."""
    parameters: int
    macs: int
    """Multiply-adds per face."""
    colour: str = "grey"
    """Of the input: "grey" or "rgb"."""
    framing: Framing = FER2013
    temperature: float = 1.0
    """Divides the logits before softmax."""
    precision: str = "fp32"
    """"fp32", "fp16" or "int8"."""
    quantization: dict[str, Any] = field(default_factory=dict)
    """int8's recipe."""
    balance: dict[str, Any] = field(default_factory=dict)
    """The mix of classes that its predictions were adjusted to; empty for none."""
    checkpoint: str = ""
    """SHA-256 of the .pt file."""
    data: str = ""
    """Fingerprint of the dataset."""
    measured: tuple[dict[str, Any], ...] = ()
    """Accuracies, each with split and n."""
    intended_use: str = INTENDED_USE
    licences: dict[str, str] = field(default_factory=dict)
    """Of weights and data."""
    versions: dict[str, str] = field(default_factory=dict)
    """Of the libraries that made the file."""
    golden: Golden | None = None

    @property
    def channels(self) -> int:
        """Of the input."""
        return CHANNELS[self.colour]

    @property
    def network_channels(self) -> int:
        """That the graph feeds to the network: three for a grey face with a mean and std of each channel."""
        lengths = [len(value) for value in (self.mean, self.std) if isinstance(value, tuple)]
        return max(self.channels, *lengths, 1)

    def facts(self) -> dict[str, Any]:
        """What a program may want to know of the model: all but the golden inputs."""
        return {"schema": SCHEMA} | {key: value for key, value in asdict(self).items() if key != "golden"}

    def to_json(self) -> str:
        """The manifest as JSON; equal manifests give equal text."""
        return json.dumps({"schema": SCHEMA} | asdict(self), sort_keys=True, allow_nan=False)


def parse(text: str, origin: str) -> Manifest:
    """The manifest in `text`. Raises FerError, naming `origin`, for anything that is not one of ours."""
    try:
        plain = json.loads(text, parse_constant=_finite, parse_float=_finite)
    except (ValueError, RecursionError) as error:
        raise FerError(f"the manifest in {origin} is not JSON: export the model again with fer-export") from error
    if not isinstance(plain, dict) or plain.get("schema") != SCHEMA:
        found = plain.get("schema") if isinstance(plain, dict) else type(plain).__name__
        raise FerError(f"the manifest in {origin} has schema {found!r}, expected {SCHEMA}: use a matching fer-edge")
    return from_dict({key: value for key, value in plain.items() if key != "schema"}, origin)


def _finite(text: str) -> float:
    """The number. Raises ValueError for NaN and infinity, which Python's reader takes and JSON does not have."""
    number = float(text)
    if not isfinite(number):
        raise ValueError(text)
    return number


def from_dict(plain: Mapping[str, Any], origin: str) -> Manifest:
    """The manifest from plain data. Raises FerError, naming `origin` and the field that is wrong."""
    known = {f.name for f in fields(Manifest)}
    try:
        facts: dict[str, Any] = {key: value for key, value in plain.items() if key in known}
        facts["labels"] = tuple(facts["labels"])
        for name in ("mean", "std"):
            facts[name] = tuple(facts[name]) if isinstance(facts[name], list) else facts[name]
        facts["framing"] = Framing(**facts["framing"])
        facts["measured"] = tuple(facts["measured"])
        if facts.get("golden"):
            golden = facts["golden"]
            facts["golden"] = Golden(golden["seed"], tuple(map(tuple, golden["logits"])), golden["tolerance"])
        manifest = Manifest(**facts)
        wrong = _wrong(manifest)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise FerError(f"the manifest in {origin} is incomplete ({error}): export the model again") from error
    if wrong:
        raise FerError(f"the manifest in {origin} is wrong in {wrong!r}: export the model again with fer-export")
    return manifest


def _wrong(manifest: Manifest) -> str | None:
    """The first field whose value cannot be, or None."""
    framing, golden = manifest.framing, manifest.golden
    labels = manifest.labels
    checks = {
        "labels": len(labels) >= 2
        and all(isinstance(label, str) and label and label.isprintable() for label in labels)
        and len(set(labels)) == len(labels),
        "size": isinstance(manifest.size, int) and 8 <= manifest.size <= 512,
        "colour": manifest.colour in CHANNELS,
        "mean": _each(manifest, manifest.mean, 0, 255),
        "std": _each(manifest, manifest.std, 0.01, 1000),
        "temperature": _number(manifest.temperature) and 0.01 <= manifest.temperature <= 100,
        "framing": all(_number(value) and abs(value) <= 10 for value in asdict(framing).values())
        and framing.height > 0.05,
        "precision": manifest.precision in ("fp32", "fp16", "int8"),
        "parameters": isinstance(manifest.parameters, int) and manifest.parameters >= 0,
        "macs": isinstance(manifest.macs, int) and manifest.macs >= 0,
        "checkpoint": isinstance(manifest.checkpoint, str),
        "data": isinstance(manifest.data, str),
        "intended_use": isinstance(manifest.intended_use, str),
        "measured": all(isinstance(entry, dict) for entry in manifest.measured),
        "golden": golden is None
        or (isinstance(golden.seed, int) and 0 <= golden.seed < 2**32 and _number(golden.tolerance)),
        **{
            name: isinstance(getattr(manifest, name), dict)
            for name in ("architecture", "quantization", "licences", "versions")
        },
        "balance": _is_balance(manifest.balance, len(labels)),
    }
    return next((name for name, fine in checks.items() if not fine), None)


def _is_balance(facts: object, classes: int) -> bool:
    """Whether these are a mix and what was added for it, a number for each class; or nothing."""
    if not isinstance(facts, dict) or not facts:
        return facts == {}
    lists = [facts.get("shares"), facts.get("added")]
    return isinstance(facts.get("mix"), str) and all(
        isinstance(each, list | tuple) and len(each) == classes and all(map(_number, each)) for each in lists
    )


def _each(manifest: Manifest, values: object, low: float, high: float) -> bool:
    """Whether this is one number within bounds, or one for each channel; a grey face may be fed as three."""
    listed = values if isinstance(values, tuple) else (values,)
    fits = len(listed) == 1 or (manifest.colour in CHANNELS and len(listed) == max(CHANNELS.values()))
    return fits and all(_number(value) and low <= value <= high for value in listed)


def _number(value: object) -> bool:
    return isinstance(value, int | float) and abs(value) < 1e9  # false for NaN too


def golden_faces(seed: int, size: int, count: int = 4, channels: int = 1) -> NDArray[np.uint8]:
    """Generated inputs, uint8 [count, channels, size, size]: soft random shades, as faces have; the same everywhere."""
    rng = np.random.RandomState(seed)  # its streams never change, unlike those of default_rng
    patch = -(-size // 6) + 1
    shades = rng.randint(0, 256, (count, channels, 6, 6)).repeat(patch, 2).repeat(patch, 3)
    for axis in (2, 3):  # a running mean softens the edges of the patches; whole numbers, so nothing rounds differently
        shades = np.stack([np.roll(shades, shift, axis) for shift in range(patch)]).sum(0) // patch
    return shades[:, :, :size, :size].astype(np.uint8)
