"""fer_export: checkpoints as self-describing ONNX files, proved against PyTorch."""

import fer_runtime  # noqa: F401 - before any onnxruntime: it switches the telemetry off
