"""Well-formed ONNX files that mean harm: what each changes in a good model, and what is said of it."""

from collections.abc import Callable
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

Model = onnx.ModelProto


def bias(model: Model) -> TensorProto:
    found: TensorProto = next(tensor for tensor in model.graph.initializer if tensor.name == "head.bias")
    return found


def outside(**facts: str) -> Callable[[Model], None]:
    """The head's bias is to be found elsewhere."""

    def change(model: Model) -> None:
        tensor = bias(model)
        tensor.ClearField("raw_data")
        tensor.data_location = TensorProto.EXTERNAL
        for key, value in facts.items():
            tensor.external_data.add(key=key, value=value)

    return change


def outside_constant(model: Model) -> None:
    tensor = TensorProto(data_type=1, dims=[3], data_location=TensorProto.EXTERNAL)
    for key, value in {"location": "*/_ORT_MEM_ADDR_/*", "offset": "1094795585", "length": "12"}.items():
        tensor.external_data.add(key=key, value=value)
    model.graph.initializer.remove(bias(model))
    model.graph.node.insert(0, helper.make_node("Constant", [], ["head.bias"], value=tensor))


def computed_bias(
    operator: str, constants: dict[str, object], *inputs: str, **attributes: Any
) -> Callable[[Model], None]:
    """The head's bias is first run through `operator`, and through ReduceMax, so that its shape stays."""

    def change(model: Model) -> None:
        bias(model).name = "told"
        names = [f"{operator}_{key}" if key in constants else key for key in inputs]
        for key, value in constants.items():
            model.graph.initializer.append(numpy_helper.from_array(np.array(value), f"{operator}_{key}"))
        largest = helper.make_node("ReduceMax", ["huge"], ["one"], keepdims=0)
        add = helper.make_node("Add", ["told", "one"], ["head.bias"])
        for node in (add, largest, helper.make_node(operator, names, ["huge"], **attributes)):
            model.graph.node.insert(0, node)

    return change


def value(name: str, kind: int, shape: list[int]) -> onnx.ValueInfoProto:
    return helper.make_tensor_value_info(name, kind, shape)


def endless(model: Model) -> None:
    nodes = [helper.make_node("Identity", [a], [b]) for a, b in (("go", "on"), ("x", "y"))]
    starts = [value("i", TensorProto.INT64, []), value("go", TensorProto.BOOL, []), value("x", TensorProto.FLOAT, [3])]
    ends = [value("on", TensorProto.BOOL, []), value("y", TensorProto.FLOAT, [3])]
    body = helper.make_graph(nodes, "body", starts, ends)
    computed_bias("Loop", {"turns": np.int64(2**60), "go": np.True_}, "turns", "go", "told", body=body)(model)


def calls_itself(model: Model) -> None:
    operators = [helper.make_opsetid("own", 1), helper.make_opsetid("", 18)]
    call = helper.make_node("F", ["x"], ["y"], domain="own")
    model.functions.append(helper.make_function("own", "F", ["x"], ["y"], [call], operators))
    model.opset_import.append(operators[0])
    computed_bias("F", {}, "told", domain="own")(model)


def foreign_operator(model: Model) -> None:
    computed_bias("Gelu", {}, "told", domain="com.microsoft")(model)


def sparse(model: Model) -> None:
    model.graph.sparse_initializer.add()


def dims(*shape: int) -> Callable[[Model], None]:
    return lambda model: bias(model).dims.__setitem__(slice(None), shape)


def short(model: Model) -> None:
    bias(model).raw_data = bias(model).raw_data[:-4]


def float_input(model: Model) -> None:
    model.graph.input[0].type.tensor_type.elem_type = TensorProto.FLOAT


def fixed_batch(model: Model) -> None:
    model.graph.input[0].type.tensor_type.shape.dim[0].dim_value = 1


def no_outputs(model: Model) -> None:
    del model.graph.output[:]


def no_graph(model: Model) -> None:
    model.ClearField("graph")


def one_row(model: Model) -> None:
    """Only the first face is answered, whatever the batch."""
    last = next(node for node in model.graph.node if "logits" in node.output)
    last.output[0] = "all"
    model.graph.initializer.append(numpy_helper.from_array(np.array([0]), "first"))
    model.graph.node.append(helper.make_node("Gather", ["all", "first"], ["logits"], axis=0))


def cycle(model: Model) -> None:
    model.graph.node[0].input[0] = model.graph.node[3].output[0]


HOSTILE: dict[str, tuple[Callable[[Model], object], str]] = {
    "absolute": (outside(location="/etc/passwd"), "weights outside the file"),
    "parent": (outside(location="../../../etc/passwd", offset="-5"), "weights outside the file"),
    "beside": (outside(location="weights.bin"), "weights outside the file"),
    "link": (outside(location="link.bin"), "weights outside the file"),
    "address": (outside(location="*/_ORT_MEM_ADDR_/*", offset="1094795585", length="12"), "weights outside"),
    "constant": (outside_constant, "weights outside the file"),
    "endless": (endless, "control flow"),
    "recursion": (calls_itself, "functions"),
    "foreign": (foreign_operator, "operators of 'com.microsoft'"),
    "sparse": (sparse, "sparse weights"),
    "dims": (dims(2**40), "is not an ONNX model"),
    "dims_over": (dims(2**62 + 3), "is not an ONNX model"),
    "dims_under": (dims(-3), "is not an ONNX model"),
    "short": (short, "is not an ONNX model"),
    "constantofshape": (computed_bias("ConstantOfShape", {"n": [2**40]}, "n"), ""),
    "tile": (computed_bias("Tile", {"n": [2**40]}, "told", "n"), ""),
    "expand": (computed_bias("Expand", {"n": [2**40, 3]}, "told", "n"), ""),
    "range": (
        computed_bias("Range", {"a": np.float32(0), "b": np.float32(1e12), "c": np.float32(1)}, "a", "b", "c"),
        "",
    ),
    "pad": (computed_bias("Pad", {"n": [2**40, 2**40]}, "told", "n"), ""),
    "float": (float_input, ""),
    "fixed": (fixed_batch, "takes batches of 1 only"),
    "silent": (no_outputs, "does not keep its manifest's promise"),
    "hollow": (no_graph, ""),
    "one_row": (one_row, ""),
    "cycle": (cycle, "is not an ONNX model"),
}
