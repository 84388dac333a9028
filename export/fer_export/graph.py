"""torch -> ONNX: one self-describing file, uint8 pixels in, logits and probabilities out."""

import ast
import logging
import warnings
from collections.abc import Iterator

import numpy as np
import onnx
import torch
from onnx import TensorProto, helper, numpy_helper

from fer_runtime import contract
from fer_runtime.contract import Manifest
from fer_runtime.errors import FerError
from fer_train.model import FerNet, folded

OPSET = 18  # with IR 9: loads in onnxruntime 1.19 and later; opset 22 is slower or refused on year-old ones
IR = 9
NORMALIZED = "normalized"
SCOPES = "pkg.torch.onnx.name_scopes"


def core(network: FerNet) -> onnx.ModelProto:
    """The folded network as ONNX: float `normalized` [batch, 1, h, w] -> `logits` [batch, classes].

    The output of every site (fer_train.model.sites) is a tensor of the site's name. `network` is left as it was.
    """
    side = network.architecture.size
    logging.getLogger("torch.onnx").setLevel(logging.ERROR)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        program = torch.onnx.export(
            folded(network),
            (torch.zeros(2, 1, side, side),),
            dynamo=True,
            opset_version=OPSET,
            verbose=False,
            input_names=[NORMALIZED],
            output_names=[contract.LOGITS],
            dynamic_shapes={"x": {0: torch.export.Dim("batch")}},
            external_data=False,
        )
    assert program is not None
    model: onnx.ModelProto = program.model_proto
    _name_tensors(model.graph)
    _strip(model)
    return model


def with_pixels(model: onnx.ModelProto, manifest: Manifest) -> onnx.ModelProto:
    """`model` with uint8 `faces` in: DequantizeLinear with scale 1/std and zero point mean is (pixel - mean) / std.

    In an int8 model, whose first node quantizes `normalized` with just these values, the pixels take that node's place.
    """
    graph = model.graph
    if manifest.mean != int(manifest.mean) or not 0 <= manifest.mean <= 255:
        raise FerError(f"the checkpoint's mean is {manifest.mean}: expected a whole number of 0..255")
    quantize = next(
        (node for node in graph.node if node.input[0] == NORMALIZED and node.op_type == "QuantizeLinear"), None
    )
    if quantize is not None:
        first = next(node for node in graph.node if node.input[0] == quantize.output[0])
        graph.node.remove(quantize)
        scale, zero = first.input[1], first.input[2]
        for name in (scale, zero):
            graph.initializer.remove(next(i for i in graph.initializer if i.name == name))
        first.input[0] = contract.INPUT
    else:
        scale, zero = "faces_scale", "faces_zero_point"
        first = helper.make_node("DequantizeLinear", [contract.INPUT, scale, zero], [NORMALIZED], name="normalize")
        graph.node.insert(0, first)
    graph.initializer.append(numpy_helper.from_array(np.array(1 / manifest.std, np.float32), scale))
    graph.initializer.append(numpy_helper.from_array(np.array(manifest.mean, np.uint8), zero))
    del graph.input[:]
    shape: list[str | int | None] = ["batch", 1, manifest.size, manifest.size]
    graph.input.append(helper.make_tensor_value_info(contract.INPUT, TensorProto.UINT8, shape))
    return model


def with_probabilities(model: onnx.ModelProto, manifest: Manifest) -> onnx.ModelProto:
    """`model` with a second output: probabilities = softmax(logits / temperature)."""
    graph = model.graph
    temperature = numpy_helper.from_array(np.array(manifest.temperature, np.float32), "temperature")
    graph.initializer.append(temperature)
    graph.node.append(helper.make_node("Div", [contract.LOGITS, "temperature"], ["tempered"], name="temper"))
    graph.node.append(helper.make_node("Softmax", ["tempered"], [contract.PROBABILITIES], name="softmax", axis=1))
    shape: list[str | int | None] = ["batch", len(manifest.labels)]
    graph.output.append(helper.make_tensor_value_info(contract.PROBABILITIES, TensorProto.FLOAT, shape))
    return model


def finished(model: onnx.ModelProto, manifest: Manifest) -> bytes:
    """The file's bytes: versions set, manifest inside, checked."""
    done = onnx.ModelProto()
    done.CopyFrom(model)
    done.ir_version = IR
    del done.opset_import[:]
    done.opset_import.append(helper.make_opsetid("", OPSET))
    done.producer_name, done.producer_version = "fer-edge", ""
    done.graph.name = "fer"
    del done.graph.value_info[:]
    del done.metadata_props[:]
    done.metadata_props.add(key=contract.METADATA_KEY, value=manifest.to_json())
    onnx.checker.check_model(onnx.shape_inference.infer_shapes(done, strict_mode=True), full_check=True)
    return bytes(done.SerializeToString(deterministic=True))


def _name_tensors(graph: onnx.GraphProto) -> None:
    """Call each node and its output by the torch module they come from, as the exporter noted it."""
    outputs = {value.name for value in graph.output}
    renamed: dict[str, str] = {}
    for node in graph.node:
        scopes = ast.literal_eval(next(p.value for p in node.metadata_props if p.key == SCOPES))
        module = scopes[-2] or scopes[-1]
        if module in renamed.values():  # a module of several nodes: only the first bears its name
            module = f"{module}.{node.output[0]}"
        node.name = module
        if node.output[0] not in outputs:
            renamed[node.output[0]] = module
    for node in graph.node:
        node.input[:] = [renamed.get(name, name) for name in node.input]
        node.output[:] = [renamed.get(name, name) for name in node.output]
    for value in graph.value_info:
        value.name = renamed.get(value.name, value.name)


def _strip(model: onnx.ModelProto) -> None:
    """Remove what the exporter notes for itself: source paths, stack traces, signatures."""
    for holder in _holders(model):
        del holder.metadata_props[:]
        holder.doc_string = ""


def _holders(model: onnx.ModelProto) -> Iterator[onnx.ModelProto | onnx.GraphProto | onnx.NodeProto]:
    yield model
    graph = model.graph
    for group in ([graph], graph.node, graph.input, graph.output, graph.value_info, graph.initializer):
        yield from group
