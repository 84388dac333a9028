"""Convolution weights on int8's grid: each rounding error is compensated by the weights rounded after it (GPTQ)."""

from collections.abc import Iterable

import numpy as np
import onnx
import torch
from numpy.typing import NDArray
from torch import Tensor

from fer_export.graph import edit
from fer_export.graph.export import NORMALIZED
from fer_export.quantization.calibration import CHUNK
from fer_runtime.model.inference import batches
from fer_runtime.model.session import open_session

LEVELS = 64  # 7 bits: -64..64 (reduce_range, see fer_export.quantization.qdq)
SAMPLES = 2**25  # values of a convolution's input patches: more of them round the same way
DAMPING = 0.01  # of the mean curvature: keeps the inverse finite where inputs never vary


def rounded(core: onnx.ModelProto, inputs: NDArray[np.float32] | None) -> onnx.ModelProto:
    """`core` (graph.export.core) with every ungrouped convolution's weights on int8's grid, one scale per channel.

    inputs: float32 [n, c, h, w], normalized faces. In the order of the graph each layer sees what the rounded ones
    before it give, its weights are rounded one after the other, the change that this makes in the layer's outputs is
    compensated by those still to come (GPTQ: Frantar et al. 2022, arXiv:2210.17323), and the mean shift that is left
    goes into the bias (Nagel et al. 2019, arXiv:1906.04721). Agreement with PyTorch on PublicTest rises from 97.1 to
    98.3 % (nano) and from 98.5 to 99.3 % (small). None rounds to the nearest.
    """
    model = edit.copied(core)
    for node in model.graph.node:
        if not _is_plain(model, node):
            continue
        weights = torch.from_numpy(edit.value(model, node.input[1])).double()
        rows = weights.flatten(1)
        scale = rows.abs().amax(1).clamp_min(1e-30) / LEVELS
        if inputs is None:
            on_grid = _nearest(rows, scale[:, None])
        else:
            patches = _patches(model, node, inputs)
            on_grid = _compensated(rows, scale, patches.T @ patches / len(patches))
            if len(node.input) > 2:
                shift = (on_grid - rows) @ patches.mean(0)
                edit.set_value(model, node.input[2], edit.value(model, node.input[2]) - shift.numpy())
        edit.set_value(model, node.input[1], on_grid.reshape(weights.shape).numpy())
    return model


def with_weights_of(model: onnx.ModelProto, other: onnx.ModelProto, layers: Iterable[str]) -> onnx.ModelProto:
    """A copy of `model` in which the named layers have the weights and biases that they have in `other`."""
    copy = edit.copied(model)
    chosen = set(layers)
    wanted = {name for node in model.graph.node if node.name in chosen for name in node.input[1:]}
    others = edit.constants(other)
    for name, tensor in edit.constants(copy).items():
        if name in wanted:
            tensor.CopyFrom(others[name])
    return copy


def _is_plain(model: onnx.ModelProto, node: onnx.NodeProto) -> bool:
    """Whether this is an ungrouped 2-d convolution with weights of its own; the quantizer rounds the others."""
    own = {tensor.name: len(tensor.dims) for tensor in model.graph.initializer}
    users = sum(node.input[1] in other.input for other in model.graph.node) if node.op_type == "Conv" else 0
    padded = edit.attribute(node, "auto_pad", b"NOTSET") == b"NOTSET"
    return users == 1 and own.get(node.input[1]) == 4 and padded and edit.attribute(node, "group", 1) == 1


def _nearest(values: Tensor, scale: Tensor) -> Tensor:
    return (values / scale).round().clamp(-LEVELS, LEVELS) * scale


def _compensated(rows: Tensor, scale: Tensor, curvature: Tensor) -> Tensor:
    """rows: double [outputs, k]; scale: [outputs]; curvature: [k, k], mean outer product of the input patches."""
    damped = curvature + torch.eye(len(curvature), dtype=torch.double) * (DAMPING * curvature.diagonal().mean() + 1e-12)
    inverse = torch.linalg.cholesky(torch.cholesky_inverse(torch.linalg.cholesky(damped)), upper=True)
    left, done = rows.clone(), torch.zeros_like(rows)
    for k in range(rows.shape[1]):
        done[:, k] = _nearest(left[:, k], scale)
        error = (left[:, k] - done[:, k]) / inverse[k, k]
        left[:, k:] -= error[:, None] * inverse[k, k:]
    # The quantizer derives the scale from the largest weight: that one stays where it was.
    largest, outputs = rows.abs().argmax(1), torch.arange(len(rows))
    done[outputs, largest] = rows[outputs, largest]
    return done


def _patches(model: onnx.ModelProto, node: onnx.NodeProto, inputs: NDArray[np.float32]) -> Tensor:
    """double [samples, k]: what the convolution multiplies its weights with, at random places of all faces."""
    name = node.input[0]
    session = open_session(edit.runnable(edit.tapped(model, [name])))
    kernel = edit.value(model, node.input[1]).shape[2:]
    chunks = list(batches(inputs, CHUNK))
    rng = np.random.RandomState(0)  # a fixed stream in every numpy version
    sampled = []
    for chunk in chunks:
        seen = chunk if name == NORMALIZED else session.run([name], {NORMALIZED: chunk})[0]
        padded = torch.nn.functional.pad(torch.from_numpy(seen), _pads(node))
        unfolded = torch.nn.functional.unfold(
            padded, kernel, edit.attribute(node, "dilations", [1, 1]), 0, edit.attribute(node, "strides", [1, 1])
        )
        patches = unfolded.transpose(1, 2).flatten(0, 1)
        few = min(len(patches), SAMPLES // patches.shape[1] // len(chunks) + 1)
        sampled.append(patches[torch.from_numpy(rng.choice(len(patches), few, replace=False))].double())
    return torch.cat(sampled)


def _pads(node: onnx.NodeProto) -> list[int]:
    """As torch takes them: left, right, top, bottom."""
    top, left, bottom, right = edit.attribute(node, "pads", [0, 0, 0, 0])
    return [left, right, top, bottom]
