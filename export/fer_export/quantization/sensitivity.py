"""What each part of int8 does to the answers, alone: a layer's rounded weights, a tensor's 256 steps."""

from dataclasses import dataclass

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import helper, numpy_helper

from fer_export.graph.export import NORMALIZED
from fer_export.quantization.calibration import float_model, normalized
from fer_export.quantization.qdq import ACTIVATIONS, WEIGHTED, quantizable
from fer_export.quantization.weight_rounding import with_weights_of
from fer_runtime.data.dataset import Faces, stratified
from fer_runtime.model.inference import batched
from fer_runtime.model.manifest import LOGITS, Manifest
from fer_runtime.model.session import open_session
from fer_train.checkpoint import Ranges

FACES = 256  # enough to tell which is worst


@dataclass(frozen=True)
class Harm:
    """site: a layer, for its "weights", or a tensor, for its "activation"; error: mean |delta logit| of it alone;
    nodes: what must run in fp32 to be rid of it.
    """

    site: str
    kind: str
    error: float
    nodes: tuple[str, ...]


def harms(
    core: onnx.ModelProto, rounded: onnx.ModelProto, ranges: Ranges, faces: Faces, manifest: Manifest
) -> list[Harm]:
    """Every layer's and every stored tensor's harm over stratified `faces`, the most harmful first.

    core: float `normalized` in (fer_export.graph.export.core); rounded: the same with int8's weights (weight_rounding);
    ranges: of the tensors that int8 stores.
    """
    inputs = normalized(stratified(faces, FACES).pixels, manifest)
    right = _logits(core, inputs)
    found: list[Harm] = []
    for node in quantizable(core):
        if node.op_type in WEIGHTED:
            error = float(np.abs(_logits(with_weights_of(core, rounded, [node.name]), inputs) - right).mean())
            found.append(Harm(node.name, "weights", error, _layer(core, node)))
        if not _feeds_activation(core, node):  # else int8 stores the activation's output only
            error = float(np.abs(_logits(_rounded_tensor(core, node, ranges), inputs) - right).mean())
            found.append(Harm(node.output[0], "activation", error, _around(core, node)))
    return sorted(found, key=lambda harm: -harm.error)


def _logits(model: onnx.ModelProto, inputs: NDArray[np.float32]) -> NDArray[np.float32]:
    session = open_session(float_model(model))
    return batched(lambda batch: session.run([LOGITS], {NORMALIZED: batch})[0], inputs)


def _rounded_tensor(core: onnx.ModelProto, node: onnx.NodeProto, ranges: Ranges) -> onnx.ModelProto:
    """A copy in which this node's output passes through uint8."""
    model = onnx.ModelProto()
    model.CopyFrom(core)
    graph, name = model.graph, node.output[0]
    low, high = ranges[name]
    scale = max((high - low) / 255, 1e-30)
    graph.initializer.append(numpy_helper.from_array(np.array(scale, np.float32), "rounding_scale"))
    zero = np.array(np.clip(round(-low / scale), 0, 255), np.uint8)
    graph.initializer.append(numpy_helper.from_array(zero, "rounding_zero"))
    for other in graph.node:
        other.input[:] = ["rounding_out" if value == name else value for value in other.input]
    at = next(index for index, other in enumerate(graph.node) if other.output[0] == name) + 1
    pair = [
        helper.make_node("QuantizeLinear", [name, "rounding_scale", "rounding_zero"], ["rounding_in"]),
        helper.make_node("DequantizeLinear", ["rounding_in", "rounding_scale", "rounding_zero"], ["rounding_out"]),
    ]
    for offset, extra in enumerate(pair):
        graph.node.insert(at + offset, extra)
    return model


def _takers(core: onnx.ModelProto, tensor: str) -> list[onnx.NodeProto]:
    return [node for node in core.graph.node if tensor in node.input]


def _feeds_activation(core: onnx.ModelProto, node: onnx.NodeProto) -> bool:
    takers = _takers(core, node.output[0])
    return len(takers) == 1 and takers[0].op_type in ACTIVATIONS and takers[0].op_type != "MaxPool"


def _layer(core: onnx.ModelProto, node: onnx.NodeProto) -> tuple[str, ...]:
    """The node and the activation that runs inside it."""
    return (node.name, *(taker.name for taker in _takers(core, node.output[0]) if _feeds_activation(core, node)))


def _around(core: onnx.ModelProto, node: onnx.NodeProto) -> tuple[str, ...]:
    """Whatever writes or reads the node's output: int8 kernels store uint8 and take nothing else."""
    inside = node.op_type in ACTIVATIONS
    makers = [other.name for other in core.graph.node if inside and other.output[0] in node.input]
    readers = [name for taker in _takers(core, node.output[0]) for name in _layer(core, taker)]
    return tuple(dict.fromkeys([*makers, node.name, *readers]))
