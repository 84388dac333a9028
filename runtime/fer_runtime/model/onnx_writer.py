"""ONNX files written and extended without the onnx package: the few protobuf fields that a measurement needs.

Messages that follow each other are merged, and what repeats is appended (protobuf's encoding guide): a file followed by
a graph of further outputs is the same network with these outputs too.
"""

from collections.abc import Iterable
from typing import Any

import numpy as np
from numpy.typing import NDArray

IR, OPSET = 9, 18  # as our own files
TENSOR_TYPES = {np.dtype(np.float32): 1, np.dtype(np.uint8): 2, np.dtype(np.int8): 3}
INTS, INT = 7, 2  # AttributeProto.type
CHANNELS, SIDE = 128, 24  # its tensors fit into the cache of a core
LARGE_MACS = CHANNELS**2 * 9 * SIDE**2


def with_outputs(model: bytes, names: Iterable[str]) -> bytes:
    """The model with these tensors among its outputs."""
    return model + _field(7, b"".join(_field(12, _text(1, name)) for name in names))


def large_convolution(precision: str) -> bytes:
    """One convolution that any CPU runs at its best, "fp32" or "int8": 3x3, 128 channels in and out, 24x24 pixels.

    Input "x" and output "y" are [1, 128, 24, 24], float32 or uint8.
    """
    rng = np.random.RandomState(0)
    shape = (CHANNELS, CHANNELS, 3, 3)
    if precision == "fp32":
        kind, operator = 1, "Conv"
        constants: dict[str, NDArray[Any]] = {"w": (rng.rand(*shape) - 0.5).astype(np.float32)}
    else:
        kind, operator = 2, "QLinearConv"
        constants = {
            "x_scale": np.array(0.02, np.float32), "x_zero": np.array(128, np.uint8),
            "w": rng.randint(-64, 65, shape).astype(np.int8), "w_scale": np.array(0.01, np.float32),
            "w_zero": np.array(0, np.int8), "y_scale": np.array(0.05, np.float32), "y_zero": np.array(128, np.uint8),
        }  # fmt: skip
    pads = _text(1, "pads") + b"".join(_number(8, 1) for _ in range(4)) + _number(20, INTS)
    node = b"".join(_text(1, name) for name in ("x", *constants)) + _text(2, "y") + _text(4, operator) + _field(5, pads)
    graph = _field(1, node) + _text(2, "peak")
    graph += b"".join(_field(5, _tensor(name, value)) for name, value in constants.items())
    value_type = _tensor_type(kind, (1, CHANNELS, SIDE, SIDE))
    graph += _field(11, _text(1, "x") + value_type) + _field(12, _text(1, "y") + value_type)
    return _number(1, IR) + _field(7, graph) + _field(8, _number(2, OPSET))


def _tensor(name: str, value: NDArray[Any]) -> bytes:
    dims = b"".join(_number(1, size) for size in value.shape)
    return dims + _number(2, TENSOR_TYPES[value.dtype]) + _text(8, name) + _field(9, value.tobytes())


def _tensor_type(kind: int, shape: tuple[int, ...]) -> bytes:
    """Field `type` of a ValueInfoProto."""
    sizes = b"".join(_field(1, _number(1, size)) for size in shape)
    return _field(2, _field(1, _number(1, kind) + _field(2, sizes)))


def _text(number: int, text: str) -> bytes:
    return _field(number, text.encode())


def _field(number: int, content: bytes) -> bytes:
    return _varint(number << 3 | 2) + _varint(len(content)) + content


def _number(number: int, value: int) -> bytes:
    return _varint(number << 3) + _varint(value)


def _varint(value: int) -> bytes:
    groups = []
    while value > 0x7F:
        groups.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*groups, value])
