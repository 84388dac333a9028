"""fer-doctor on this machine, and with every kind of thing wrong."""

import json
import struct
from collections.abc import Callable
from pathlib import Path

import onnx
import pytest

from conftest import Run
from fer_runtime.cli.probes import DEFAULT_MODEL_SHA256, PROBES
from fer_runtime.files import sha256
from fer_runtime.model.session import default_model
from fer_runtime.sources import v4l2
from fer_runtime.system import thermal

Doctor = Callable[..., tuple[int, dict[str, dict[str, str]], str]]


@pytest.fixture
def doctor(command: Run, tmp_path: Path) -> Doctor:
    """Runs it: exit code, checks by name, and what it printed."""

    def run(*arguments: object, **variables: str) -> tuple[int, dict[str, dict[str, str]], str]:
        report = tmp_path / "doctor.json"
        done = command("fer-doctor", "--json", report, *arguments, **variables)
        assert "Traceback" not in done.stderr
        plain = json.loads(report.read_text())
        assert plain["ok"] == (done.returncode == 0)
        return done.returncode, {check["name"]: check for check in plain["checks"]}, done.stdout

    return run


def stand_in(folder: Path, module: str, program: str) -> str:
    """A PYTHONPATH on which `module` is this program."""
    folder.mkdir()
    (folder / f"{module}.py").write_text(program)
    return str(folder)


def test_a_healthy_machine(doctor: Doctor) -> None:
    code, checks, printed = doctor()
    assert code == 0
    assert list(checks) == list(PROBES)
    assert all(check["status"] in ("ok", "note") for check in checks.values())
    assert all(check["advice"] for check in checks.values() if check["status"] == "note")
    assert "fps with one face" in checks["speed"]["detail"]
    assert checks["model"]["detail"].endswith(DEFAULT_MODEL_SHA256)
    assert "fer-run works here" in printed


def test_the_hash_is_that_of_the_packages_model() -> None:
    assert sha256(default_model()) == DEFAULT_MODEL_SHA256


@pytest.mark.parametrize(
    ("module", "names"),
    [("cv2", {"opencv", "inference", "model", "display", "speed"}), ("onnxruntime", {"inference", "model", "speed"})],
)
def test_an_illegal_instruction_is_a_result(doctor: Doctor, tmp_path: Path, module: str, names: set[str]) -> None:
    program = "import os, signal; os.kill(os.getpid(), signal.SIGILL)"
    code, checks, printed = doctor(PYTHONPATH=stand_in(tmp_path / "wheels", module, program))
    assert code == 3
    assert {name for name, check in checks.items() if check["status"] == "fail"} == names
    for name in names:
        assert checks[name]["detail"] == "its process was ended: illegal instruction"
        assert "lacks an instruction" in checks[name]["advice"]
    assert "fer-run will not work: see" in printed


def test_a_missing_system_library(doctor: Doctor, tmp_path: Path) -> None:
    program = "raise ImportError('libGL.so.1: cannot open shared object file: No such file or directory')"
    code, checks, _ = doctor(PYTHONPATH=stand_in(tmp_path / "wheels", "cv2", program))
    assert code == 3
    assert checks["opencv"]["advice"].startswith("sudo apt-get install libgl1")


