"""Cameras asked for a size and pace, and the Raspberry Pi's own, by stand-ins: no machine of ours has either.

The stand-ins keep to what the libraries document: cv2.VideoCapture's properties, and of picamera2 the calls of
`fer_runtime.sources.picamera`, with their names, arguments and BGR pixels for "RGB888".
"""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import cv2
import numpy as np
import pytest

from conftest import BIN, Run
from fer_benchmarks.demo_clip import render
from fer_runtime.sources.captures import ask, differs
from fer_runtime.sources.picamera import PiCamera

PICAMERA2 = """
import time
from pathlib import Path

import numpy as np

HERE = Path(__file__).parent

class Picamera2:
    def __init__(self, camera_num=0):
        if (HERE / "unplugged").exists():
            raise IndexError("list index out of range")
        self.job = 0

    def create_video_configuration(self, main={}, controls={}, buffer_count=6, **others):
        assert main["format"] == "RGB888"
        width, height = main["size"]
        return {"main": {"format": "RGB888", "size": (width - width % 32, height)}, "controls": controls}

    def configure(self, configuration):
        self.size = configuration["main"]["size"]
        self.period = 1 / configuration["controls"]["FrameRate"]
        if (HERE / "format").exists():
            configuration["main"]["format"] = (HERE / "format").read_text()

    def start(self):
        self.image = np.load(HERE / "frame.npy")
        if not (HERE / "format").exists():
            self.image = self.image[: self.size[1], : self.size[0]]

    def capture_array(self, name="main", wait=None, signal_function=None):
        assert name == "main" and wait is False
        self.job += 1
        return self.job

    def wait(self, job, timeout=None):
        assert job == self.job
        if (HERE / "unplugged").exists():
            time.sleep(0.1)
            raise TimeoutError("timed out")
        time.sleep(self.period)
        return self.image.copy()

    def stop(self):
        (HERE / "log").open("a").write("stop\\n")

    def close(self):
        (HERE / "log").open("a").write("close\\n")
"""


@pytest.fixture
def pi(tmp_path: Path) -> Path:
    """A folder with the stand-in, its picture, and `unplugged` to be made in it."""
    (tmp_path / "picamera2.py").write_text(PICAMERA2)
    np.save(tmp_path / "frame.npy", render(0))
    return tmp_path


def test_the_pi_camera_is_a_source(command: Run, pi: Path) -> None:
    options = ["--source", "picamera", "--headless", "--max-frames", 5, "--size", "640x480", "--fps", 50]
    done = command("fer-run", *options, PYTHONPATH=str(pi))
    assert done.returncode == 0, done.stderr
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    assert [len(line["faces"]) for line in lines] == [2] * 5
    assert {face["raw"]["label"] for line in lines for face in line["faces"]} == {"happy"}
    assert (pi / "log").read_text() == "stop\nclose\n"


@pytest.mark.parametrize("kind", ["RGB888", "NV12", "YUYV", "MJPEG"])
def test_a_camera_of_libcamera_with_other_pixels_shows_the_same(
    pi: Path, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    """A picture in each format as picamera2 hands it over; YUYV's rows padded."""
    picture = cv2.GaussianBlur(render(0), (9, 9), 0)  # two or four pixels share their colour
    luma, cr, cb = cv2.split(cv2.cvtColor(picture, cv2.COLOR_BGR2YCrCb).astype(np.float32))
    luma, cr, cb = 16 + luma * (219 / 255), *(128 + (colour[:, ::2] - 128) * (224 / 255) for colour in (cr, cb))
    nv12 = np.vstack([luma, np.dstack([cb, cr])[::2].reshape(-1, luma.shape[1])])
    yuyv = np.pad(np.dstack([luma, np.dstack([cb, cr]).reshape(luma.shape)]), ((0, 0), (0, 32), (0, 0)))
    packed = {"RGB888": picture, "NV12": nv12, "YUYV": yuyv, "MJPEG": picture[:, :, ::-1]}[kind]
    np.save(pi / "frame.npy", np.uint8(np.rint(packed)))
    (pi / "format").write_text(kind)
    monkeypatch.syspath_prepend(pi)
    monkeypatch.delitem(sys.modules, "picamera2", raising=False)
    camera = PiCamera()
    assert camera.grab()
    seen = camera.retrieve()[1]
    camera.release()
    assert seen is not None
    assert seen.shape == picture.shape
    assert np.abs(seen.astype(int) - picture).mean() < 2


def test_pixels_that_are_not_known_are_refused(command: Run, pi: Path) -> None:
    (pi / "format").write_text("R8")
    done = command("fer-run", "--source", "picamera", "--headless", PYTHONPATH=str(pi))
    assert done.returncode == 1
    assert "picamera2's camera gives R8: expected one of RGB888" in done.stderr
    assert len(done.stderr.splitlines()) == 1
    assert (pi / "log").read_text() == "stop\nclose\n"


def test_a_size_that_the_pi_camera_cannot_give_is_told(command: Run, pi: Path) -> None:
    options = ["--source", "picamera", "--headless", "--max-frames", 1, "--size", "600x480"]
    done = command("fer-run", *options, PYTHONPATH=str(pi))
    assert done.returncode == 0, done.stderr
    assert "picamera gives 576x480, asked for 600x480" in done.stderr


def test_a_pi_camera_that_goes_is_opened_again(pi: Path) -> None:
    lines = pi / "faces.jsonl"
    process = subprocess.Popen(
        [str(BIN / "fer-run"), "--source", "picamera", "--headless", "--jsonl", str(lines)],
        stderr=subprocess.PIPE, text=True, env=os.environ | {"PYTHONPATH": str(pi)},
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )  # fmt: skip

    def wait_for(count: int) -> None:
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline and (not lines.exists() or lines.read_text().count("\n") < count):
            time.sleep(0.05)
        assert lines.read_text().count("\n") >= count

    wait_for(3)
    (pi / "unplugged").touch()
    time.sleep(1)
    before = lines.read_text().count("\n")
    (pi / "unplugged").unlink()
    wait_for(before + 3)
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=30)
    assert process.returncode == 130, errors
    assert "picamera gives no more frames" in errors
    assert "picamera is back" in errors


