"""The first layer whose output in the file differs from the network's, for one face."""

import numpy as np
import onnx
import torch
from numpy.typing import NDArray
from torch import nn
from torch.utils.hooks import RemovableHandle

from fer_export.graph import edit, naming
from fer_export.graph.export import NORMALIZED
from fer_runtime.model.manifest import INPUT, LOGITS, Manifest
from fer_runtime.model.normalization import normalized
from fer_runtime.model.session import open_session


def first_difference(file: bytes, network: nn.Module, manifest: Manifest, face: NDArray[np.uint8], bound: float) -> str:
    """The first tensor of the file, in the order it runs, whose values for `face` differ from those of the module
    of that name in PyTorch; empty when no tensor that both have does.
    """
    modules = dict(network.named_modules())
    model = onnx.load_from_string(file)
    made: list[str] = [output for node in model.graph.node for output in node.output]
    names = [name for name in made if name in (NORMALIZED, LOGITS) or naming.module_of(name, modules)]
    wanted = _module_outputs(network, manifest, face)
    tapped = open_session(edit.tapped(model, names).SerializeToString(), optimized=False)
    for name, found in zip(names, tapped.run(names, {INPUT: face[None]}), strict=True):
        expected = wanted.get(naming.module_of(name, modules) or name)
        if expected is None:
            continue
        scale = np.maximum(1, np.abs(expected))
        if found.shape != expected.shape or not (np.abs(found - expected) / scale).max() <= bound:
            return name
    return ""


def _module_outputs(network: nn.Module, manifest: Manifest, face: NDArray[np.uint8]) -> dict[str, NDArray[np.float32]]:
    """What PyTorch's modules give for one face uint8 [c, h, w], its normalized pixels, and the logits."""
    inputs = normalized(face[None], manifest.mean, manifest.std)
    seen: dict[str, NDArray[np.float32]] = {NORMALIZED: inputs}
    handles: list[RemovableHandle] = []

    def watch(name: str, module: nn.Module) -> None:
        def hook(_module: nn.Module, _inputs: object, output: object) -> None:
            if isinstance(output, torch.Tensor):
                seen[name] = output.detach().numpy().copy()

        handles.append(module.register_forward_hook(hook))

    for name, module in network.named_modules():
        if name:
            watch(name, module)
    with torch.no_grad():
        seen[LOGITS] = network(torch.from_numpy(inputs)).numpy()
    for handle in handles:
        handle.remove()
    return seen
