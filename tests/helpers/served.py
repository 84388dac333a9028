"""A running `fer-run --web` on a clip that lasts, and plain HTTP to it."""

import http.client
import re
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import cv2

from conftest import start
from fer_benchmarks.demo_clip import FPS, FRAMES, HEIGHT, WIDTH, render


def write_long(path: Path, seconds: int) -> Path:
    """The astronaut clip to and fro, for `seconds` in real time."""
    frames = [render(index) for index in range(FRAMES)]
    frames += frames[-2:0:-1]
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"mp4v"), FPS, (WIDTH, HEIGHT))
    for index in range(seconds * FPS):
        writer.write(frames[index % len(frames)])
    writer.release()
    return path


class Served:
    """One such process. address, token: what it printed; errors: its lines on standard error so far."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self.process, self.errors = process, list[str]()
        threading.Thread(target=self._listen, daemon=True).start()
        deadline = time.monotonic() + 60
        while not (found := re.search(r"the (?:page|API) is at (http://[^\s;]+)", "".join(self.errors))):
            assert process.poll() is None, self.errors
            assert time.monotonic() < deadline
            time.sleep(0.05)
        self.address = found[1]
        token = re.search(r"token[=:] ?(\S+)", "".join(self.errors))
        self.token = token[1] if token else ""
        port = re.search(r":(\d+)/", self.address)
        assert port
        self.port = int(port[1])

    def _listen(self) -> None:
        assert self.process.stderr
        self.errors.extend(self.process.stderr)

    def get(self, path: str, method: str = "GET", body: bytes | None = None, /, **headers: str) -> tuple[int, str]:
        """(status, body) of one request; underscores in names of headers stand for hyphens."""
        status, text, _ = self.whole(path, method, body, **headers)
        return status, text

    def whole(
        self, path: str, method: str = "GET", body: bytes | None = None, /, **headers: str
    ) -> tuple[int, str, dict[str, str]]:
        """(status, body, headers) of one request."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=20)
        connection.request(method, path, body, {key.replace("_", "-"): value for key, value in headers.items()})
        response = connection.getresponse()
        text = response.read().decode()
        connection.close()
        return response.status, text, {key.lower(): value for key, value in response.getheaders()}

    def stop(self) -> int:
        """Ctrl-C, and the exit code."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGINT)
        return self.process.wait(30)


@contextmanager
def serving(clip: Path, where: str = "0", *more: object) -> Iterator[Served]:
    """`fer-run --web WHERE` on the clip, in real time."""
    with _served("--source", clip, "--realtime", "--headless", "--web", where, *more) as served:
        yield served


@contextmanager
def serving_alone(where: str = "0", *more: object) -> Iterator[Served]:
    """`fer-run --no-source --web WHERE`."""
    with _served("--no-source", "--web", where, *more) as served:
        yield served


@contextmanager
def _served(*words: object) -> Iterator[Served]:
    process = start("fer-run", *words)
    try:
        yield Served(process)
    finally:
        process.kill()
        process.wait()


def stream(port: int, path: str) -> socket.socket:
    """A connection that has asked for a stream."""
    client = socket.create_connection(("127.0.0.1", port), timeout=20)
    client.sendall(f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n".encode())
    return client
