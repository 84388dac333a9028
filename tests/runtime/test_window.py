"""The window on a real X server, with real keys: Xvfb and xdotool (Debian's packages of these names)."""

import os
import shutil
import signal
import struct
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from conftest import BIN
from fer_benchmarks.demo_clip import placements, render
from fer_runtime.outputs.overlay import ACCENT
from fer_runtime.outputs.window import mirrored
from fer_runtime.types import Face, Result
from runtime.test_cameras import PICAMERA2

needs_x = pytest.mark.skipif(
    not (shutil.which("Xvfb") and shutil.which("xdotool")),
    reason="needs Xvfb and xdotool: apt-get install xvfb xdotool",
)


class Screen:
    """An X server of 800x600 whose pixels are in a file."""

    def __init__(self, folder: Path) -> None:
        reader, writer = os.pipe()
        # -noreset: else it starts anew when a client leaves, and the next one may come at a bad moment.
        options = ["-displayfd", str(writer), "-screen", "0", "800x600x24", "-fbdir", str(folder), "-noreset"]
        self.server = subprocess.Popen(["Xvfb", *options], pass_fds=[writer], stderr=subprocess.DEVNULL)
        os.close(writer)
        with os.fdopen(reader) as file:
            self.display = f":{file.readline().strip()}"
        self._pixels = folder / "Xvfb_screen0"

    def shot(self) -> NDArray[np.uint8]:
        """What is shown, BGR; the file is in the format of xwd: a header of 25 numbers, a name, colours, rows."""
        data = self._pixels.read_bytes()
        header = struct.unpack(">25I", data[:100])
        start, width, height, row, colours = header[0], header[4], header[5], header[12], header[19]
        rows = np.frombuffer(data, np.uint8, row * height, start + 12 * colours).reshape(height, row)
        return rows[:, : 4 * width].reshape(height, width, 4)[:, :, :3]

    def do(self, *words: str) -> str:
        environment = os.environ | {"DISPLAY": self.display}
        return subprocess.run(
            ["xdotool", *words], capture_output=True, text=True, env=environment, timeout=30, check=False
        ).stdout.strip()

    def press(self, key: str) -> None:
        window = self.do("search", "--name", "fer-run").splitlines()[-1]
        self.do("windowfocus", "--sync", window, "key", key)


@pytest.fixture
def screen(tmp_path: Path) -> Iterator[Screen]:
    folder = tmp_path / "screen"
    folder.mkdir()
    running = Screen(folder)
    yield running
    running.server.terminate()
    running.server.wait(10)


@pytest.fixture
def pi(tmp_path: Path) -> Path:
    folder = tmp_path / "pi"
    folder.mkdir()
    (folder / "picamera2.py").write_text(PICAMERA2)
    np.save(folder / "frame.npy", render(0))
    return folder


def start(screen: Screen, *arguments: object, path: Path | str = "") -> subprocess.Popen[str]:
    environment = os.environ | {"DISPLAY": screen.display, "PYTHONPATH": str(path), "PYTHONFAULTHANDLER": "1"}
    return subprocess.Popen(
        [str(BIN / "fer-run"), *map(str, arguments)], stderr=subprocess.PIPE, text=True, env=environment,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )  # fmt: skip


def wait_until(holds: Callable[[], bool], process: subprocess.Popen[str], seconds: float = 60) -> None:
    deadline = time.monotonic() + seconds
    while not holds():
        if process.poll() is not None or time.monotonic() > deadline:
            process.send_signal(signal.SIGABRT)  # with PYTHONFAULTHANDLER it tells where it is
            pytest.fail(f"exit code {process.poll()}, standard error: {process.communicate()[1]}")
        time.sleep(0.1)


def shows_a_face(screen: Screen) -> bool:
    """Whether a box is drawn. A window that stays black is shown anew.

    Without a window manager Qt misses the first word that it is visible in one start of five, and then paints nothing;
    seen with a bare loop of OpenCV's imshow as well.
    """
    if not screen.shot()[:100, :100].any():
        time.sleep(2)
        for window in screen.do("search", "--onlyvisible", "--name", "fer-run").splitlines():
            screen.do("windowunmap", "--sync", window, "windowmap", "--sync", window)
    return bool((np.abs(screen.shot().astype(int) - ACCENT).max(2) < 12).sum() > 500)


def end(process: subprocess.Popen[str]) -> str:
    _, errors = process.communicate(timeout=30)
    assert process.returncode == 0, errors
    assert "Traceback" not in errors
    return errors


@needs_x
@pytest.mark.parametrize("key", ["q", "Escape"])
def test_a_key_ends_it(screen: Screen, pi: Path, key: str) -> None:
    process = start(screen, "--source", "picamera", path=pi)
    wait_until(lambda: shows_a_face(screen), process)
    screen.press("s")  # saves nothing: there is no such key
    time.sleep(0.5)
    assert process.poll() is None
    screen.press(key)
    assert "faces" in end(process)
    assert sorted(path.name for path in pi.iterdir() if path.name != "__pycache__") == [
        "frame.npy",
        "log",
        "picamera2.py",
    ]


@needs_x
def test_a_camera_is_shown_as_in_a_mirror_and_a_video_is_not(screen: Screen, pi: Path) -> None:
    """The two faces differ in size and place, so that left and right are told apart by the picture itself."""
    straight = render(0).astype(float)
    video = pi / "still.avi"
    writer = cv2.VideoWriter(str(video), cv2.VideoWriter.fourcc(*"MJPG"), 5, (640, 480))
    for _ in range(600):  # two minutes
        writer.write(render(0))
    writer.release()
    for source, mirror in (("picamera", True), (video, False)):
        process = start(screen, "--source", source, "--realtime", path=pi)
        wait_until(lambda: shows_a_face(screen), process)
        shot = screen.shot()[:480, :640].astype(float)
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=30)
        as_is, flipped = (np.abs(shot - image)[30:].mean() for image in (straight, straight[:, ::-1]))
        assert (2 * flipped < as_is) if mirror else (2 * as_is < flipped)


@needs_x
def test_while_the_camera_is_lost_the_window_says_so_and_hears_q(screen: Screen, pi: Path) -> None:
    process = start(screen, "--source", "picamera", path=pi)
    wait_until(lambda: shows_a_face(screen), process)
    (pi / "unplugged").touch()
    time.sleep(1.5)
    first = screen.shot()
    wait_until(lambda: bool((screen.shot()[:30, :300] != first[:30, :300]).any()), process)  # the seconds count on
    assert np.array_equal(screen.shot()[60:], first[60:])  # below, the last picture stays
    assert process.poll() is None
    screen.press("q")
    assert "gives no more frames" in end(process)


def test_boxes_go_with_the_mirrored_picture() -> None:
    x, y, width, height = (round(value) for value in placements(0)[0].face)
    probabilities = {"happy": 1.0}
    face = Face(1, (x, y, width, height), 0.9, "happy", probabilities, "happy", probabilities)
    image, result = mirrored(render(0), Result(0, "", 1.0, (face,)))
    left, top, wide, high = result.faces[0].box
    there, here = image[top : top + high, left : left + wide], render(0)[y : y + height, x : x + width]
    assert np.array_equal(cv2.flip(there, 1), here)
