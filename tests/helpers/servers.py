"""Servers of real streams on loopback, in processes of their own, to be killed and started again."""

import contextlib
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import cv2

from fer_benchmarks.demo_clip import render

HERE = Path(__file__).parent


class Server:
    """One of tests/*_server.py. address: what a client opens; command: what starts it."""

    def __init__(self, address: str, command: list[str]) -> None:
        self.address = address
        self.command = command
        self.start()

    def start(self) -> None:
        """Return as soon as it listens."""
        self._process = subprocess.Popen(self.command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
        assert self._process.stdout is not None
        assert self._process.stdout.readline() == "ready\n"

    def send_signal(self, number: signal.Signals) -> None:
        self._process.send_signal(number)

    def kill(self) -> None:
        self._process.kill()
        self._process.communicate()


@contextlib.contextmanager
def rtsp(folder: Path) -> Iterator[Server]:
    """The clip of two faces, 25 frames a second, from GStreamer; `folder` takes its pictures."""
    for index in range(100):
        cv2.imwrite(str(folder / f"frame-{index:03d}.jpg"), render(index))
    yield from _running(_gstreamer(folder / "frame-%03d.jpg"))


@contextlib.contextmanager
def rtsp_recording(video: Path) -> Iterator[Server]:
    """A .mkv of motion JPEG, played once to each that connects."""
    yield from _running(_gstreamer(video))


def _gstreamer(played: Path) -> Server:
    port = str(_free_port())
    program = ["/usr/bin/python3", str(HERE / "rtsp_server.py"), str(played), port]
    return Server(f"rtsp://127.0.0.1:{port}/faces", program)


@contextlib.contextmanager
def mjpeg(pictures: list[Path], pause: float, rate: float) -> Iterator[Server]:
    """A picture after every `pause` seconds, from a scene of the files in turn, `rate` of them a second."""
    port = str(_free_port())
    program = [sys.executable, str(HERE / "mjpeg_server.py"), port, str(pause), str(rate), *map(str, pictures)]
    yield from _running(Server(f"http://127.0.0.1:{port}/", program))


def _running(server: Server) -> Iterator[Server]:
    try:
        yield server
    finally:
        server.kill()


def _free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])
