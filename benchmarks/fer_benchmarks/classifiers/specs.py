"""Who takes part: files of our contract, plain ONNX classifiers, both in OpenCV too, and peers in their own worlds."""

import json
import sys
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from fer_benchmarks.classifiers import backends
from fer_benchmarks.classifiers.backends import Plain
from fer_benchmarks.classifiers.cost import NUMPY
from fer_benchmarks.classifiers.cost import count as count_macs
from fer_runtime.errors import FerError
from fer_runtime.files import sha256
from fer_runtime.model.manifest import METADATA_KEY
from fer_runtime.model.normalization import EXAMPLE_LABELS, ForeignOptions, check_labels, normalization
from fer_runtime.model.preprocessing import CHANNELS
from fer_runtime.model.session import Classifier, open_file


@dataclass(frozen=True)
class Entrant:
    """One classifier in one engine.

    labels: in the order of its probabilities; size, colour: of the crops that it is scored on; command: starts its
    worker, "{threads}" standing for their number; ours: it runs in our own worker and must not fail;
    facts: bytes, sha256, precision, parameters, macs, each None where unknown; notes: what a user should be told.
    """

    name: str
    engine: str
    labels: tuple[str, ...]
    size: int
    colour: str
    command: tuple[str, ...]
    ours: bool
    facts: dict[str, Any]
    notes: tuple[str, ...] = field(default=())


def of_files(files: list[Path], options: ForeignOptions, against: list[str]) -> list[Entrant]:
    """An entrant a file, followed by the same file in each engine of `against`. Raises FerError for a bad file."""
    entrants = []
    for name, file in zip(_names(files), files, strict=True):
        own = _of_file(name, file, options)
        entrants.append(own)
        entrants += [_in_engine(own, engine) for engine in against]
    return entrants


def _names(files: list[Path]) -> list[str]:
    """What tells them apart: file names, else paths, else the number of the repetition."""
    names = [file.name for file in files]
    if len(set(names)) < len(names):
        names = [str(file) for file in files]
    return [name if names.index(name) == at else f"{name} ({at + 1})" for at, name in enumerate(names)]


def of_peer(path: Path) -> Entrant:
    """A classifier that brings its own worker, as its JSON file says (docs/benchmarks.md). Raises FerError."""
    try:
        plain = json.loads(path.read_text(encoding="utf-8"))
        files = [Path(path.parent, name) for name in plain["files"]]
        facts = {
            "bytes": sum(file.stat().st_size for file in files),
            "sha256": sha256(files[0]),
            "precision": plain.get("precision"),
            "parameters": plain.get("parameters"),
            "macs": plain.get("macs"),
        }
        command = tuple(str(word) for word in plain["command"])
        return Entrant(
            plain["name"],
            plain["engine"],
            tuple(plain["labels"]),
            plain["size"],
            plain["colour"],
            command,
            False,
            facts,
        )
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise FerError(
            f"{path} does not describe a peer ({error!r}): expected a file as in docs/benchmarks.md"
        ) from error


def of_peak(file: Path, precision: str) -> Entrant:
    """The one large convolution in `file`, beside which all others are seen."""
    return Entrant(f"peak {precision}", "peak", (), 48, "grey", _command("peak", file, None), True, {})


def _of_file(name: str, file: Path, options: ForeignOptions) -> Entrant:
    data = open_file(file).get_modelmeta().custom_metadata_map
    if METADATA_KEY not in data:
        return _foreign(name, file, options)
    manifest = Classifier(file).manifest
    facts = _facts(file) | {"precision": manifest.precision, "parameters": manifest.parameters, "macs": manifest.macs}
    cost = count_macs(file.read_bytes(), (1, manifest.channels, manifest.size, manifest.size))
    notes = []
    if cost and cost.macs != manifest.macs:
        notes.append(f"{name}: the manifest tells {manifest.macs:,} MAC, its graph has {cost.macs:,}, which are shown")
        facts["macs"] = cost.macs
    command = _command("onnxruntime", file, None)
    return Entrant(
        name, "onnxruntime", manifest.labels, manifest.size, manifest.colour, command, True, facts, tuple(notes)
    )


def _foreign(name: str, file: Path, options: ForeignOptions) -> Entrant:
    """A file without our manifest. Raises FerError where the options do not say enough, or not what it is."""
    if not options.labels:
        raise FerError(
            f"{file} carries no fer-edge manifest: expected a file of fer-export, or --labels in the order of its "
            f"outputs, such as {EXAMPLE_LABELS}"
        )
    check_labels(options.labels)
    inputs = open_file(file).get_inputs()
    if len(inputs) != 1 or len(inputs[0].shape) != 4 or inputs[0].type not in NUMPY:
        found = ", ".join(f"{i.name} {i.type} {i.shape}" for i in inputs)
        raise FerError(f"{file} takes {found}: expected one input of four dimensions, float or uint8")
    last = inputs[0].shape[3] in (1, 3) and inputs[0].shape[1] not in (1, 3)
    channels, height = (inputs[0].shape[3], inputs[0].shape[1]) if last else inputs[0].shape[1:3]
    size = _agreed(file, "--size", height if isinstance(height, int) else None, options.size, 48)
    count = _agreed(
        file, "--colour", channels if isinstance(channels, int) else None, CHANNELS.get(options.colour or ""), 1
    )
    colours = {number: colour for colour, number in CHANNELS.items()}
    if count not in colours:
        raise FerError(f"{file} takes {count} channels: expected 1 (grey) or 3 (rgb)")
    uint8 = inputs[0].type == "tensor(uint8)"
    if uint8 and (options.mean or options.std):
        raise FerError(f"{file} takes uint8 pixels as they are: leave out --mean and --std")
    taken = normalization(options, count)
    plain = Plain(options.labels, size, colours[count], taken.mean, taken.std, last, uint8)
    answer = backends.of_plain(file, 1, plain)(np.zeros((1, size, size), np.uint8))
    if answer.shape != (1, len(options.labels)):
        raise FerError(
            f"{file} answers {answer.shape[1:]} classes for {len(options.labels)} --labels: give one a class"
        )
    shape = (1, size, size, count) if last else (1, count, size, size)
    cost = count_macs(file.read_bytes(), shape)
    facts = _facts(file) | {"precision": None, "parameters": None, "macs": None}
    if cost:
        facts |= asdict(cost)
    command = _command("onnxruntime", file, plain)
    return Entrant(name, "onnxruntime", options.labels, size, colours[count], command, True, facts)


def _agreed(file: Path, option: str, fixed: int | None, said: int | None, default: int) -> int:
    """The file's own number, else the option's. Raises FerError where they differ."""
    if fixed and said and fixed != said:
        raise FerError(f"{option} does not fit {file}: its input says {fixed}, the option {said}")
    return fixed or said or default


def _facts(file: Path) -> dict[str, Any]:
    return {"bytes": file.stat().st_size, "sha256": sha256(file)}


def _in_engine(own: Entrant, engine: str) -> Entrant:
    asked = json.loads(own.command[-1]) | {"engine": engine}
    command = (*own.command[:-1], json.dumps(asked).replace('"{threads}"', "{threads}"))
    return replace(own, name=f"{own.name} ({engine})", engine=engine, command=command, ours=False, notes=())


def _command(engine: str, file: Path, plain: Plain | None) -> tuple[str, ...]:
    asked = {"engine": engine, "file": str(file), "threads": "{threads}", "plain": plain and asdict(plain)}
    return (sys.executable, "-P", "-m", "fer_benchmarks.classifiers.worker", json.dumps(asked))
