"""torch -> ONNX: one self-describing file, uint8 pixels in, logits and probabilities out."""

import numpy as np
import onnx
import torch
from onnx import TensorProto, helper

from fer_export.graph import edit, naming
from fer_export.source import Source
from fer_export.torch_silence import quiet
from fer_runtime.errors import FerError
from fer_runtime.model.manifest import INPUT, LOGITS, METADATA_KEY, PROBABILITIES, Manifest
from fer_runtime.model.normalization import Numbers
from fer_runtime.model.onnx_writer import OPSET
from fer_train.model import FerNet, folded

NORMALIZED = naming.NORMALIZED


def core(source: Source) -> onnx.ModelProto:
    """The network as ONNX, batch norms folded: float `normalized` [batch, c, h, w] -> `logits` [batch, classes].

    The output of every module of our networks (fer_train.model.sites), and of others' as far as torch's exporter names
    them, is a tensor of the module's name. `source.network` is left as it was. Raises FerError for what cannot be
    exported.
    """
    manifest, network = source.manifest, source.network
    exported = source.program or (folded(network) if isinstance(network, FerNet) else network)
    example = torch.zeros(2, manifest.network_channels, manifest.size, manifest.size)
    try:
        with quiet():
            program = torch.onnx.export(
                exported,
                (example,),
                dynamo=True,
                opset_version=OPSET,
                verbose=False,
                input_names=[naming.EXPORTED_INPUT],
                output_names=[naming.EXPORTED_OUTPUT],
                dynamic_shapes=None if source.program else ({0: torch.export.Dim("batch")},),
                external_data=False,
            )
    except Exception as error:  # the exporter raises almost anything
        raise FerError(f"torch's exporter cannot take the network ({_root(error)}): {_advice(error)}") from error
    assert program is not None
    model: onnx.ModelProto = program.model_proto
    if other := sorted(
        {node.domain or node.op_type for node in model.graph.node if node.domain} | {f.name for f in model.functions}
    ):
        raise FerError(f"the network needs operators beyond standard ONNX: {', '.join(other)}")
    naming.name_tensors(model.graph)
    naming.strip(model)
    model.graph.output[0].type.tensor_type.shape.dim[0].dim_param = "batch"
    return model


def _root(error: BaseException) -> str:
    """The cause of an export error, in one line: the exporter's own errors are pages of advice around it."""
    while error.__cause__ is not None:
        error = error.__cause__
    return f"{type(error).__name__}: {(str(error).strip().splitlines() or [''])[0][:200]}"


def _advice(error: BaseException) -> str:
    """What to change in the network, by what the exporter says of it."""
    told = ""
    cause: BaseException | None = error
    while cause is not None:
        told += f"{type(cause).__name__} {cause} "
        cause = cause.__cause__
    if any(sign in told for sign in ("ata-dependent", "DataDependent", "ynamic control flow", "LocalScalarDense")):
        return (
            "its forward decides by the values of a face (an if, a loop or .item() on a tensor), and a graph is the "
            "same for all faces; write the choice with torch.where"
        )
    if "onstraint" in told and "batch" in told:
        return "its forward fixes the batch; write x.flatten(1) in place of sizes that include the batch"
    return "its forward must be traceable by torch.export, for any batch"


def with_pixels(model: onnx.ModelProto, manifest: Manifest) -> onnx.ModelProto:
    """`model` with uint8 `faces` in: DequantizeLinear with scale 1/std and zero point mean is (pixel - mean) / std.

    A mean that is not an integer, or differs between channels, takes Cast, Sub and Mul instead.

    In an int8 model, whose first node quantizes `normalized` with just these values, the pixels take that node's place.
    """
    graph = model.graph
    shape: list[str | int | None] = ["batch", manifest.channels, manifest.size, manifest.size]
    del graph.input[:]
    graph.input.append(helper.make_tensor_value_info(INPUT, TensorProto.UINT8, shape))
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
            edit.remove_constant(model, name)
        first.input[0] = INPUT
    else:
        scale, zero = "faces_scale", "faces_zero_point"
        first = helper.make_node("DequantizeLinear", [INPUT, scale, zero], [NORMALIZED], name="normalize")
        edit.insert(graph, [first])
    edit.add_constant(graph, scale, np.array(1 / std, np.float32))
    edit.add_constant(graph, zero, np.array(mean, np.uint8))
    return model


def _with_arithmetic(model: onnx.ModelProto, mean: Numbers, std: Numbers) -> onnx.ModelProto:
    """Cast, Sub and Mul: a zero point is one integer, and rounding the mean would break parity."""
    graph = model.graph
    for name, value in (("faces_mean", np.atleast_1d(mean)), ("faces_scale", 1 / np.atleast_1d(std))):
        edit.add_constant(graph, name, value.reshape(1, -1, 1, 1).astype(np.float32))
    nodes = [
        helper.make_node("Cast", [INPUT], ["faces_float"], name="cast", to=TensorProto.FLOAT),
        helper.make_node("Sub", ["faces_float", "faces_mean"], ["faces_centred"], name="centre"),
        helper.make_node("Mul", ["faces_centred", "faces_scale"], [NORMALIZED], name="normalize"),
    ]
    edit.insert(graph, nodes)
    return model


def with_probabilities(model: onnx.ModelProto, manifest: Manifest) -> onnx.ModelProto:
    """`model` with a second output: probabilities = softmax(logits / temperature)."""
    graph = model.graph
    edit.add_constant(graph, "temperature", np.array(manifest.temperature, np.float32))
    graph.node.append(helper.make_node("Div", [LOGITS, "temperature"], ["tempered"], name="temper"))
    graph.node.append(helper.make_node("Softmax", ["tempered"], [PROBABILITIES], name="softmax", axis=1))
    shape: list[str | int | None] = ["batch", len(manifest.labels)]
    graph.output.append(helper.make_tensor_value_info(PROBABILITIES, TensorProto.FLOAT, shape))
    return model


def assembled(network: onnx.ModelProto, manifest: Manifest) -> onnx.ModelProto:
    """A copy of `network` (a core, in float or in int8) with camera bytes in and probabilities out, checked.

    Only the manifest is missing, which `serialized` adds.
    """
    done = with_probabilities(with_pixels(edit.copied(network), manifest), manifest)
    edit.with_versions(done)
    done.producer_name, done.producer_version = "fer-edge", ""
    done.graph.name = "fer"
    del done.graph.value_info[:]
    onnx.checker.check_model(onnx.shape_inference.infer_shapes(done, strict_mode=True), full_check=True)
    return done


def serialized(model: onnx.ModelProto, manifest: Manifest) -> bytes:
    """The file's bytes: an `assembled` graph with this manifest."""
    del model.metadata_props[:]
    model.metadata_props.add(key=METADATA_KEY, value=manifest.to_json())
    return bytes(model.SerializeToString(deterministic=True))
