"""Edits of ONNX graphs: constants read and replaced, tensors renamed, rerouted and made outputs."""

from collections.abc import Callable, Iterable, Mapping
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from fer_runtime.model.onnx_writer import IR, OPSET


def copied(model: onnx.ModelProto) -> onnx.ModelProto:
    """A copy, so that edits leave `model` as it was."""
    copy = onnx.ModelProto()
    copy.CopyFrom(model)
    return copy


def with_versions(model: onnx.ModelProto) -> onnx.ModelProto:
    """`model` itself, with the versions that our files have: they load in onnxruntime 1.19 and later."""
    model.ir_version = IR
    del model.opset_import[:]
    model.opset_import.append(helper.make_opsetid("", OPSET))
    return model


def runnable(core: onnx.ModelProto) -> bytes:
    """A network of fer_export.graph.export.core as onnxruntime takes it, without pixels and manifest."""
    return bytes(with_versions(copied(core)).SerializeToString())


def tapped(model: onnx.ModelProto, names: Iterable[str]) -> onnx.ModelProto:
    """A copy with these float tensors among its outputs."""
    copy = copied(model)
    present = {value.name for value in (*copy.graph.output, *copy.graph.input)}
    wanted = [name for name in names if name not in present]
    copy.graph.output.extend(helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in wanted)
    return copy


def constants(model: onnx.ModelProto) -> dict[str, TensorProto]:
    """The constant tensors (weights, biases, scales) by name; editing one edits the model."""
    return {tensor.name: tensor for tensor in model.graph.initializer}


def value(model: onnx.ModelProto, name: str) -> NDArray[Any]:
    """A copy of a constant's values."""
    return numpy_helper.to_array(constants(model)[name]).copy()


def set_value(model: onnx.ModelProto, name: str, values: NDArray[Any]) -> None:
    """Give a constant other values, as float32."""
    constants(model)[name].CopyFrom(numpy_helper.from_array(values.astype(np.float32), name))


def add_constant(graph: onnx.GraphProto, name: str, values: NDArray[Any]) -> None:
    """Append a constant."""
    graph.initializer.append(numpy_helper.from_array(values, name))


def remove_constant(model: onnx.ModelProto, name: str) -> None:
    """Take a constant out."""
    model.graph.initializer.remove(constants(model)[name])


def insert(graph: onnx.GraphProto, nodes: Iterable[onnx.NodeProto], at: int = 0) -> None:
    """Put nodes, in this order, before the node that is at `at` now."""
    for offset, node in enumerate(nodes):
        graph.node.insert(at + offset, node)


def rename(graph: onnx.GraphProto, new: Callable[[str], str] | Mapping[str, str]) -> None:
    """Give tensors other names wherever they stand; those that `new` does not know keep theirs."""
    name = new if callable(new) else lambda old: new.get(old, old)
    for node in graph.node:
        node.input[:] = map(name, node.input)
        node.output[:] = map(name, node.output)
    for group in (graph.initializer, graph.value_info, graph.input, graph.output):
        for value in group:
            value.name = name(value.name)


def reroute(graph: onnx.GraphProto, old: str, new: str) -> None:
    """Let all nodes that read `old` read `new` instead."""
    for node in graph.node:
        node.input[:] = [new if name == old else name for name in node.input]


def readers(model: onnx.ModelProto, tensor: str) -> list[onnx.NodeProto]:
    """The nodes that read a tensor."""
    return [node for node in model.graph.node if tensor in node.input]


def position(graph: onnx.GraphProto, tensor: str) -> int:
    """Where among the nodes the one stands that makes a tensor."""
    return next(at for at, node in enumerate(graph.node) if tensor in node.output)


def attribute(node: onnx.NodeProto, name: str, default: Any) -> Any:
    """The value of a node's attribute, `default` where it has none."""
    return next((helper.get_attribute_value(a) for a in node.attribute if a.name == name), default)
