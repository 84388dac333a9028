"""Names in an exported graph: each tensor's is that of the torch module which makes it; the exporter's notes go."""

import ast
import re
from collections.abc import Container, Iterator

import onnx

from fer_export.graph import edit
from fer_runtime.model.manifest import INPUT, LOGITS, PROBABILITIES

NORMALIZED = "normalized"
EXPORTED_INPUT, EXPORTED_OUTPUT = "fer-edge input", "fer-edge output"  # no module and no weight is called so
PREFIX = "network."
SCOPES = "pkg.torch.onnx.name_scopes"
# Tensors and nodes that fer_export.graph.export adds; a network's own of these names get others.
RESERVED = {
    INPUT, LOGITS, PROBABILITIES, NORMALIZED, "temperature", "tempered", "temper", "softmax", "normalize", "cast",
    "centre", "faces_scale", "faces_zero_point", "faces_mean", "faces_float", "faces_centred",
}  # fmt: skip
# What onnxruntime's quantizer and fer_export.graph.fp16 append to the names of what they change.
APPENDED = re.compile(r"_(scale|zero_point|quantized|(Q|DequantizeLinear|QuantizeLinear)(_\w+)?)$|\.(half|cast)$")


def name_tensors(graph: onnx.GraphProto) -> None:
    """Call each node and its output by the torch module they come from, as the exporter noted it.

    Of a module's several nodes the last one bears its name: its output is the module's. The exporter must have called
    the graph's input and output EXPORTED_INPUT and EXPORTED_OUTPUT; they become `normalized` and `logits`.
    """
    modules = [_module(node) for node in graph.node]
    last = {module: index for index, module in enumerate(modules)}
    taken = set(RESERVED)
    new = {tensor.name: _free(tensor.name, taken) for tensor in graph.initializer}
    for module, index in last.items():  # these come first: their names are the modules' own
        graph.node[index].name = _free(module, taken)
    for index, node in enumerate(graph.node):
        if last[modules[index]] != index:
            node.name = _free(f"{modules[index]}.{node.output[0]}", taken)
        new[node.output[0]] = node.name
        node.name = {EXPORTED_OUTPUT: LOGITS}.get(node.name, node.name)
    new |= {EXPORTED_INPUT: NORMALIZED, EXPORTED_OUTPUT: LOGITS}
    edit.rename(graph, new)


def module_of(tensor: str, modules: Container[str]) -> str | None:
    """Which of the network's modules a tensor is the output of; None where it is none's."""
    return next((name for name in (tensor, tensor.removeprefix(PREFIX)) if name in modules), None)


def strip(model: onnx.ModelProto) -> None:
    """Remove what the exporter notes for itself: source paths, stack traces, signatures."""
    for holder in _holders(model):
        del holder.metadata_props[:]
        holder.doc_string = ""


def _free(name: str, taken: set[str]) -> str:
    """The name, or one like it that is not taken; it is then."""
    if name in RESERVED:
        name = f"{PREFIX}{name}"
    while name in taken or APPENDED.search(name):
        name += "'"
    taken.add(name)
    return name


def _module(node: onnx.NodeProto) -> str:
    noted = next((p.value for p in node.metadata_props if p.key == SCOPES), None)
    scopes = ast.literal_eval(noted) if noted else [node.name or node.output[0]]
    return str(scopes[-2] if len(scopes) > 1 and scopes[-2] else scopes[-1])


def _holders(model: onnx.ModelProto) -> Iterator[onnx.ModelProto | onnx.GraphProto | onnx.NodeProto]:
    yield model
    graph = model.graph
    for group in ([graph], graph.node, graph.input, graph.output, graph.value_info, graph.initializer):
        yield from group
