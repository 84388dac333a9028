"""fp16: a size format. Weights are stored in half the bytes and computed with in float32."""

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from fer_export.graph import edit
from fer_runtime.errors import GateError

MIN_VALUES = 64  # of a tensor: below that a Cast weighs more than it saves


def with_half_weights(model: onnx.ModelProto) -> onnx.ModelProto:
    """A copy of `model` whose float weights are float16, each followed by a Cast that onnxruntime folds when it loads.

    No CPU kernel of onnxruntime's multiplies in float16 on x86 or a Raspberry Pi: it would convert between any two
    layers. So the file is half as large, and as fast as fp32. Raises GateError for a weight beyond float16's range.
    """
    copy = edit.copied(model)
    graph = copy.graph
    casts = []
    for tensor in graph.initializer:
        values = numpy_helper.to_array(tensor)
        if values.dtype != np.float32 or values.size < MIN_VALUES:
            continue
        if np.abs(values).max() > np.finfo(np.float16).max:
            raise GateError(
                f"fp16 cannot hold the weights {tensor.name!r}: {np.abs(values).max():.3g} is beyond 65504; use fp32"
            )
        name = tensor.name
        tensor.CopyFrom(numpy_helper.from_array(values.astype(np.float16), f"{name}.half"))
        casts.append(helper.make_node("Cast", [f"{name}.half"], [name], name=f"{name}.cast", to=TensorProto.FLOAT))
    edit.insert(graph, casts)
    return copy
