"""What an ONNX file is made of, read from its bytes before onnxruntime sees them; no onnx package is needed.

onnxruntime crashes on some well-formed files (1.19: a function that calls itself, a weight "at a memory address") and
never returns from others (a loop of 2^60 turns). What it takes for that has no place in our files.
"""

from collections.abc import Iterator
from dataclasses import dataclass

OUTSIDE = "weights outside the file"
MAX_FIELDS = 500_000  # our networks have some thousands; a file of nothing but fields would take minutes
DEFAULT_DOMAINS = ("", "ai.onnx")  # both name the standard operators

# Protobuf knows a field by its number: (message, field) of onnx.proto.
INNER = {
    ("model", 7): "graph",
    ("model", 8): "opset",
    ("graph", 1): "node",
    ("graph", 5): "tensor",
    ("node", 5): "attribute",
    ("attribute", 5): "tensor",
    ("attribute", 10): "tensor",
}
IR_VERSION, OPSET_VERSION = ("model", 1), ("opset", 2)
DOMAINS = {("node", 7): DEFAULT_DOMAINS}  # operator sets that a file names and uses nothing of do no harm
FOREIGN = {
    ("model", 20): "training steps",
    ("model", 25): "functions",
    ("graph", 15): "sparse weights",
    ("attribute", 6): "control flow",
    ("attribute", 11): "control flow",
    ("attribute", 22): "sparse weights",
    ("attribute", 23): "sparse weights",
    ("tensor", 13): OUTSIDE,  # where they are
    ("tensor", 14): OUTSIDE,  # 1 where they are outside, 0 where not
}

Place = tuple[str, int]
Value = int | memoryview  # a number, or the bytes of a text or of an inner message


@dataclass(frozen=True)
class Format:
    """Of an ONNX file."""

    ir: int
    """Version of the file format."""
    opsets: tuple[int, ...]
    """Versions of the operator sets."""
    foreign: tuple[str, ...]
    """What our files never hold, in words."""


def read(data: bytes) -> Format:
    """The format of an ONNX file's bytes. Raises ValueError for bytes that are no protobuf message."""
    ir, opsets, foreign = 0, [], []
    for place, value in _walk(data):
        if isinstance(value, memoryview):
            domain = bytes(value).decode("utf-8", "replace") if place in DOMAINS else ""
            if domain and domain not in DOMAINS[place]:
                foreign.append(f"operators of {domain[:40]!r}")
        elif place == IR_VERSION:
            ir = value
        elif place == OPSET_VERSION:
            opsets.append(value)
        if place in FOREIGN and value != 0:
            foreign.append(FOREIGN[place])
    return Format(ir, tuple(opsets), tuple(dict.fromkeys(foreign)))


def _walk(data: bytes) -> Iterator[tuple[Place, Value]]:
    """Every field of the model and of the messages inside it that INNER names."""
    waiting = [("model", memoryview(data))]
    seen = 0
    while waiting:
        message, content = waiting.pop()
        for number, value in fields(content):
            seen += 1
            if seen > MAX_FIELDS:
                raise ValueError(f"more than {MAX_FIELDS:,} parts")
            inner = INNER.get((message, number))
            if inner and isinstance(value, memoryview):
                waiting.append((inner, value))
            else:
                yield (message, number), value


def fields(content: memoryview) -> Iterator[tuple[int, Value]]:
    """The fields of one protobuf message: number and value. Raises ValueError where the bytes are none."""
    at = 0
    while at < len(content):
        tag, at = varint(content, at)
        number, kind = tag >> 3, tag & 7
        value: Value
        if kind == 0:
            value, at = varint(content, at)
        elif kind in (1, 2, 5):  # eight bytes, as many as are told, four bytes
            length, at = varint(content, at) if kind == 2 else (8 if kind == 1 else 4, at)
            value, at = content[at : at + length], at + length
        else:
            raise ValueError(f"a field of kind {kind}")
        if not 0 < tag < 2**32 or not number or at > len(content):
            raise ValueError("cut short or damaged")
        yield number, value


def varint(content: memoryview, at: int) -> tuple[int, int]:
    """The number at `at`, seven bits a byte, and the place after it."""
    value = 0
    for shift in range(0, 70, 7):
        if at + shift // 7 >= len(content):
            break
        byte = content[at + shift // 7]
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, at + shift // 7 + 1
    raise ValueError("cut short or damaged")
