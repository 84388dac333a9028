"""A CPU's peak: one large convolution in the same run, beside which a network's speed is a share.

fer-export and fer-bench both measure against it, so that one file has one share: multiply-adds a second of the network
at its median, over those of the convolution at its fastest call.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from fer_runtime.model.onnx_writer import INTS, IR, OPSET, TENSOR_TYPES, field, number, tensor, tensor_type, text

CHANNELS, SIDE = 128, 24  # its tensors fit into the cache of a core
SHAPE = (1, CHANNELS, SIDE, SIDE)  # of input "x" and output "y"
MACS = CHANNELS**2 * 9 * SIDE**2


def share(macs: int, ms: float, peak_ms: float) -> float:
    """The share of the peak that a network reaches. macs: multiply-adds a call; ms: of a call, at the median;
    peak_ms: the large convolution's fastest call, in milliseconds.
    """
    return (macs / ms) / (MACS / peak_ms)


def large_convolution(precision: str) -> bytes:
    """The convolution as ONNX, "fp32" or "int8": 3x3, 128 channels in and out, 24x24 pixels, float32 or uint8."""
    rng = np.random.RandomState(0)
    shape = (CHANNELS, CHANNELS, 3, 3)
    if precision == "fp32":
        kind, operator = TENSOR_TYPES[np.dtype(np.float32)], "Conv"
        constants: dict[str, NDArray[Any]] = {"w": (rng.rand(*shape) - 0.5).astype(np.float32)}
    else:
        kind, operator = TENSOR_TYPES[np.dtype(np.uint8)], "QLinearConv"
        constants = {
            "x_scale": np.array(0.02, np.float32), "x_zero": np.array(128, np.uint8),
            "w": rng.randint(-64, 65, shape).astype(np.int8), "w_scale": np.array(0.01, np.float32),
            "w_zero": np.array(0, np.int8), "y_scale": np.array(0.05, np.float32), "y_zero": np.array(128, np.uint8),
        }  # fmt: skip
    pads = text(1, "pads") + b"".join(number(8, 1) for _ in range(4)) + number(20, INTS)
    node = b"".join(text(1, name) for name in ("x", *constants)) + text(2, "y") + text(4, operator) + field(5, pads)
    graph = field(1, node) + text(2, "peak")
    graph += b"".join(field(5, tensor(name, value)) for name, value in constants.items())
    value_type = tensor_type(kind, SHAPE)
    graph += field(11, text(1, "x") + value_type) + field(12, text(1, "y") + value_type)
    return number(1, IR) + field(7, graph) + field(8, number(2, OPSET))


def pixels(precision: str) -> NDArray[Any]:
    """What to feed it: [1, 128, 24, 24], float32 or uint8, always the same."""
    values = np.random.RandomState(0).randint(0, 256, SHAPE)
    return values.astype(np.float32 if precision == "fp32" else np.uint8)