def test_two_wheels_of_opencv_at_once(doctor: Doctor, tmp_path: Path) -> None:
    for name in ("opencv-python", "opencv-python-headless"):
        folder = tmp_path / "wheels" / f"{name.replace('-', '_')}-4.10.0.dist-info"
        folder.mkdir(parents=True)
        (folder / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 4.10.0\n")
    code, checks, _ = doctor(PYTHONPATH=str(tmp_path / "wheels"))
    assert code == 3
    assert "pip uninstall -y opencv-python opencv-python-headless" in checks["packages"]["advice"]


def test_models_that_will_not_do(doctor: Doctor, tmp_path: Path) -> None:
    broken = tmp_path / "broken.onnx"
    broken.write_bytes(default_model().read_bytes()[:1000])
    for file in (broken, tmp_path / "missing.onnx"):
        code, checks, _ = doctor("--model", file)
        assert code == 3
        assert {name for name, check in checks.items() if check["status"] == "fail"} == {
            "inference",
            "model",
            "speed",
        }
        assert str(file) in checks["model"]["detail"]


def test_wrong_answers_are_bad(doctor: Doctor, tmp_path: Path) -> None:
    file = onnx.load(default_model())
    (entry,) = (entry for entry in file.metadata_props if entry.key == "fer_edge")
    manifest = json.loads(entry.value)
    manifest["golden"]["logits"][0][0] += 1
    entry.value = json.dumps(manifest)
    onnx.save(file, str(tmp_path / "other.onnx"))
    code, checks, _ = doctor("--model", tmp_path / "other.onnx")
    assert code == 3
    assert checks["inference"]["status"] == "fail"
    assert "golden logits 1.0e+00 off" in checks["inference"]["detail"]
    assert checks["model"]["status"] == "ok"  # a file of one's own may have any hash


def test_a_report_that_cannot_be_written(command: Run, tmp_path: Path) -> None:
    done = command("fer-doctor", "--json", tmp_path / "no" / "doctor.json")
    assert done.returncode == 1
    assert "cannot write" in done.stderr


def webcam(request: int, data: bytes) -> bytes:
    """What the ioctls of a webcam with two formats answer, laid out as in linux/videodev2.h."""
    if request == v4l2.QUERYCAP:
        return struct.pack("16s32s32sIII12x", b"uvcvideo", b"HD Webcam: HD Webcam", b"usb", 1, 0x84A00001, 0x04200001)
    if request == v4l2.ENUM_FMT:
        index, kind = struct.unpack_from("II", data)
        if (index, kind) > (1, 1):
            raise OSError(22, "EINVAL")
        return struct.pack("III32s4s16x", index, kind, 0, b"Motion-JPEG", (b"MJPG", b"YUYV")[index])
    index, code = struct.unpack_from("I4s", data)
    if code == b"YUYV":
        return struct.pack("I4sI6I8x", index, code, 2, 160, 1280, 16, 120, 720, 8)
    if index > 1:
        raise OSError(22, "EINVAL")
    width, height = ((640, 480), (1920, 1080))[index]
    return struct.pack("I4sIII24x", index, code, 1, width, height)


def test_modes_of_a_camera() -> None:
    camera = v4l2.read("/dev/video0", webcam)
    modes = ("MJPG 640x480 1920x1080", "YUYV 160x120 to 1280x720")
    assert camera == v4l2.Camera("/dev/video0", "HD Webcam: HD Webcam", "uvcvideo", modes)


def test_an_encoder_is_no_camera() -> None:
    answer = struct.pack("16s32s32sIII12x", b"bcm2835-codec", b"encoder", b"", 1, 0x84204000, 0x04204000)
    assert v4l2.read("/dev/video11", lambda *_: answer) is None


def test_files_named_like_cameras(tmp_path: Path) -> None:
    (tmp_path / "video0").write_text("no device")
    assert v4l2.cameras(tmp_path) == ([], [])


def test_temperature_and_throttling(tmp_path: Path) -> None:
    assert thermal.temperature(tmp_path) is None
    assert thermal.throttling(tmp_path) is None
    for number, text in enumerate(("48312\n", "61234\n", "nonsense", "999000\n")):
        zone = tmp_path / "class" / "thermal" / f"thermal_zone{number}"
        zone.mkdir(parents=True)
        (zone / "temp").write_text(text)
        (zone / "type").write_text("cpu-thermal\n" if number == 0 else "gpu\n")
    firmware = tmp_path / "devices" / "platform" / "soc" / "soc:firmware"
    firmware.mkdir(parents=True)
    (firmware / "get_throttled").write_text("50005\n")
    assert thermal.temperature(tmp_path) == pytest.approx(61.234)
    assert thermal.temperature(tmp_path, "cpu") == pytest.approx(48.312)
    assert thermal.throttling(tmp_path) == (["under-voltage", "throttled"], ["under-voltage", "throttled"])
