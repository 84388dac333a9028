"""A network that fer-train did not make: what is asked of it, and the manifest that options give it."""

import importlib
import sys
from collections.abc import Callable
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from fer_runtime import listing
from fer_runtime.contract import Manifest
from fer_runtime.errors import FerError
from fer_runtime.files import sha256
from fer_runtime.framing import CHANNELS
from fer_train.checkpoint import Ranges

SIZE = 48


@dataclass(frozen=True)
class Given:
    """What the options say of a foreign network; None, or empty, where they say nothing.

    mean, std: of one channel or each, as in torchvision's Normalize; data: whose classes are the labels, if not given.
    """

    arch: str | None = None
    labels: tuple[str, ...] = ()
    size: int | None = None
    mean: tuple[float, ...] = ()
    std: tuple[float, ...] = ()
    colour: str | None = None
    unsafe_pickle: bool = False
    data: Path | None = None

    def named(self) -> list[str]:
        """The options that were given, as they are typed; --data is for all kinds of networks."""
        return [f"--{f.name.replace('_', '-')}" for f in fields(self) if f.name != "data" and getattr(self, f.name)]


@dataclass(frozen=True)
class Source:
    """What is exported. network: in eval mode, normalized float32 [n, c, h, w] -> logits [n, classes]; ranges: of
    activations, empty if unknown; digest: SHA-256 of the file; program: what torch exports, if not the network itself;
    notes: what the user should be told.
    """

    network: nn.Module
    manifest: Manifest
    ranges: Ranges
    digest: str
    program: torch.export.ExportedProgram | None = None
    notes: tuple[str, ...] = ()


def from_weights(path: Path, weights: dict[str, Tensor], given: Given) -> Source:
    """The network that `given.arch` makes, with these weights. Raises FerError where they do not fit."""
    if given.arch is None:
        first = next(f"{name} {list(value.shape)}" for name, value in weights.items())
        raise FerError(
            f"{path} holds weights alone ({first}, ...): put the class they belong to into net.py, then: fer-export "
            f"{path.name} --arch net:CLASS --labels angry,disgust,fear,happy,neutral,sad,surprise --size {SIZE}"
        )
    network = _made(given.arch)
    expected = {name: list(value.shape) for name, value in network.state_dict().items()}
    found = {name: list(value.shape) for name, value in weights.items()}
    for name in (*expected, *found):
        if expected.get(name) != found.get(name):
            raise FerError(
                f"the weights in {path} are not those of {given.arch}: it has {name} {expected.get(name, 'nowhere')}, "
                f"the file {found.get(name, 'nowhere')}"
            )
    network.load_state_dict(weights)
    return from_network(path, network, given)


def from_network(path: Path, network: nn.Module, given: Given) -> Source:
    """Any network of torch's. Raises FerError for one that does not turn faces into logits."""
    network = network.eval().float().cpu()
    first = next((m.in_channels for m in network.modules() if isinstance(m, nn.Conv2d)), None)
    manifest, notes = _manifest(path, network, given, given.size or SIZE, first)
    return Source(network, manifest, {}, sha256(path), notes=notes)


def from_program(path: Path, program: torch.export.ExportedProgram, given: Given) -> Source:
    """What torch.export.save wrote. Raises FerError for a fixed batch, train mode, or another size than it takes."""
    inputs = [spec.arg.name for spec in program.graph_signature.input_specs if spec.kind.name == "USER_INPUT"]
    taken = [node.meta["val"] for node in program.graph.nodes if node.name in inputs]
    if len(taken) != 1 or taken[0].ndim != 4:
        raise FerError(f"{path} takes {len(taken)} inputs: expected one, faces of [batch, channels, height, width]")
    batch, channels, height, width = taken[0].shape
    if isinstance(batch, int):
        raise FerError(
            f"{path} was exported for batches of {batch}: export it with torch.export.export(model, (example,), "
            'dynamic_shapes=({0: torch.export.Dim("batch")},)), example being a batch of two'
        )
    if height != width or (given.size is not None and given.size != height):
        raise FerError(f"{path} takes {width}x{height} faces: expected a square, of --size if that is given")
    for node in program.graph.nodes:
        flags = {"batch_norm": 5, "dropout": 2}
        index = next((at for name, at in flags.items() if str(node.target).startswith(f"aten.{name}")), None)
        if index is not None and len(node.args) > index and node.args[index] is True:
            raise FerError(f"{path} was exported in train mode ({node.name}): call model.eval() before torch.export")
    network = program.module()
    manifest, notes = _manifest(path, network, given, int(height), int(channels))
    return Source(network, manifest, {}, sha256(path), program, notes)


