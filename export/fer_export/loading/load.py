"""What fer-export takes: our checkpoints, torch.export programs, bare weights and, on request, whole pickles."""

import contextlib
import warnings
import zipfile
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import nn

from fer_export.loading import adopt, contents, pickle_models, pt2_scan
from fer_export.loading.errors import reason
from fer_export.loading.options import LoadOptions
from fer_export.loading.rebalance import rebalanced
from fer_export.source import Source
from fer_export.torch_silence import quiet
from fer_runtime.errors import FerError
from fer_train import checkpoint

PICKLE = b"\x80"
OTHERS = {
    b"\x89HDF": "a Keras or HDF5 file",
    b"\x08": "an ONNX file",  # field 1 of the protobuf: its IR version
    b"GGUF": "a GGUF file",
}


@dataclass(frozen=True)
class Kind:
    """What a file is."""

    name: str
    """"ours", "weights", "program" or "pickle"."""
    content: Any = None
    """What torch.load gave, with contents.Unread in place of what it would have had to run."""
    code: tuple[str, ...] = ()
    """What loading it would run, such as `__main__.Net`."""


def load(path: Path, options: LoadOptions) -> Source:
    """The network in `path`, ready to export. Nothing in the file is run, unless `options.unsafe_pickle`.

    Raises FerError for a file that cannot be taken, saying what to type instead.
    """
    kind = _kind(path, options)
    if kind.name == "ours":
        if named := options.named():
            raise FerError(f"{path} is a checkpoint of ours and carries its own facts: leave out {', '.join(named)}")
        ours = checkpoint.load(path)
        if options.balance:
            ours = rebalanced(path, ours, options.balance)
        return Source(ours.network, ours.manifest, ours.ranges, ours.digest)
    if options.balance:
        raise FerError(f"{path} is no checkpoint of ours: leave out --balance, which a model.pt of fer-train fit takes")
    content, notes = _content(path, kind, options)
    if options.arch and isinstance(content, nn.Module | torch.export.ExportedProgram):
        raise FerError(f"{path} carries its network: leave out --arch, which is for bare weights")
    if isinstance(content, torch.export.ExportedProgram):
        return adopt.from_program(path, content, options)
    if isinstance(content, nn.Module):
        return adopt.from_network(path, content, options, notes)
    if kind.code and not options.unsafe_pickle:
        notes = (*notes, f"{', '.join(kind.code[:3])} in the file stayed unread")
    source = adopt.from_weights(path, content, options, kind.code)
    return replace(source, notes=(*notes, *source.notes))


def _content(path: Path, kind: Kind, options: LoadOptions) -> tuple[Any, tuple[str, ...]]:
    """The weights, network or program, and what is to be told. Raises FerError."""
    if kind.name == "program":
        if kind.code and not options.unsafe_pickle:
            raise FerError(_program_refusal(path, kind.code, options))
        return _program(path), ()
    if kind.name == "weights":
        return contents.network_or_weights(path, kind.content)
    if options.unsafe_pickle:
        return contents.network_or_weights(path, pickle_models.load(path, kind.code, options))
    try:
        return contents.network_or_weights(path, kind.content)
    except FerError as error:  # no weights among what could be read
        raise FerError(pickle_models.refusal(path, kind.code, options)) from error


def _kind(path: Path, options: LoadOptions) -> Kind:
    """Recognized by its content, of which nothing is run. Raises FerError for any other file."""
    if not path.is_file():
        raise FerError(f"{path} is not a file: expected a model.pt that fer-train fit wrote, or a network of torch's")
    names = _members(path)
    if any(name.endswith(("archive_format", "serialized_exported_program.json")) for name in names):
        return Kind("program", code=tuple(pt2_scan.code_in(path)))
    if any("/code/" in name for name in names) and any(name.endswith("constants.pkl") for name in names):
        raise FerError(
            f"{path} is a TorchScript archive, which torch's exporter no longer takes: in Python, "
            f"torch.save(torch.jit.load({str(path)!r}).state_dict(), 'weights.pt'), then "
            f"{options.command('weights.pt', '--arch', 'FILE:CLASS')}"
        )
    with contextlib.suppress(Exception), warnings.catch_warnings():  # torch.load raises almost anything
        warnings.simplefilter("ignore")
        content = torch.load(path, map_location="cpu", weights_only=True)
        is_ours = isinstance(content, dict) and content.get("format") == checkpoint.FORMAT
        return Kind("ours" if is_ours else "weights", content)
    code = pt2_scan.pickled_names(path)
    with path.open("rb") as file:
        start = file.read(16)
    if code or start[:1] == PICKLE:  # torch wrote no archives before 1.6, and pickle.dump writes none
        content = None
        with contextlib.suppress(Exception):  # what the stand-ins do not do
            content = contents.read(path, tuple(code))
        return Kind("pickle", content, tuple(code) or ("unknown content",))
    raise FerError(_unknown(path, start, options))


def _unknown(path: Path, start: bytes, options: LoadOptions) -> str:
    """What to say of a file that torch did not write; start: its first 16 bytes."""
    if start[8:9] == b"{":
        return (
            f"{path} is a safetensors file: in Python, torch.save(safetensors.torch.load_file({str(path)!r}), "
            f"'weights.pt'), then {options.command('weights.pt', '--arch', 'FILE:CLASS')}"
        )
    found = next((what for magic, what in OTHERS.items() if start.startswith(magic)), "none of these, or cut short")
    return (
        f"{path} is not a checkpoint of ours, nor any other that torch wrote: expected a model.pt of fer-train fit, "
        f"a state_dict or a .pt2 of torch.export, found {found}"
    )


def _members(path: Path) -> list[str]:
    try:
        with zipfile.ZipFile(path) as members:
            return members.namelist()
    except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError):
        return []


def _program_refusal(path: Path, code: tuple[str, ...], options: LoadOptions) -> str:
    return (
        f"{path} holds {', '.join(code[:3])}: loading it would run code from the file; if you trust whoever made it: "
        f"{options.command(path, '--unsafe-pickle')}"
    )


def _program(path: Path) -> torch.export.ExportedProgram:
    try:
        with quiet(), path.open("rb") as file:
            return torch.export.load(file)
    except Exception as error:  # torch.export.load raises almost anything
        raise FerError(f"{path} cannot be loaded by torch {torch.__version__} ({reason(error)})") from error
