"""What each part of int8 does to the logits, alone: a layer's rounded weights, a tensor's 256 steps."""

from dataclasses import dataclass

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import helper

from fer_export.graph import edit
from fer_export.graph.export import NORMALIZED
from fer_export.quantization.qdq import ACTIVATIONS, WEIGHTED, quantizable
from fer_export.quantization.weight_rounding import with_weights_of
from fer_runtime.data.dataset import Faces, stratified
from fer_runtime.model.inference import batched
from fer_runtime.model.manifest import LOGITS, Manifest
from fer_runtime.model.normalization import normalized
from fer_runtime.model.session import open_session
from fer_train.checkpoint import Ranges

FACES = 256  # enough to tell which is worst


@dataclass(frozen=True)
class LayerSensitivity:
    """What int8 at one site does to the logits."""

    site: str
    """A layer or a tensor."""
    kind: str
    """"weights" of a layer, or a tensor's "activation"."""
    error: float
    """Mean |delta logit| that it alone causes."""
    nodes: tuple[str, ...]
    """What must run in fp32 to be rid of it."""


def measured(
    core: onnx.ModelProto, rounded: onnx.ModelProto, ranges: Ranges, faces: Faces, manifest: Manifest
) -> list[LayerSensitivity]:
    """Every layer's and every stored tensor's sensitivity over stratified `faces`, the most sensitive first.

    core: float `normalized` in (fer_export.graph.export.core); rounded: the same with int8's weights (weight_rounding);
    ranges: of the tensors that int8 stores.
    """
    inputs = normalized(stratified(faces, FACES).pixels, manifest.mean, manifest.std)
    right = _logits(core, inputs)
    found: list[LayerSensitivity] = []
    for node in quantizable(core):
        if node.op_type in WEIGHTED:
            error = float(np.abs(_logits(with_weights_of(core, rounded, [node.name]), inputs) - right).mean())
            found.append(LayerSensitivity(node.name, "weights", error, _layer(core, node)))
        if not _feeds_activation(core, node):  # else int8 stores the activation's output only
            error = float(np.abs(_logits(_rounded_tensor(core, node, ranges), inputs) - right).mean())
            found.append(LayerSensitivity(node.output[0], "activation", error, _around(core, node)))
    return sorted(found, key=lambda each: -each.error)


def _logits(model: onnx.ModelProto, inputs: NDArray[np.float32]) -> NDArray[np.float32]:
    session = open_session(edit.runnable(model))
    return batched(lambda batch: session.run([LOGITS], {NORMALIZED: batch})[0], inputs)


def _rounded_tensor(core: onnx.ModelProto, node: onnx.NodeProto, ranges: Ranges) -> onnx.ModelProto:
    """A copy in which this node's output passes through uint8."""
    model, name = edit.copied(core), node.output[0]
    low, high = ranges[name]
    scale = max((high - low) / 255, 1e-30)
    steps, zero, stored, read = (f"{name} ({what})" for what in ("scale", "zero point", "uint8", "rounded"))
    edit.add_constant(model.graph, steps, np.array(scale, np.float32))
    edit.add_constant(model.graph, zero, np.array(np.clip(round(-low / scale), 0, 255), np.uint8))
    edit.reroute(model.graph, name, read)
    pair = [
        helper.make_node("QuantizeLinear", [name, steps, zero], [stored]),
        helper.make_node("DequantizeLinear", [stored, steps, zero], [read]),
    ]
    edit.insert(model.graph, pair, edit.position(model.graph, name) + 1)
    return model


def _feeds_activation(core: onnx.ModelProto, node: onnx.NodeProto) -> bool:
    takers = edit.readers(core, node.output[0])
    return len(takers) == 1 and takers[0].op_type in ACTIVATIONS and takers[0].op_type != "MaxPool"


def _layer(core: onnx.ModelProto, node: onnx.NodeProto) -> tuple[str, ...]:
    """The node and the activation that runs inside it."""
    return (node.name, *(taker.name for taker in edit.readers(core, node.output[0]) if _feeds_activation(core, node)))


def _around(core: onnx.ModelProto, node: onnx.NodeProto) -> tuple[str, ...]:
    """Whatever writes or reads the node's output: int8 kernels store uint8 and take nothing else."""
    inside = node.op_type in ACTIVATIONS
    makers = [other.name for other in core.graph.node if inside and other.output[0] in node.input]
    readers = [name for taker in edit.readers(core, node.output[0]) for name in _layer(core, taker)]
    return tuple(dict.fromkeys([*makers, node.name, *readers]))
