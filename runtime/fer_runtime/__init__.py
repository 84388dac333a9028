"""fer_runtime: facial expressions on camera frames with onnxruntime; needs neither torch nor onnx."""

import os
import sys
import warnings
from importlib import import_module
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
    from fer_runtime.errors import FerError
    from fer_runtime.faces.detection import Detection, Detector
    from fer_runtime.model.session import Classifier
    from fer_runtime.outputs.base import Output
    from fer_runtime.pipeline.loop import Loop
    from fer_runtime.sources.base import Source
    from fer_runtime.sources.factory import open_source
    from fer_runtime.types import Face, Frame, Result

__all__ = [
    "Classifier", "Detection", "Detector", "Face", "FerError", "Frame", "Loop", "Output", "Result", "Source",
    "open_source",
]  # fmt: skip
# Where each public name lives: loaded at its first use, so that `fer-run --help` imports neither cv2 nor onnxruntime.
HOMES = {
    "Classifier": "model.session",
    "Detection": "faces.detection",
    "Detector": "faces.detection",
    "Face": "types",
    "FerError": "errors",
    "Frame": "types",
    "Loop": "pipeline.loop",
    "Output": "outputs.base",
    "Result": "types",
    "Source": "sources.base",
    "open_source": "sources.factory",
}


def __getattr__(name: str) -> Any:
    """The public class or function of this name. Raises AttributeError for any other."""
    if name not in HOMES:
        raise AttributeError(f"module 'fer_runtime' has no attribute {name!r}")
    return getattr(import_module(f"fer_runtime.{HOMES[name]}"), name)
