"""Cameras and streams: only the newest frame counts, and a source that dies is opened again."""

import socket
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import urlsplit

import cv2
import numpy as np

from fer_runtime.errors import FerError
from fer_runtime.profile import Profile
from fer_runtime.sources import Frame, nominal_fps

OPEN_TIMEOUT_MS = 10_000
FIRST_WAIT, LONGEST_WAIT = 0.2, 10.0  # seconds before a lost source is opened again; each wait doubles the last
LOOK = 0.5  # seconds between looks whether a lost source is back, which ends a wait
PORTS = {"rtsp": 554, "rtsps": 322, "http": 80, "https": 443, "rtmp": 1935}


def _to_stderr(line: str) -> None:
    print(f"fer-run: {line}", file=sys.stderr, flush=True)


class Live:
    """A thread reads all frames and keeps the newest, so that answers are never late by a queue.

    When the source gives no more, it is opened again after growing waits, for as long as the frames are asked for;
    a wait ends when its server takes connections again, or its device is back. Meanwhile there are no frames, and `say`
    is told once when it is lost and once when it is back.
    """

    def __init__(self, name: str, say: Callable[[str], None] = _to_stderr, profile: Profile | None = None) -> None:
        """name: a camera's number or /dev path, or a URL. Raises FerError where it cannot be opened."""
        self._name, self._say, self._profile = name, say, profile or Profile()
        self.notes: list[str] = []
        self._capture = _opened(name)
        if not self._capture.isOpened():
            raise FerError(f"cannot open {'stream' if '://' in name else 'camera'} {name}: {_advice(name)}")
        self.fps = nominal_fps(self._capture)
        self._newest: Frame | None = None
        self._changed = threading.Condition()
        self._over = threading.Event()
        self._there = True  # whether the source seemed to be there at the last look

    def frames(self) -> Iterator[Frame]:
        """The newest frame each time one is asked for, without end. Raises FerError when not even one came."""
        reader = threading.Thread(target=self._read, name="capture", daemon=True)
        reader.start()
        try:
            while (frame := self._next()) is not None:
                yield frame
        finally:
            self._over.set()
            reader.join(timeout=2)
        raise FerError(f"{self._name} opened but gave no frame: is another program using the camera?")

    def _next(self) -> Frame | None:
        with self._changed:
            while self._newest is None and not self._over.is_set():
                self._changed.wait(0.5)
            frame, self._newest = self._newest, None
            return frame

    def _grabbed(self) -> bool:
        with self._profile.stage("capture"):  # mostly waiting for the camera
            return self._capture.grab()

    def _read(self) -> None:
        index, wait = 0, 0.0
        try:
            while not self._over.is_set():
                fine = self._capture.isOpened() and self._grabbed()
                if fine:
                    with self._profile.stage("decode"):
                        fine, image = self._capture.retrieve()
                if fine:
                    if wait:
                        self._say(f"{self._name} is back")
                    wait = 0.0
                    with self._changed:
                        self._newest = Frame(np.asarray(image, np.uint8), index, time.monotonic())
                        self._changed.notify()
                    index += 1
                    continue
                if index == 0:
                    break
                if not wait:
                    self._say(f"{self._name} gives no more frames: it is opened again until it does")
                wait = min(LONGEST_WAIT, 2 * wait or FIRST_WAIT)
                self._capture.release()
                if self._came_back(wait):
                    wait = FIRST_WAIT
                if not self._over.is_set():
                    self._capture = _opened(self._name)
        finally:
            self._over.set()
            with self._changed:
                self._changed.notify()
            self._capture.release()

    def _came_back(self, wait: float) -> bool:
        """Whether the source, gone before, was seen again; if not, return after `wait` seconds."""
        until = time.monotonic() + wait
        while (left := until - time.monotonic()) > 0 and not self._over.wait(min(LOOK, left)):
            before, self._there = self._there, _is_there(self._name)
            if self._there and not before:
                return True
        return False


def _is_there(name: str) -> bool:
    """Whether its server takes a connection, or its device exists; False too where that cannot be told.

    Of other protocols than those in PORTS it cannot: `ffmpeg ... tcp://HOST:PORT?listen`, say, serves one connection.
    """
    if "://" not in name:
        return Path(f"/dev/video{name}" if name.isdecimal() else name).exists()
    try:
        url = urlsplit(name)
        if url.scheme not in PORTS:
            return False
        socket.create_connection((url.hostname or "", url.port or PORTS[url.scheme]), timeout=LOOK).close()
    except (OSError, ValueError):
        return False
    return True


def _opened(name: str) -> cv2.VideoCapture:
    if "://" in name:
        limit = [cv2.CAP_PROP_OPEN_TIMEOUT_MSEC, OPEN_TIMEOUT_MS, cv2.CAP_PROP_READ_TIMEOUT_MSEC, OPEN_TIMEOUT_MS]
        return cv2.VideoCapture(name, cv2.CAP_FFMPEG, limit)
    return cv2.VideoCapture(int(name) if name.isdecimal() else name)


def _advice(name: str) -> str:
    if "://" in name:
        return "is the address right and the server up?"
    cameras = ", ".join(sorted(map(str, Path("/dev").glob("video*")))) or "none"
    return f"cameras found: {cameras}; plug one in, or give a video with --source FILE"