def reason(error: Exception) -> str:
    """An exception in one short line."""
    return f"{type(error).__name__}: {' '.join(str(error).split())[:200]}"


def _made(arch: str) -> nn.Module:
    """What `module:callable` gives; the current folder is searched first. Raises FerError."""
    module, _, name = arch.partition(":")
    if not module or not name:
        raise FerError(f"--arch is {arch!r}: expected FILE:CLASS, such as net:Net for the class Net in net.py")
    sys.path.insert(0, "")
    try:
        made: Any = getattr(importlib.import_module(module.removesuffix(".py")), name)
        network = made if isinstance(made, nn.Module) else made()
    except Exception as error:  # whatever the user's module raises
        raise FerError(f"--arch {arch} cannot be made ({reason(error)}): expected a class without arguments") from error
    finally:
        sys.path.remove("")
    if not isinstance(network, nn.Module):
        raise FerError(f"--arch {arch} gives a {type(network).__name__}: expected a network (torch.nn.Module)")
    return network


def _manifest(
    path: Path, network: nn.Module, given: Given, size: int, channels: int | None
) -> tuple[Manifest, tuple[str, ...]]:
    """The facts that the options give, once the network has been tried. Raises FerError."""
    colour = given.colour or {1: "grey", 3: "rgb"}.get(channels or 1)
    if colour is None or CHANNELS[colour] != (channels or CHANNELS[colour]):
        raise FerError(f"{path} takes {channels} channels: expected 1 (--colour grey) or 3 (--colour rgb)")
    mean, std, how = _normalization(given, CHANNELS[colour])
    labels, notes = given.labels, [how]
    if not labels:
        if given.data is None:
            raise FerError(f"{path} carries no class names: give --labels, in the order of its outputs, or --data")
        with listing.opened(given.data) as entries:
            labels = tuple(sorted({entry.label for entry in entries}))
        notes.append(f"labels: {', '.join(labels)}, the classes of {given.data.name} in ImageFolder's order")
    _try(path, network, len(labels), size, CHANNELS[colour])
    name = given.arch or type(network).__name__
    manifest = Manifest(
        labels=labels,
        size=size,
        mean=mean,
        std=std,
        colour=colour,
        architecture={"family": "foreign", "name": name},
        parameters=sum(p.numel() for p in network.parameters()),
        macs=0,  # counted in the graph
        licences={"weights": "their trainer's", "data": "the dataset's own terms"},
    )
    return manifest, tuple(notes)


def _normalization(given: Given, channels: int) -> tuple[Any, Any, str]:
    """Mean and deviation in units of the pixels, 0..255, and what to tell of them. Raises FerError."""
    for name, values in (("--mean", given.mean), ("--std", given.std)):
        if values and len(values) not in (1, channels):
            raise FerError(f"{name} has {len(values)} values: expected one, or one for each of {channels} channels")
    mean, std = given.mean or (0.0,), given.std or (1.0,)
    in_pixels = max(*mean, *std) > 1
    if min(std) <= 0:
        raise FerError(f"--std is {min(std)}: expected more than 0")
    unit = 1.0 if in_pixels else 255.0
    of = "0..255" if in_pixels else "0..1, as after ToTensor"
    shown = [", ".join(f"{value:g}" for value in values) for values in (mean, std)]
    scaled: list[Any] = [tuple(value * unit for value in values) for values in (mean, std)]
    plain = [values[0] if len(values) == 1 else values for values in scaled]
    return plain[0], plain[1], f"normalization: (pixel - {shown[0]}) / {shown[1]} with pixels of {of}"


def _try(path: Path, network: Callable[[Tensor], Any], classes: int, size: int, channels: int) -> None:
    """Raise FerError unless it gives finite logits, one a class, for a batch of faces."""
    faces = torch.randn(4, channels, size, size, generator=torch.Generator().manual_seed(0))
    try:
        with torch.no_grad():
            found = network(faces)
    except Exception as error:  # whatever the network raises
        raise FerError(
            f"{path} fails on {channels}x{size}x{size} faces ({reason(error)}): give the --size and --colour it takes"
        ) from error
    if not isinstance(found, Tensor):
        raise FerError(f"{path} answers with a {type(found).__name__}: expected one tensor of logits [batch, classes]")
    if tuple(found.shape) != (4, classes):
        raise FerError(f"{path} answers with {list(found.shape)} for 4 faces: expected [4, {classes}], one a label")
    if not found.isfinite().all():
        raise FerError(f"{path} answers with numbers that are not finite")
    if (found >= 0).all() and torch.allclose(found.sum(1), torch.ones(4), atol=1e-4):
        raise FerError(f"{path} answers with probabilities: expected logits; remove the softmax at its end")
