"""fer_runtime: facial expressions on camera frames with onnxruntime; needs neither torch nor onnx."""

import os
import sys
import warnings
from typing import TYPE_CHECKING, Any

# onnxruntime's wheels send usage data unless this is set before its import; a program that watches faces must not.
if "onnxruntime" in sys.modules and os.environ.get("ORT_DISABLE_TELEMETRY") != "1":
    warnings.warn(
        "onnxruntime was imported before fer_runtime could switch its telemetry off: "
        "import fer_runtime first, or set ORT_DISABLE_TELEMETRY=1",
        stacklevel=2,
    )
os.environ["ORT_DISABLE_TELEMETRY"] = "1"
# A picture of a few kB can claim gigapixels; 128 megapixels are more than any camera gives.
os.environ.setdefault("OPENCV_IO_MAX_IMAGE_PIXELS", str(2**27))
# Their messages repeat, in many lines, what our errors say in one sentence.
os.environ.setdefault("OPENCV_LOG_LEVEL", "SILENT")
os.environ.setdefault("OPENCV_FFMPEG_LOGLEVEL", "-8")

if TYPE_CHECKING:
    from fer_runtime.model.session import Classifier
    from fer_runtime.pipeline.loop import Loop

__all__ = ["Classifier", "Loop"]


def __getattr__(name: str) -> Any:
    """Load the public classes at their first use, so that `fer-run --help` imports neither cv2 nor onnxruntime."""
    if name == "Classifier":
        from fer_runtime.model.session import Classifier

        return Classifier
    if name == "Loop":
        from fer_runtime.pipeline.loop import Loop

        return Loop
    raise AttributeError(f"module 'fer_runtime' has no attribute {name!r}")
