"""Random small networks with random weights: their files pass the parity gate, in fp32 and in fp16, and round well."""

import numpy as np
import onnx
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fer_export import gates
from fer_export.graph import export, fp16, run
from fer_export.quantization import calibration, qdq, weight_rounding
from fer_export.source import Source
from fer_export.validation import parity
from fer_runtime.data.dataset import Faces
from fer_runtime.model.manifest import Manifest
from fer_runtime.model.normalization import normalized
from fer_train.model import Architecture, FerNet, Stage, macs, parameters

STAGES = st.lists(
    st.builds(Stage, st.integers(1, 40), st.integers(1, 2), st.integers(1, 2)), min_size=1, max_size=2
).map(tuple)
NETWORKS = st.builds(
    Architecture, st.integers(1, 24), st.integers(0, 1), STAGES, st.integers(2, 9), st.sampled_from([16, 31, 48])
)


@settings(max_examples=6, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow])
@given(NETWORKS, st.integers(0, 2**31), st.sampled_from([129, 0, 255]), st.floats(20, 260))
def test_any_network_of_ours_is_exported_as_it_answers(shape: Architecture, seed: int, mean: int, std: float) -> None:
    torch.manual_seed(seed)
    network = FerNet(shape).eval()
    for norm in (module for module in network.modules() if isinstance(module, torch.nn.BatchNorm2d)):
        for name, low, high in (("running_mean", -1.0, 1.0), ("running_var", 0.3, 3.0), ("weight", -1.5, 1.5)):
            torch.nn.init.uniform_(norm.get_buffer(name) if "running" in name else norm.weight, low, high)
    manifest = Manifest(
        tuple(f"class {i}" for i in range(shape.classes)), shape.size, mean, std, {}, parameters(network), macs(network)
    )
    core = export.core(Source(network, manifest, {}, ""))
    pixels = parity.generated_faces(shape.size)
    expected = parity.reference(network, manifest, pixels)

    def file(model: onnx.ModelProto) -> bytes:
        return export.serialized(export.assembled(model, manifest), manifest)

    for precision, model in (("fp16", fp16.with_half_weights(core)), ("fp32", core)):
        manifest = Manifest(**{**vars(manifest), "precision": precision})
        comparison = parity.prove(file(model), network, manifest, pixels, expected)
        assert comparison.max_relative_difference <= gates.MAX_DIFFERENCE[precision]

    faces = Faces(pixels, np.zeros(len(pixels), np.int64), tuple(map(str, range(len(pixels)))))
    core = export.core(Source(network, manifest, {}, ""))
    ranges = calibration.ranges(core, faces, manifest)["minmax"]
    errors = []
    for inputs in (None, normalized(pixels, manifest.mean, manifest.std)):
        model = qdq.quantized(weight_rounding.rounded(core, inputs), ranges, manifest)
        errors.append(float(np.square(run.logits(file(model), pixels) - expected).mean()))
    nearest, compensated = errors
    assert compensated <= 1.5 * nearest + 1e-6
