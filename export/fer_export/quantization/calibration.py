"""Activation ranges measured on faces: what each stored tensor of an ONNX graph holds, in onnxruntime."""

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper

from fer_export.graph.export import IR, NORMALIZED, OPSET
from fer_export.quantization.qdq import stored
from fer_runtime.data.dataset import Faces, stratified
from fer_runtime.model.inference import batches
from fer_runtime.model.manifest import Manifest
from fer_runtime.model.session import open_session
from fer_train.checkpoint import Ranges
from fer_train.ranges import METHODS, RANGE_FACES, bounds

CHUNK = 32  # faces at a time
KEPT_VALUES = 2**21  # of a tensor over all chunks, spread evenly: a large foreign network's would not fit in memory


def ranges(core: onnx.ModelProto, faces: Faces, manifest: Manifest) -> dict[str, Ranges]:
    """By each of fer_train.ranges.METHODS, over stratified `faces`: the range of every tensor that int8 stores.

    core: float `normalized` in (fer_export.graph.export.core).
    """
    pixels = stratified(faces, RANGE_FACES).pixels
    found: dict[str, Ranges] = {method: {} for method in METHODS}
    for name, values in _observed(core, normalized(pixels, manifest)).items():
        for method in METHODS:
            found[method][name] = bounds(values, method)
    return found


def normalized(pixels: NDArray[np.uint8], manifest: Manifest) -> NDArray[np.float32]:
    """uint8 [n, c, h, w] -> float32 [n, c, h, w]: (pixel - mean) / std, of each channel."""
    mean, std = (np.array(value, np.float64).reshape(1, -1, 1, 1) for value in (manifest.mean, manifest.std))
    return ((pixels - mean) / std).astype(np.float32)


def float_model(core: onnx.ModelProto) -> bytes:
    """`core` as onnxruntime takes it, without pixels and manifest."""
    model = onnx.ModelProto()
    model.CopyFrom(core)
    model.ir_version = IR
    del model.opset_import[:]
    model.opset_import.append(helper.make_opsetid("", OPSET))
    return bytes(model.SerializeToString())


def _observed(core: onnx.ModelProto, inputs: NDArray[np.float32]) -> dict[str, NDArray[np.float32]]:
    """Values of every stored tensor, flat: the least and largest of each chunk, and an even share of the others."""
    model = onnx.ModelProto()
    model.CopyFrom(core)
    names = stored(core)
    present = {output.name for output in model.graph.output}
    wanted = [helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in names if name not in present]
    model.graph.output.extend(wanted)
    session = open_session(float_model(model))
    chunks = list(batches(inputs, CHUNK))
    kept: dict[str, list[NDArray[np.float32]]] = {name: [] for name in names}
    for chunk in chunks:
        for name, values in zip(names, session.run(names, {NORMALIZED: chunk}), strict=True):
            flat = values.ravel()
            step = flat.size * len(chunks) // KEPT_VALUES | 1
            kept[name] += [flat[::step], np.array([flat.min(), flat.max()], np.float32)]
    return {name: np.concatenate(parts) for name, parts in kept.items()}
