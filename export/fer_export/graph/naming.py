"""Names in an exported graph: each tensor's is that of the torch module which makes it; the exporter's notes go."""

import ast
from collections.abc import Iterator

import onnx

from fer_export.graph import edit
from fer_runtime.model.manifest import INPUT, LOGITS, PROBABILITIES

NORMALIZED = "normalized"
EXPORTED_INPUT, EXPORTED_OUTPUT = "fer-edge input", "fer-edge output"  # no module and no weight is called so
SCOPES = "pkg.torch.onnx.name_scopes"
# What fer_export.graph.export adds; a network's own tensors of these names get others.
RESERVED = {
    INPUT, LOGITS, PROBABILITIES, NORMALIZED, "temperature", "tempered",
    "faces_scale", "faces_zero_point", "faces_mean", "faces_float", "faces_centred",
}  # fmt: skip


def name_tensors(graph: onnx.GraphProto) -> None:
    """Call each node and its output by the torch module they come from, as the exporter noted it.

    Of a module's several nodes the last one bears its name: its output is the module's. The exporter must have called
    the graph's input and output EXPORTED_INPUT and EXPORTED_OUTPUT; they become `normalized` and `logits`.
    """
    modules = [_module(node) for node in graph.node]
    new = {tensor.name: _free(tensor.name) for tensor in graph.initializer}
    for index, node in enumerate(graph.node):
        module = modules[index]
        node.name = f"{module}.{node.output[0]}" if module in modules[index + 1 :] else module
        new[node.output[0]] = _free(node.name)
    new |= {EXPORTED_INPUT: NORMALIZED, EXPORTED_OUTPUT: LOGITS}
    for node in graph.node:
        node.name = {EXPORTED_OUTPUT: LOGITS}.get(node.name, node.name)
    edit.rename(graph, new)


def strip(model: onnx.ModelProto) -> None:
    """Remove what the exporter notes for itself: source paths, stack traces, signatures."""
    for holder in _holders(model):
        del holder.metadata_props[:]
        holder.doc_string = ""


def _free(name: str) -> str:
    return f"network.{name}" if name in RESERVED else name


def _module(node: onnx.NodeProto) -> str:
    noted = next((p.value for p in node.metadata_props if p.key == SCOPES), None)
    scopes = ast.literal_eval(noted) if noted else [node.name or node.output[0]]
    return str(scopes[-2] if len(scopes) > 1 and scopes[-2] else scopes[-1])


def _holders(model: onnx.ModelProto) -> Iterator[onnx.ModelProto | onnx.GraphProto | onnx.NodeProto]:
    yield model
    graph = model.graph
    for group in ([graph], graph.node, graph.input, graph.output, graph.value_info, graph.initializer):
        yield from group
