"""What fer-export takes: our checkpoints, torch.export programs, bare weights and, on request, whole pickles."""

import contextlib
import warnings
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from fer_export.loading import adopt, pickle_models, pt2_scan
from fer_export.loading.options import LoadOptions
from fer_export.source import Source
from fer_export.torch_silence import quiet
from fer_runtime.errors import FerError
from fer_train import checkpoint

WRAPPERS = ("state_dict", "model_state_dict", "model", "net")  # keys under which notebooks keep the weights
PICKLE = b"\x80"
OTHERS = {
    b"\x89HDF": "a Keras or HDF5 file",
    b"\x08": "an ONNX file",  # field 1 of the protobuf: its IR version
    b"GGUF": "a GGUF file",
}


@dataclass(frozen=True)
class Kind:
    """name: "ours", "weights", "program" or "pickle"; content: what torch.load gave; code: what loading it would run,
    such as `__main__.Net`.
    """

    name: str
    content: Any = None
    code: tuple[str, ...] = ()


def load(path: Path, options: LoadOptions) -> Source:
    """The network in `path`, ready to export. Nothing in the file is run, unless `options.unsafe_pickle`.

    Raises FerError for a file that cannot be taken, saying what to type instead.
    """
    kind = _kind(path, options)
    if kind.name == "ours":
        if named := options.named():
            raise FerError(f"{path} is a checkpoint of ours and carries its own facts: leave out {', '.join(named)}")
        ours = checkpoint.load(path)
        return Source(ours.network, ours.manifest, ours.ranges, ours.digest)
    if kind.code and not options.unsafe_pickle:
        refusal = pickle_models.refusal if kind.name == "pickle" else _program_refusal
        raise FerError(refusal(path, kind.code, options))
    content = _program(path) if kind.name == "program" else kind.content
    if kind.name == "pickle":
        content = _inside(pickle_models.load(path, kind.code, options))
    if options.arch and isinstance(content, nn.Module | torch.export.ExportedProgram):
        raise FerError(f"{path} carries its network: leave out --arch, which is for bare weights")
    if isinstance(content, torch.export.ExportedProgram):
        return adopt.from_program(path, content, options)
    if isinstance(content, nn.Module):
        return adopt.from_network(path, content, options)
    return adopt.from_weights(path, _weights(path, content), options)


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
        return Kind("pickle", code=tuple(code) or ("unknown content",))
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


def _inside(content: Any) -> Any:
    """The weights or the network, out of what notebooks wrap them in."""
    for _ in range(3):
        kept = [content[key] for key in WRAPPERS if isinstance(content, dict) and key in content]
        inner = [value for value in kept if isinstance(value, dict | nn.Module)]
        if not inner:
            break
        content = inner[0]
    return content


def _weights(path: Path, content: Any) -> dict[str, Tensor]:
    """The state_dict. Raises FerError where there is none."""
    content = _inside(content)
    if not isinstance(content, dict) or not content or not all(isinstance(v, Tensor) for v in content.values()):
        found = f"a dict of {sorted(map(str, content))[:4]}" if isinstance(content, dict) else type(content).__name__
        raise FerError(
            f"{path} is not a checkpoint of ours and holds no weights: expected what torch.save(model.state_dict(), "
            f"...) writes, found {found}"
        )
    return {str(key): value for key, value in content.items()}


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
        raise FerError(f"{path} cannot be loaded by torch {torch.__version__} ({adopt.reason(error)})") from error