def test_no_pi_camera_and_no_picamera2_are_told(
    command: Run, pi: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    (pi / "unplugged").touch()
    done = command("fer-run", "--source", "picamera", "--headless", PYTHONPATH=str(pi))
    assert done.returncode == 1
    assert "cannot open camera picamera" in done.stderr
    without = tmp_path_factory.mktemp("without")
    (without / "picamera2.py").write_text("raise ImportError(\"No module named 'picamera2'\")")
    done = command("fer-run", "--source", "picamera", "--headless", PYTHONPATH=str(without))
    assert done.returncode == 1
    assert "sudo apt install python3-picamera2" in done.stderr
    assert "--system-site-packages" in done.stderr
    assert len(done.stderr.splitlines()) == 1


class Webcam:
    """A webcam that gives large frames slowly, but for motion JPEG, and none larger than 1280x720."""

    def __init__(self, jpeg: bool = True) -> None:
        self.jpeg, self.codec, self.size, self.fps = jpeg, "YUYV", (640, 480), 30.0

    def set(self, what: int, value: float) -> bool:
        if what == cv2.CAP_PROP_FOURCC:
            self.codec = "MJPG" if self.jpeg else "YUYV"
        elif what == cv2.CAP_PROP_FRAME_WIDTH:
            self.size = (1280, 720) if value >= 1280 else (640, 480)
        elif what == cv2.CAP_PROP_FPS:
            self.fps = value
        return True

    def get(self, what: int) -> float:
        raw = self.codec == "YUYV" and self.size == (1280, 720)
        facts = {
            cv2.CAP_PROP_FRAME_WIDTH: self.size[0],
            cv2.CAP_PROP_FRAME_HEIGHT: self.size[1],
            cv2.CAP_PROP_FPS: min(self.fps, 10) if raw else self.fps,
        }
        return facts[what]


@pytest.mark.parametrize(
    ("jpeg", "size", "fps", "codec", "told"),
    [
        (True, (640, 480), 30, "YUYV", ""),
        (True, (1280, 720), 30, "MJPG", ""),
        (False, (1280, 720), 30, "YUYV", "10 fps, asked for 30"),
        (True, (1920, 1080), None, "MJPG", "1280x720, asked for 1920x1080"),
        (False, (1920, 1080), 30, "YUYV", "1280x720, asked for 1920x1080 and 10 fps, asked for 30"),
        (True, None, 15, "YUYV", ""),
    ],
)
def test_a_webcam_is_asked(jpeg: bool, size: tuple[int, int] | None, fps: float | None, codec: str, told: str) -> None:
    webcam = Webcam(jpeg)
    ask(webcam, size, fps)  # type: ignore[arg-type]  # it has what `ask` calls, and is no cv2.VideoCapture
    assert webcam.codec == codec
    assert differs(webcam, size, fps) == told  # type: ignore[arg-type]  # the same


@pytest.mark.parametrize(
    ("options", "code", "message"),
    [
        (["--size", "640"], 2, "is not width and height in pixels, such as 640x480"),
        (["--size", "640xmany"], 2, "is not width and height in pixels"),
        (["--size", "640x480", "--source", "http://127.0.0.1:9/"], 1, "--size and --fps are for a camera"),
        (["--fps", "0"], 2, "not in the range"),
    ],
)
def test_bad_sizes(command: Run, options: list[str], code: int, message: str) -> None:
    done = command("fer-run", "--headless", *options)
    assert done.returncode == code
    assert message in done.stderr


def test_size_and_fps_are_refused_for_a_file(command: Run, clip: Path) -> None:
    for option in (["--size", "640x480"], ["--fps", "10"]):
        done = command("fer-run", "--source", clip, "--headless", *option)
        assert done.returncode == 1
        assert "--size and --fps are for a camera" in done.stderr


def test_picamera2_is_not_imported_for_other_sources() -> None:
    program = "import fer_runtime.sources.live, sys; assert 'picamera2' not in sys.modules"
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0
