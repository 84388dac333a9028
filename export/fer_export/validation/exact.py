"""A file's graph in float64: whether a difference between two runtimes is rounding, or a mistake in the graph."""

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, numpy_helper
from onnx.reference import ReferenceEvaluator

from fer_export.graph import edit
from fer_runtime.model.manifest import INPUT, LOGITS

REFERENCE_OPSET = 21  # onnx's own evaluator has no DequantizeLinear of 18; what our graphs use is the same in both


def logits(file: bytes, pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Logits [n, classes] for uint8 [n, c, h, w], computed in float64 by onnx's own evaluator, which is slow.

    Raises whatever that evaluator raises for operators it does not have.
    """
    (found,) = ReferenceEvaluator(_in_float64(file)).run([LOGITS], {INPUT: pixels})
    return np.asarray(found).astype(np.float32)


def _in_float64(file: bytes) -> onnx.ModelProto:
    model = edit.with_versions(onnx.load_from_string(file))
    model.opset_import[0].version = REFERENCE_OPSET
    tensors = list(model.graph.initializer)
    for attribute in (attribute for node in model.graph.node for attribute in node.attribute):
        if attribute.type == onnx.AttributeProto.TENSOR:
            tensors.append(attribute.t)
        if attribute.name == "to" and attribute.i == TensorProto.FLOAT:  # of a Cast
            attribute.i = TensorProto.DOUBLE
    for tensor in tensors:
        if tensor.data_type == TensorProto.FLOAT:
            tensor.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(tensor).astype(np.float64), tensor.name))
    return model
