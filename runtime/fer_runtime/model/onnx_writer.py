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
INTS = 7  # AttributeProto.type


def with_outputs(model: bytes, names: Iterable[str]) -> bytes:
    """The model with these tensors among its outputs."""
    return model + field(7, b"".join(field(12, text(1, name)) for name in names))


def tensor(name: str, value: NDArray[Any]) -> bytes:
    """A TensorProto of float32, uint8 or int8."""
    dims = b"".join(number(1, size) for size in value.shape)
    return dims + number(2, TENSOR_TYPES[value.dtype]) + text(8, name) + field(9, value.tobytes())


def tensor_type(kind: int, shape: tuple[int, ...]) -> bytes:
    """Field `type` of a ValueInfoProto. kind: of TENSOR_TYPES."""
    sizes = b"".join(field(1, number(1, size)) for size in shape)
    return field(2, field(1, number(1, kind) + field(2, sizes)))


def text(key: int, value: str) -> bytes:
    """A field of text. key: the field's number."""
    return field(key, value.encode())


def field(key: int, content: bytes) -> bytes:
    """A field of bytes, or a message in a message."""
    return _varint(key << 3 | 2) + _varint(len(content)) + content


def number(key: int, value: int) -> bytes:
    """A field that holds a whole number, 0 or more."""
    return _varint(key << 3) + _varint(value)


def _varint(value: int) -> bytes:
    groups = []
    while value > 0x7F:
        groups.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*groups, value])
