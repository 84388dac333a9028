"""fer_benchmarks: latency against accuracy of exported files; imports fer_runtime alone."""

import fer_runtime  # noqa: F401 - before any onnxruntime: it switches the telemetry off
