"""A network that fer-train did not make: rebuilt, tried on faces, and described by the options."""

from pathlib import Path

import torch
from torch import Tensor, nn

from fer_export.loading import architecture, outputs, probe, state_dict
from fer_export.loading.options import LoadOptions, labels
from fer_export.source import Source
from fer_runtime.errors import FerError
from fer_runtime.files import sha256
from fer_runtime.model.manifest import Manifest
from fer_runtime.model.normalization import normalization
from fer_runtime.model.preprocessing import CHANNELS
from fer_train.model import parameters

SIZE = 48
TRAINING = {"batch_norm": 5, "dropout": 2}  # torch's operators, and which argument says that they train


def from_weights(path: Path, weights: dict[str, Tensor], options: LoadOptions, unread: tuple[str, ...] = ()) -> Source:
    """The network that `options.arch` makes, with these weights. Raises FerError where they do not fit.

    unread: classes of what else is in the file.
    """
    if options.arch is None:
        first = next(f"{name} {list(value.shape)}" for name, value in weights.items())
        held = f"weights and {', '.join(unread[:3])}" if unread else "weights alone"
        raise FerError(
            f"{path} holds {held} ({first}, ...): put the class that the weights belong to into net.py, here, then: "
            f"{options.command(path, '--arch', 'net:CLASS')}"
        )
    network = architecture.made(options.arch)
    notes = state_dict.load_into(network, weights, path, options.arch)
    return from_network(path, network, options, notes)


def from_network(path: Path, network: nn.Module, options: LoadOptions, notes: tuple[str, ...] = ()) -> Source:
    """Any network of torch's. Raises FerError for one that does not turn faces into logits."""
    network = network.eval().float().cpu()
    size = options.size or SIZE
    return _described(path, network, None, options, (probe.channels(path, network, size), size), notes)


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
    return _described(path, program.module(), program, options, (int(channels), int(height)), ())


def _described(
    path: Path,
    network: nn.Module,
    program: torch.export.ExportedProgram | None,
    options: LoadOptions,
    shape: tuple[int, int],
    notes: tuple[str, ...],
) -> Source:
    """The facts that the options give, once the network has been tried. Raises FerError.

    shape: channels and size of what the network takes.
    """
    channels, size = shape
    colour, of_colour = _colour(path, channels, options)
    taken = normalization(options, channels)
    names, of_labels = labels(path, options)
    network_of_logits, of_outputs = outputs.as_logits(
        path, network, probe.faces(probe.BATCH, channels, size), len(names)
    )
    manifest = Manifest(
        labels=names,
        size=size,
        mean=_numbers(taken.mean, colour, channels),
        std=_numbers(taken.std, colour, channels),
        colour=colour,
        architecture={"family": "foreign", "name": options.arch or type(network).__name__},
        parameters=parameters(network),
        macs=0,  # counted in the graph
        licences={"weights": "their trainer's", "data": "the dataset's own terms"},
    )
    kept = program if network_of_logits is network else None
    told = (*notes, *of_colour, taken.note, *of_labels, *of_outputs)
    return Source(network_of_logits, manifest, {}, sha256(path), kept, told)


def _colour(path: Path, channels: int, options: LoadOptions) -> tuple[str, list[str]]:
    """Of the faces that the file takes, and what to tell of it. Raises FerError."""
    if channels not in CHANNELS.values():
        raise FerError(f"{path} takes {channels} channels: expected 1 (grey) or 3 (rgb)")
    if channels == 1:
        if options.colour == "rgb":
            raise FerError(f"{path} takes 1 channel: expected --colour grey")
        return "grey", []
    if options.colour == "grey":
        return "grey", ["colour: grey, fed to the network's three channels alike"]
    if options.colour is None:
        return "rgb", [
            "colour: rgb is assumed, as the network takes three channels; give --colour grey if it was trained on grey "
            "pictures, such as FER2013's, in three channels"
        ]
    return "rgb", []


def _numbers(values: tuple[float, ...], colour: str, channels: int) -> float | tuple[float, ...]:
    """As a manifest holds them: one, or one a channel; a grey face becomes as many channels as there are values."""
    if CHANNELS[colour] < channels and len(values) == 1:
        return values * channels
    return values[0] if len(values) == 1 else values
