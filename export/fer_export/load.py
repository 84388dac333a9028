"""What fer-export takes: our checkpoints, torch.export programs, bare weights, and, if asked to, whole pickles."""

import contextlib
import sys
import warnings
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn

from fer_export import archive, foreign
from fer_export.foreign import Given, Source
from fer_runtime.errors import FerError
from fer_train import checkpoint

EXAMPLE = "--labels angry,disgust,fear,happy,neutral,sad,surprise --size 48"
WRAPPERS = ("state_dict", "model_state_dict", "model", "net")  # keys under which notebooks keep the weights
OTHERS = {
    b"\x89HDF": "a Keras or HDF5 file",
    b"\x08": "an ONNX file",  # field 1 of the protobuf: its IR version
    b"GGUF": "a GGUF file",
}


@dataclass(frozen=True)
class Kind:
    """name: "ours", "weights", "program", "pickle", "script" or what else it is; content: what torch.load gave;
    code: what loading it would import and run, such as `__main__.Net`.
    """

    name: str
    content: Any = None
    code: tuple[str, ...] = ()


def load(path: Path, given: Given) -> Source:
    """The network in `path`, ready to export. Nothing in the file is run, unless `given.unsafe_pickle`.

    Raises FerError for a file that cannot be taken, saying what to type instead.
    """
    kind = _kind(path)
    _check_fitting(path, kind, given)
    if kind.name == "ours":
        ours = checkpoint.load(path)
        return Source(ours.network, ours.manifest, ours.ranges, ours.digest)
    if kind.code and not given.unsafe_pickle:
        raise FerError(_refusal(path, kind))
    if kind.name == "weights":
        return foreign.from_weights(path, _weights(path, kind.content), given)
    if kind.name == "program":
        return foreign.from_program(path, _program(path), given)
    return foreign.from_network(path, _unpickled(path, kind), given)


def _kind(path: Path) -> Kind:
    """Told by what is inside, without running any of it. Raises FerError for what is none of them."""
    if not path.is_file():
        raise FerError(f"{path} is not a file: expected a model.pt that fer-train fit wrote, or a network of torch's")
    with path.open("rb") as file:
        start = file.read(16)
    names = _members(path)
    if any(name.endswith(("archive_format", "serialized_exported_program.json")) for name in names):
        return Kind("program", code=tuple(archive.code_in(path)))
    if any("/code/" in name for name in names) and any(name.endswith("constants.pkl") for name in names):
        raise FerError(
            f"{path} is a TorchScript archive, which torch's exporter no longer takes: in Python, "
            f"torch.save(torch.jit.load({path.name!r}).state_dict(), 'weights.pt'), then fer-export weights.pt "
            f"--arch FILE:CLASS {EXAMPLE}"
        )
    with contextlib.suppress(Exception), warnings.catch_warnings():  # torch.load raises almost anything
        warnings.simplefilter("ignore")
        content = torch.load(path, map_location="cpu", weights_only=True)
        is_ours = isinstance(content, dict) and content.get("format") == checkpoint.FORMAT
        return Kind("ours" if is_ours else "weights", content)
    code = archive.pickled_names(path)
    if code:
        return Kind("pickle", code=tuple(code))
    if start[8:9] == b"{":
        raise FerError(
            f"{path} is a safetensors file: in Python, torch.save(safetensors.torch.load_file({path.name!r}), "
            f"'weights.pt'), then fer-export weights.pt --arch FILE:CLASS {EXAMPLE}"
        )
    found = next((what for magic, what in OTHERS.items() if start.startswith(magic)), "none of these, or cut short")
    raise FerError(
        f"{path} is not a checkpoint of ours, nor any other that torch wrote: expected a model.pt of fer-train fit, "
        f"a state_dict or a .pt2 of torch.export, found {found}"
    )


def _members(path: Path) -> list[str]:
    try:
        with zipfile.ZipFile(path) as members:
            return members.namelist()
    except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError):
        return []


def _check_fitting(path: Path, kind: Kind, given: Given) -> None:
    """Raise FerError for options that this kind of file has no use for."""
    if kind.name == "ours" and (named := given.named()):
        raise FerError(f"{path} is a checkpoint of ours and carries its own facts: leave out {', '.join(named)}")
    if kind.name in ("program", "pickle") and given.arch:
        raise FerError(f"{path} carries its network: leave out --arch, which is for bare weights")


def _refusal(path: Path, kind: Kind) -> str:
    """Why a file that runs code is refused, and what to type."""
    name = kind.code[0].rsplit(".", 1)[-1]
    trusted = f"or, if you trust whoever made the file: fer-export {path.name} --unsafe-pickle {EXAMPLE}"
    if kind.name == "program":
        return f"{path} holds {', '.join(kind.code[:3])}: loading it would run code from the file; {trusted}"
    return (
        f"{path} is a whole pickled network ({kind.code[0]}): loading it would run code from the file. "
        f"Where you trained it, type torch.save(model.state_dict(), 'weights.pt'), put the class into net.py, then: "
        f"fer-export weights.pt --arch net:{name} {EXAMPLE}; {trusted}"
    )


def _weights(path: Path, content: Any) -> dict[str, torch.Tensor]:
    """The state_dict, out of what notebooks wrap it in. Raises FerError where there is none."""
    for _ in range(3):
        inner = [content[key] for key in WRAPPERS if isinstance(content, dict) and isinstance(content.get(key), dict)]
        if not inner:
            break
        content = inner[0]
    if not isinstance(content, dict) or not content or not all(isinstance(v, torch.Tensor) for v in content.values()):
        found = f"a dict of {sorted(map(str, content))[:4]}" if isinstance(content, dict) else type(content).__name__
        raise FerError(
            f"{path} is not a checkpoint of ours and holds no weights: expected what torch.save(model.state_dict(), "
            f"...) writes, found {found}"
        )
    return {str(key).removeprefix("module."): value for key, value in content.items()}  # DataParallel's prefix


def _program(path: Path) -> torch.export.ExportedProgram:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return torch.export.load(path)
    except Exception as error:  # torch.export.load raises almost anything
        raise FerError(f"{path} cannot be loaded by torch {torch.__version__} ({foreign.reason(error)})") from error


def _unpickled(path: Path, kind: Kind) -> nn.Module:
    """The network in a pickle, code and all. Raises FerError."""
    sys.path.insert(0, "")  # the user's own modules lie in the current folder
    try:
        found = torch.load(path, map_location="cpu", weights_only=False)
    except AttributeError as error:  # its class was defined in a notebook
        name = kind.code[0].rsplit(".", 1)[-1]
        raise FerError(
            f"{path} names {kind.code[0]}, which is not here ({foreign.reason(error)}): where you trained it, type "
            f"torch.save(model.state_dict(), 'weights.pt'), put the class into net.py, then: fer-export weights.pt "
            f"--arch net:{name} {EXAMPLE}"
        ) from error
    except Exception as error:  # whatever the code in it raises
        raise FerError(f"{path} cannot be unpickled ({foreign.reason(error)})") from error
    finally:
        sys.path.remove("")
    if not isinstance(found, nn.Module):
        raise FerError(f"{path} holds a {type(found).__name__}: expected a network (torch.nn.Module)")
    return found
