"""Why int8 pays or does not: what this CPU, the network and its graph say, and what to expect of a Raspberry Pi."""

import tempfile
from collections import Counter
from pathlib import Path

import onnx
import onnxruntime as ort

from fer_runtime.model.manifest import Manifest
from fer_runtime.system import cpu

SMALL_MACS = 5_000_000  # below, calls and conversions weigh as much as the work
# Our networks' executed instructions, fp32 over int8, counted under emulation of a Cortex-A72 and a Cortex-A76.
RASPBERRY_PI = (
    "a Raspberry Pi 4 (no dot product) executes about 1.3 times fewer instructions for int8 than for fp32, a Pi 5 2.6 "
    "to 2.8 times fewer: an estimate for our networks, not a measurement; time both files there with fer-bench"
)
LIGHT = {"DequantizeLinear", "Cast", "Sub", "Mul", "Div", "Softmax", "Reshape", "Flatten", "Squeeze", "Gemm", "MatMul"}


def why_slow(manifest: Manifest, int8: bytes) -> list[str]:
    """What may keep the int8 file from being faster on this machine."""
    found = []
    flags = cpu.int8_instructions()
    if not set(cpu.DOT_PRODUCTS) & set(flags):
        found.append(f"this CPU has no 8-bit dot product (found of its kind: {', '.join(flags) or 'none'})")
    if manifest.macs < SMALL_MACS:
        found.append(f"the network is small ({manifest.macs / 1e6:.1f} MMAC): a call costs as much as its work")
    if in_float := float_operators(int8):
        found.append("in fp32 remain " + ", ".join(f"{count} {name}" for name, count in in_float.most_common()))
    return found or ["its layers are too narrow for int8 kernels, which work on 32 channels at a time"]


def float_operators(int8: bytes) -> Counter[str]:
    """The operators that onnxruntime computes in fp32 when it has optimized the file, pooling and head aside."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "optimized.onnx"
        options = ort.SessionOptions()
        options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_ENABLE_EXTENDED
        options.optimized_model_filepath = str(path)
        options.log_severity_level = 4
        ort.InferenceSession(int8, options, providers=["CPUExecutionProvider"])
        nodes = onnx.load(path).graph.node
    heavy = [n.op_type for n in nodes if n.op_type not in LIGHT and not n.op_type.startswith("Q")]
    return Counter(name for name in heavy if "Pool" not in name and name != "ReduceMean")
