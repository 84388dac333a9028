"""Cameras, streams and files in real time: the newest frame, and a source that comes back."""

import itertools
import json
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import cv2
import pytest

from conftest import Run, start
from fer_benchmarks.demo_clip import FRAMES, render
from fer_runtime.sources.factory import open_source

SERVER = """
import socketserver, sys, time
from http.server import BaseHTTPRequestHandler
picture = open(sys.argv[1], "rb").read()
class Camera(BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.send_header("Content-Type", "multipart/x-mixed-replace; boundary=frame")
        self.end_headers()
        for _ in range(300):
            head = b"--frame\\r\\nContent-Type: image/jpeg\\r\\nContent-Length: %d\\r\\n\\r\\n" % len(picture)
            self.wfile.write(head + picture + b"\\r\\n")
            time.sleep(0.01)
    def log_message(self, *arguments):
        pass
socketserver.TCPServer.allow_reuse_address = True
socketserver.ThreadingTCPServer(("127.0.0.1", int(sys.argv[2])), Camera).serve_forever()
"""


class Camera:
    """A real motion JPEG camera over HTTP: about 100 frames a second, 300 for each that connects."""

    def __init__(self, picture: Path) -> None:
        cv2.imwrite(str(picture), render(0))
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        self._picture = picture
        self.start()

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.port}/"

    def start(self) -> None:
        self._server = subprocess.Popen([sys.executable, "-c", SERVER, self._picture, str(self.port)])
        for _ in range(100):
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", self.port)) == 0:
                    break
            time.sleep(0.05)

    def kill(self) -> None:
        self._server.kill()
        self._server.wait()


@pytest.fixture
def camera(tmp_path: Path) -> Iterator[Camera]:
    running = Camera(tmp_path / "frame.jpg")
    yield running
    running.kill()


@pytest.fixture
def stream(camera: Camera) -> str:
    return camera.address


def test_a_live_stream_is_answered(command: Run, stream: str) -> None:
    done = command("fer-run", "--source", stream, "--headless", "--max-frames", 20)
    assert done.returncode == 0, done.stderr
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    assert len(lines) == 20
    assert all(len(line["faces"]) == 2 for line in lines)
    frames = [line["frame"] for line in lines]
    assert frames == sorted(set(frames))  # in order, none twice


def test_a_slow_reader_of_a_live_stream_gets_the_newest_frame(stream: str) -> None:
    """Were frames queued, the indices that a slow reader sees would follow one another."""
    seen = []
    for frame in open_source(stream).frames():
        seen.append(frame.index)
        if len(seen) == 8:
            break
        time.sleep(0.2)
    assert all(later - earlier > 1 for earlier, later in itertools.pairwise(seen[1:]))


def test_a_camera_that_dies_is_opened_again(camera: Camera, tmp_path: Path) -> None:
    """Killed, and started again after a while: the run goes on, with no frame in between, until Ctrl-C."""
    lines = tmp_path / "faces.jsonl"
    process = start("fer-run", "--source", camera.address, "--headless", "--jsonl", lines)

    def wait_for(count: int) -> None:
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline and (not lines.exists() or lines.read_text().count("\n") < count):
            time.sleep(0.05)

    wait_for(3)
    camera.kill()
    time.sleep(1.5)
    before = lines.read_text().count("\n")
    time.sleep(0.5)
    assert lines.read_text().count("\n") == before
    assert process.poll() is None
    camera.start()
    wait_for(before + 3)
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=30)
    assert process.returncode == 130, errors
    assert f"{camera.address} gives no more frames: it is opened again until it does" in errors
    assert f"{camera.address} is back" in errors
    assert "Traceback" not in errors
    answered = [json.loads(line)["frame"] for line in lines.read_text().splitlines()]
    assert len(answered) >= before + 3
    assert answered == sorted(set(answered))


def test_real_time_keeps_the_pace_and_passes_over_what_is_late(clip: Path) -> None:
    seen = []
    started = time.monotonic()
    for frame in open_source(str(clip), realtime=True).frames():
        assert frame.at is not None
        assert time.monotonic() - started >= frame.at - 0.01
        seen.append(frame.index)
        time.sleep(0.1)  # a slow reader of 25 frames a second
    assert seen[-1] >= FRAMES - 6
    assert len(seen) <= 45
    assert max(later - earlier for earlier, later in itertools.pairwise(seen)) >= 2


def test_under_systemd_a_stream_that_is_not_there_yet_is_waited_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """tests/vm does the same with a camera and systemd itself."""
    address = str(tmp_path / "notify")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listener:
        listener.bind(address)
        listener.settimeout(60)
        monkeypatch.setenv("NOTIFY_SOCKET", address)
        monkeypatch.setenv("WATCHDOG_USEC", "2000000")
        camera = Camera(tmp_path / "frame.jpg")
        camera.kill()
        process = start("fer-run", "--headless", "--source", camera.address, "--max-frames", 3)
        waiting = f"STATUS=waiting for the source: cannot open stream {camera.address}"
        assert listener.recv(4096).decode().startswith(f"READY=1\n{waiting}")
        assert listener.recv(4096).decode().startswith(f"WATCHDOG=1\n{waiting}")
        camera.start()
        try:
            output, errors = process.communicate(timeout=60)
        finally:
            camera.kill()
        messages = []
        while "STOPPING=1" not in messages:
            messages.append(listener.recv(4096).decode())
    assert process.returncode == 0, errors
    assert len(output.splitlines()) == 3
    assert errors.count("waiting for the source") == 1
    assert any("first result" in message for message in messages)
