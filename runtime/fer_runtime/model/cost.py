"""What a network costs, counted from its graph: multiply-adds of one face, and weights."""

from dataclasses import dataclass
from math import prod

import numpy as np

from fer_runtime.model import onnx_format
from fer_runtime.model.onnx_writer import with_outputs
from fer_runtime.model.session import open_session

COUNTED = {"Conv", "QLinearConv", "ConvInteger", "Gemm", "MatMul", "QLinearMatMul", "MatMulInteger"}
WEIGHT = {"QLinearConv": 3, "QLinearMatMul": 3}  # which input is the second factor, 1 elsewhere
FLOAT, DOUBLE, INT8, HALF = 1, 11, 3, 10
WEIGHT_TYPES = (FLOAT, DOUBLE, INT8, HALF)
INPUT_TYPES = {"tensor(uint8)": np.uint8, "tensor(float)": np.float32}


@dataclass(frozen=True)
class _Node:
    operator: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    trans_b: bool


@dataclass(frozen=True)
class Cost:
    """What a network costs."""

    macs: int
    """Multiply-adds per face, of convolutions and matrix products."""
    parameters: int
    """Numbers in its weights."""


def count(model: bytes, shape: tuple[int, ...]) -> Cost | None:
    """Run the network once on zeros of `shape` and read the sizes of its tensors; None where it does not run so.

    model: bytes that onnxruntime has opened before; it has one input, float32 or uint8.
    """
    nodes, weights = _graph(model)
    counted = [node for node in nodes if node.operator in COUNTED]
    made = {name for node in nodes for name in node.outputs if name}
    wanted = {name for node in counted for name in (node.inputs[WEIGHT.get(node.operator, 1)], node.outputs[0])}
    try:
        session = open_session(with_outputs(model, sorted(wanted & made)), optimized=False)
        given = session.get_inputs()[0]
        outputs = [output.name for output in session.get_outputs()]
        found = session.run(outputs, {given.name: np.zeros(shape, INPUT_TYPES[given.type])})
    except Exception:  # noqa: BLE001 - onnxruntime has no common base class, and without a count the rest still stands
        return None
    shapes = {name: sizes for name, (sizes, _) in weights.items()}
    shapes |= {name: value.shape for name, value in zip(outputs, found, strict=True)}
    parameters = sum(prod(sizes) for sizes, kind in weights.values() if kind in WEIGHT_TYPES and len(sizes) > 0)
    return Cost(sum(_macs(node, shapes) for node in counted), parameters)


def _macs(node: _Node, shapes: dict[str, tuple[int, ...]]) -> int:
    """Numbers in the output times the products that each sums up."""
    weight, output = shapes[node.inputs[WEIGHT.get(node.operator, 1)]], shapes[node.outputs[0]]
    if "Conv" in node.operator:
        return prod(output) * prod(weight[1:])
    return prod(output) * (weight[-1] if node.trans_b else weight[-2])


def _graph(model: bytes) -> tuple[list[_Node], dict[str, tuple[tuple[int, ...], int]]]:
    """Nodes in order; shape and type of every weight."""
    nodes: list[_Node] = []
    weights: dict[str, tuple[tuple[int, ...], int]] = {}
    for message in _all(memoryview(model), 7):
        nodes += [_node(content) for content in _all(message, 1)]
        for content in _all(message, 5):
            sizes = _sizes(content)
            weights[_text(content, 8)] = (sizes, next(iter(_numbers(content, 2)), 0))
    return nodes, weights


def _node(content: memoryview) -> _Node:
    inputs, outputs = (tuple(bytes(name).decode() for name in _all(content, number)) for number in (1, 2))
    transposed = [list(_numbers(attribute, 3)) for attribute in _all(content, 5) if _text(attribute, 1) == "transB"]
    return _Node(_text(content, 4), inputs, outputs, transposed == [[1]])


def _sizes(content: memoryview) -> tuple[int, ...]:
    """A tensor's dims, which writers pack into one field or not."""
    found = list(_numbers(content, 1))
    for packed in _all(content, 1):
        at = 0
        while at < len(packed):
            size, at = onnx_format.varint(packed, at)
            found.append(size)
    return tuple(found)


def _all(content: memoryview, wanted: int) -> list[memoryview]:
    return [
        value for number, value in onnx_format.fields(content) if number == wanted and isinstance(value, memoryview)
    ]


def _numbers(content: memoryview, wanted: int) -> list[int]:
    return [value for number, value in onnx_format.fields(content) if number == wanted and isinstance(value, int)]


def _text(content: memoryview, wanted: int) -> str:
    return next((bytes(value).decode() for value in _all(content, wanted)), "")
