"""Activation ranges measured on faces: what each stored tensor of an ONNX graph holds, in onnxruntime."""

import numpy as np
import onnx
from numpy.typing import NDArray

from fer_export.graph import edit
from fer_export.graph.export import NORMALIZED
from fer_export.quantization.qdq import stored
from fer_runtime.data.dataset import Faces, stratified
from fer_runtime.model.inference import batches
from fer_runtime.model.manifest import Manifest
from fer_runtime.model.normalization import normalized
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
    for name, values in _observed(core, normalized(pixels, manifest.mean, manifest.std)).items():
        for method in METHODS:
            found[method][name] = bounds(values, method)
    return found


def _observed(core: onnx.ModelProto, inputs: NDArray[np.float32]) -> dict[str, NDArray[np.float32]]:
    """Values of every stored tensor, flat: the least and largest of each chunk, and an even share of the others."""
    names = stored(core)
    session = open_session(edit.runnable(edit.tapped(core, names)))
    chunks = list(batches(inputs, CHUNK))
    kept: dict[str, list[NDArray[np.float32]]] = {name: [] for name in names}
    for chunk in chunks:
        for name, values in zip(names, session.run(names, {NORMALIZED: chunk}), strict=True):
            flat = values.ravel()
            step = flat.size * len(chunks) // KEPT_VALUES | 1
            kept[name] += [flat[::step], np.array([flat.min(), flat.max()], np.float32)]
    return {name: np.concatenate(parts) for name, parts in kept.items()}
