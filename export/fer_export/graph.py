"""torch -> ONNX: one self-describing file, uint8 pixels in, logits and probabilities out."""

import ast
import logging
import math
import warnings
from collections.abc import Iterator

import numpy as np
import onnx
import torch
from onnx import TensorProto, helper, numpy_helper

from fer_export.foreign import Source
from fer_runtime import contract
from fer_runtime.contract import Manifest
from fer_runtime.errors import FerError
from fer_train.model import FerNet, folded

OPSET = 18  # with IR 9: loads in onnxruntime 1.19 and later; opset 22 is slower or refused on year-old ones
IR = 9
NORMALIZED = "normalized"
SCOPES = "pkg.torch.onnx.name_scopes"
Numbers = float | tuple[float, ...]


def core(source: Source) -> onnx.ModelProto:
    """The network as ONNX, batch norms folded: float `normalized` [batch, c, h, w] -> `logits` [batch, classes].

    The output of every module of our networks (fer_train.model.sites), and of others' where torch's exporter tells, is
    a tensor of the module's name. `source.network` is left as it was. Raises FerError for what cannot be exported.
    """
    manifest, network = source.manifest, source.network
    exported = source.program or (folded(network) if isinstance(network, FerNet) else network)
    example = torch.zeros(2, manifest.channels, manifest.size, manifest.size)
    logging.getLogger("torch.onnx").setLevel(logging.ERROR)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            program = torch.onnx.export(
                exported,
                (example,),
                dynamo=True,
                opset_version=OPSET,
                verbose=False,
                input_names=[NORMALIZED],
                output_names=[contract.LOGITS],
                dynamic_shapes=None if source.program else ({0: torch.export.Dim("batch")},),
                external_data=False,
            )
        except Exception as error:  # the exporter raises almost anything
            raise FerError(
                f"torch's exporter cannot take the network ({_first_line(error)}): its forward must be traceable by "
                "torch.export, for any batch"
            ) from error
    assert program is not None
    model: onnx.ModelProto = program.model_proto
    if other := sorted(
        {node.domain or node.op_type for node in model.graph.node if node.domain} | {f.name for f in model.functions}
    ):
        raise FerError(f"the network needs operators beyond standard ONNX: {', '.join(other)}")
    _name_tensors(model.graph)
    _strip(model)
    return model


def _first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:200]


def macs(model: onnx.ModelProto) -> int:
    """Multiply-adds of one face in convolutions and matrix products, counted from shapes."""
    inferred = onnx.shape_inference.infer_shapes(model).graph
    values = [*inferred.value_info, *inferred.output]
    shapes = {v.name: [d.dim_value for d in v.type.tensor_type.shape.dim] for v in values}
    weights = {tensor.name: list(tensor.dims) for tensor in model.graph.initializer}
    total = 0
    for node in model.graph.node:
        if node.op_type not in ("Conv", "Gemm", "MatMul") or node.input[1] not in weights:
            continue
        outputs, shape = math.prod(shapes[node.output[0]][1:]), weights[node.input[1]]
        inner = math.prod(shape[1:]) if node.op_type == "Conv" else math.prod(shape) // shapes[node.output[0]][-1]
        total += outputs * inner
    return total


def with_pixels(model: onnx.ModelProto, manifest: Manifest) -> onnx.ModelProto:
    """`model` with uint8 `faces` in: DequantizeLinear with scale 1/std and zero point mean is (pixel - mean) / std.

    A mean that is not whole, or one of each channel, takes arithmetic instead.

    In an int8 model, whose first node quantizes `normalized` with just these values, the pixels take that node's place.
    """
    graph = model.graph
    shape: list[str | int | None] = ["batch", manifest.channels, manifest.size, manifest.size]
    del graph.input[:]
    graph.input.append(helper.make_tensor_value_info(contract.INPUT, TensorProto.UINT8, shape))
    mean, std = manifest.mean, manifest.std
    if isinstance(mean, tuple) or isinstance(std, tuple) or mean != int(mean):
        return _with_arithmetic(model, mean, std)
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
    graph.initializer.append(numpy_helper.from_array(np.array(1 / std, np.float32), scale))
    graph.initializer.append(numpy_helper.from_array(np.array(mean, np.uint8), zero))
    return model


def _with_arithmetic(model: onnx.ModelProto, mean: Numbers, std: Numbers) -> onnx.ModelProto:
    """Cast, Sub and Mul: a zero point is one whole number, and rounding the mean would break parity."""
    graph = model.graph
    for name, value in (("faces_mean", np.atleast_1d(mean)), ("faces_scale", 1 / np.atleast_1d(std))):
        graph.initializer.append(numpy_helper.from_array(value.reshape(1, -1, 1, 1).astype(np.float32), name))
    nodes = [
        helper.make_node("Cast", [contract.INPUT], ["faces_float"], name="cast", to=TensorProto.FLOAT),
        helper.make_node("Sub", ["faces_float", "faces_mean"], ["faces_centred"], name="centre"),
        helper.make_node("Mul", ["faces_centred", "faces_scale"], [NORMALIZED], name="normalize"),
    ]
    for index, node in enumerate(nodes):
        graph.node.insert(index, node)
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
    """Call each node and its output by the torch module they come from, as the exporter noted it.

    Of a module's several nodes the last one bears its name: its output is the module's.
    """
    outputs = {value.name for value in graph.output}
    modules = [_module(node) for node in graph.node]
    renamed: dict[str, str] = {}
    for index, node in enumerate(graph.node):
        module = modules[index]
        node.name = f"{module}.{node.output[0]}" if module in modules[index + 1 :] else module
        if node.output[0] not in outputs:
            renamed[node.output[0]] = node.name
    for node in graph.node:
        node.input[:] = [renamed.get(name, name) for name in node.input]
        node.output[:] = [renamed.get(name, name) for name in node.output]
    for value in graph.value_info:
        value.name = renamed.get(value.name, value.name)


def _module(node: onnx.NodeProto) -> str:
    noted = next((p.value for p in node.metadata_props if p.key == SCOPES), None)
    scopes = ast.literal_eval(noted) if noted else [node.name or node.output[0]]
    return str(scopes[-2] if len(scopes) > 1 and scopes[-2] else scopes[-1])


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
