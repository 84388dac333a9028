"""A network that fer-train did not make: rebuilt, tried on faces, and described by the options."""

import importlib
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from fer_export.loading.options import LoadOptions, labels
from fer_export.source import Source
from fer_runtime.errors import FerError
from fer_runtime.files import sha256
from fer_runtime.model.manifest import Manifest
from fer_runtime.model.normalization import normalization
from fer_runtime.model.preprocessing import CHANNELS
from fer_train.model import parameters

SIZE = 48
TRIED = (1, 64)  # faces in a batch: what is proved later
TRAINING = {"batch_norm": 5, "dropout": 2}  # torch's operators, and which argument says that they train


def from_weights(path: Path, weights: dict[str, Tensor], options: LoadOptions) -> Source:
    """The network that `options.arch` makes, with these weights. Raises FerError where they do not fit."""
    if options.arch is None:
        first = next(f"{name} {list(value.shape)}" for name, value in weights.items())
        raise FerError(
            f"{path} holds weights alone ({first}, ...): put the class they belong to into net.py, here, then: "
            f"{options.command(path, '--arch', 'net:CLASS')}"
        )
    network = _made(options.arch)
    expected = {name: list(value.shape) for name, value in network.state_dict().items()}
    weights, notes = _without_prefix(weights, expected)
    found = {name: list(value.shape) for name, value in weights.items()}
    for name in (*expected, *found):
        if expected.get(name) != found.get(name):
            raise FerError(
                f"the weights in {path} are not those of {options.arch}: it has {name} "
                f"{expected.get(name, 'nowhere')}, the file {found.get(name, 'nowhere')}"
            )
    network.load_state_dict(weights)
    return from_network(path, network, options, notes)


def from_network(path: Path, network: nn.Module, options: LoadOptions, notes: tuple[str, ...] = ()) -> Source:
    """Any network of torch's. Raises FerError for one that does not turn faces into logits."""
    network = network.eval().float().cpu()
    first = next((m.in_channels for m in network.modules() if isinstance(m, nn.Conv2d)), None)
    manifest, told = _manifest(path, network, options, options.size or SIZE, first)
    return Source(network, manifest, {}, sha256(path), notes=(*notes, *told))


def from_program(path: Path, program: torch.export.ExportedProgram, options: LoadOptions) -> Source:
    """What torch.export.save wrote. Raises FerError for a fixed batch, train mode, or another size than it takes."""
    names = [spec.arg.name for spec in program.graph_signature.input_specs if spec.kind.name == "USER_INPUT"]
    inputs = [node.meta["val"] for node in program.graph.nodes if node.name in names]
    if len(inputs) != 1 or not isinstance(inputs[0], Tensor) or inputs[0].ndim != 4:
        raise FerError(f"{path} takes {len(inputs)} inputs: expected one, faces of [batch, channels, height, width]")
    batch, channels, height, width = inputs[0].shape
    if isinstance(batch, int):
        raise FerError(
            f"{path} was exported for batches of {batch}: export it with torch.export.export(model, (example,), "
            'dynamic_shapes=({0: torch.export.Dim("batch")},)), example being a batch of two'
        )
    if height != width or (options.size is not None and options.size != height):
        raise FerError(f"{path} takes {width}x{height} faces: expected a square, of --size if that is given")
    for node in program.graph.nodes:
        index = next((at for name, at in TRAINING.items() if str(node.target).startswith(f"aten.{name}")), None)
        if index is not None and len(node.args) > index and node.args[index] is True:
            raise FerError(f"{path} was exported in train mode ({node.name}): call model.eval() before torch.export")
    network = program.module()
    manifest, notes = _manifest(path, network, options, int(height), int(channels))
    return Source(network, manifest, {}, sha256(path), program, notes)


def reason(error: BaseException) -> str:
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
    except (Exception, SystemExit) as error:  # whatever the user's module raises
        raise FerError(
            f"--arch {arch} cannot be made ({reason(error)}): expected a class that takes no arguments, or a function "
            "that gives the network, def make(): return Net(7), as --arch net:make"
        ) from error
    finally:
        sys.path.remove("")
    if not isinstance(network, nn.Module):
        raise FerError(f"--arch {arch} gives a {type(network).__name__}: expected a network (torch.nn.Module)")
    return network


def _without_prefix(
    weights: dict[str, Tensor], expected: dict[str, list[int]]
) -> tuple[dict[str, Tensor], tuple[str, ...]]:
    """The weights by the network's own names, where a wrapper has put one word before them all: DataParallel
    `module.`, torch.compile `_orig_mod.`, a Lightning module the attribute's name.
    """
    prefix = next(iter(weights)).partition(".")[0] + "."
    bare = {name.removeprefix(prefix): value for name, value in weights.items()}
    if not all(name.startswith(prefix) for name in weights) or len(expected.keys() & bare.keys()) == 0:
        return weights, ()
    if len(expected.keys() & weights.keys()) >= len(expected.keys() & bare.keys()):
        return weights, ()
    return bare, (f"the weights' names begin with {prefix!r}, which a wrapper has put there: it is left out",)


def _manifest(
    path: Path, network: nn.Module, options: LoadOptions, size: int, channels: int | None
) -> tuple[Manifest, tuple[str, ...]]:
    """The facts that the options give, once the network has been tried. Raises FerError."""
    colour = options.colour or {1: "grey", 3: "rgb"}.get(channels or 1)
    if colour is None or CHANNELS[colour] != (channels or CHANNELS[colour]):
        raise FerError(f"{path} takes {channels} channels: expected 1 (--colour grey) or 3 (--colour rgb)")
    taken = normalization(options, CHANNELS[colour])
    names, notes = labels(path, options)
    for batch in TRIED:
        _try(path, network, (batch, CHANNELS[colour], size, size), len(names))
    manifest = Manifest(
        labels=names,
        size=size,
        mean=_one_or_each(taken.mean),
        std=_one_or_each(taken.std),
        colour=colour,
        architecture={"family": "foreign", "name": options.arch or type(network).__name__},
        parameters=parameters(network),
        macs=0,  # counted in the graph
        licences={"weights": "their trainer's", "data": "the dataset's own terms"},
    )
    return manifest, (taken.note, *notes)


def _one_or_each(values: tuple[float, ...]) -> float | tuple[float, ...]:
    """As a manifest holds it."""
    return values[0] if len(values) == 1 else values


def _try(path: Path, network: Callable[[Tensor], Any], shape: tuple[int, int, int, int], classes: int) -> None:
    """Raise FerError unless it gives finite logits, one a class, for a batch of faces."""
    faces = torch.randn(shape, generator=torch.Generator().manual_seed(0))
    batch, *face = shape
    try:
        with torch.no_grad():
            found = network(faces)
    except Exception as error:  # whatever the network raises
        raise FerError(
            f"{path} fails on {'x'.join(map(str, face))} faces, {batch} at once ({reason(error)}): give the --size and "
            "--colour it takes"
        ) from error
    if not isinstance(found, Tensor):
        raise FerError(f"{path} answers with a {type(found).__name__}: expected one tensor of logits [batch, classes]")
    if tuple(found.shape) != (batch, classes):
        raise FerError(
            f"{path} answers with {list(found.shape)} for a batch of {batch}: expected [{batch}, {classes}], as labels"
        )
    if not found.isfinite().all():
        raise FerError(f"{path} answers with numbers that are not finite")
    if (found >= 0).all() and torch.allclose(found.sum(1), torch.ones(batch), atol=1e-4):
        raise FerError(f"{path} answers with probabilities: expected logits; remove the softmax at its end")
