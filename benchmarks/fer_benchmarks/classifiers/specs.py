"""The models under test: files with our manifest, plain ONNX classifiers, both in OpenCV too, and peers in their own
environments.
"""

import json
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from fer_benchmarks.classifiers import foreign
from fer_benchmarks.classifiers.backends import Plain, Task
from fer_benchmarks.results import WEB
from fer_runtime.errors import FerError
from fer_runtime.files import sha256
from fer_runtime.model import cost
from fer_runtime.model.manifest import METADATA_KEY
from fer_runtime.model.normalization import ForeignOptions
from fer_runtime.model.preprocessing import FER2013, Framing
from fer_runtime.model.session import Classifier, open_file
from fer_runtime.records import from_plain

PYTHON = (sys.executable, "-P", "-m")


@dataclass(frozen=True)
class FileFacts:
    """Of a model's file; None for what is unknown."""

    file_bytes: int
    sha256: str
    precision: str | None = None
    parameters: int | None = None
    macs: int | None = None
    """Multiply-adds per face."""


@dataclass(frozen=True)
class ModelSpec:
    """One model under test: a classifier in one engine."""

    name: str
    engine: str
    labels: tuple[str, ...]
    """In the order of its probabilities."""
    size: int
    """Side of the crops that it is scored on, pixels."""
    colour: str
    """Of these crops: "grey" or "rgb"."""
    facts: FileFacts
    command: tuple[str, ...]
    """Starts its worker; "{threads}" stands for their number."""
    required: bool
    """Whether the benchmark ends when it fails; else its row says why."""
    notes: tuple[str, ...] = ()
    """For the user."""
    framing: Framing = FER2013
    """Of the faces that it is given; the manifest's, FER2013's for others."""


@dataclass(frozen=True)
class _PeerFile:
    """The JSON that describes a peer (docs/benchmarks.md)."""

    name: str
    engine: str
    labels: tuple[str, ...]
    size: int
    colour: str
    files: list[str]
    command: tuple[str, ...]
    precision: str | None = None
    parameters: int | None = None
    macs: int | None = None


def of_files(
    files: list[Path], options: ForeignOptions, against: Sequence[str], page: Path | None = None
) -> list[ModelSpec]:
    """A model per file, followed by the same file in each engine of `against`. Raises FerError for a bad file.

    page: the folder of the page in which "web" runs.
    """
    specs = []
    for name, file in zip(_names(files), files, strict=True):
        own, plain = _of_file(name, file, options)
        specs.append(own)
        for engine in against:
            in_page = (*PYTHON, "fer_benchmarks.classifiers.web_worker", str(file), str(page), "{threads}")
            command = in_page if engine == WEB else _command(Task(engine, str(file), plain))
            specs.append(_in_engine(own, engine, command))
    return specs


def _names(files: list[Path]) -> list[str]:
    """What tells them apart: file names, else paths, else the number of the repetition."""
    names = [file.name for file in files]
    if len(set(names)) < len(names):
        names = [str(file) for file in files]
    return [name if names.index(name) == at else f"{name} ({at + 1})" for at, name in enumerate(names)]


def of_peer(path: Path) -> ModelSpec:
    """A classifier that brings its own worker, as its JSON file says (docs/benchmarks.md). Raises FerError."""
    try:
        peer = from_plain(_PeerFile, json.loads(path.read_text(encoding="utf-8")))
        files = [Path(path.parent, name) for name in peer.files]
        if not files:
            raise ValueError("files is empty")
        size = sum(file.stat().st_size for file in files)
        facts = FileFacts(size, sha256(files[0]), peer.precision, peer.parameters, peer.macs)
    except (OSError, ValueError, RecursionError) as error:
        raise FerError(
            f"{path} does not describe a peer ({error}): expected a file as in docs/benchmarks.md"
        ) from error
    return ModelSpec(
        peer.name, peer.engine, peer.labels, peer.size, peer.colour, facts, peer.command, required=False
    )  # fmt: skip


def of_peak(file: Path, precision: str) -> ModelSpec:
    """The one large convolution in `file`, with which all others are compared."""
    return ModelSpec(
        f"peak {precision}", "peak", (), 48, "grey", _facts(file), _command(Task("peak", str(file))), required=True
    )


def _of_file(name: str, file: Path, options: ForeignOptions) -> tuple[ModelSpec, Plain | None]:
    data = open_file(file).get_modelmeta().custom_metadata_map
    if METADATA_KEY not in data:
        return _foreign(name, file, options)
    manifest = Classifier(file).manifest
    facts = replace(_facts(file), precision=manifest.precision, parameters=manifest.parameters, macs=manifest.macs)
    counted = cost.count(file.read_bytes(), (1, manifest.channels, manifest.size, manifest.size))
    notes = []
    if counted and counted.macs != manifest.macs:
        notes.append(f"{name}: the manifest has {manifest.macs:,} MAC, its graph {counted.macs:,}, which count")
        facts = replace(facts, macs=counted.macs)
    command = _command(Task("onnxruntime", str(file)))
    spec = ModelSpec(
        name, "onnxruntime", manifest.labels, manifest.size, manifest.colour, facts, command, True, tuple(notes),
        manifest.framing,
    )  # fmt: skip
    return spec, None


def _foreign(name: str, file: Path, options: ForeignOptions) -> tuple[ModelSpec, Plain]:
    """A file without our manifest. Raises FerError where the options are too few, or do not fit it."""
    plain = foreign.expected(file, options)
    shape = (
        (plain.size, plain.size, plain.channels) if plain.channels_last else (plain.channels, plain.size, plain.size)
    )
    counted, facts = cost.count(file.read_bytes(), (1, *shape)), _facts(file)
    if counted:
        facts = replace(facts, macs=counted.macs, parameters=counted.parameters)
    command = _command(Task("onnxruntime", str(file), plain))
    assumed = f"{name}: rgb is assumed, as it takes three channels; --colour grey feeds grey faces to all three"
    notes = (assumed,) if plain.channels == 3 and options.colour is None else ()
    return ModelSpec(name, "onnxruntime", plain.labels, plain.size, plain.colour, facts, command, True, notes), plain


def _facts(file: Path) -> FileFacts:
    return FileFacts(file.stat().st_size, sha256(file))


def _in_engine(own: ModelSpec, engine: str, command: tuple[str, ...]) -> ModelSpec:
    return replace(own, name=f"{own.name} ({engine})", engine=engine, command=command, required=False, notes=())


def _command(task: Task) -> tuple[str, ...]:
    return (*PYTHON, "fer_benchmarks.classifiers.worker", json.dumps(asdict(task)), "{threads}")
