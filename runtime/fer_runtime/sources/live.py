"""Cameras and streams: only the newest frame counts, and a source that dies is opened again."""

import logging
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Protocol
from urllib.parse import urlsplit

import cv2
import numpy as np

from fer_runtime.errors import FerError
from fer_runtime.sources.base import OnIdle, ShouldDecode, always, nominal_fps
from fer_runtime.system.profiler import Profile
from fer_runtime.types import Frame

log = logging.getLogger(__name__)

TIMEOUT_MS = 10_000
FIRST_WAIT, LONGEST_WAIT = 0.2, 10.0  # seconds before a lost source is opened again; each wait doubles the last
TICK = 0.1  # seconds between two words to the loop that no frame came
LOOK = 0.5  # seconds between looks whether a lost source is back, which ends a wait
PORTS = {"rtsp": 554, "rtsps": 322, "http": 80, "https": 443, "rtmp": 1935}


class Capture(Protocol):
    """As much of cv2.VideoCapture as is used of it, under its names."""

    # OpenCV's names, and its manual explains them: hence what lint is told below.
    def isOpened(self) -> bool: ...  # noqa: D102, N802
    def grab(self) -> bool: ...  # noqa: D102
    def retrieve(self) -> tuple[bool, Any]: ...  # noqa: D102
    def get(self, what: int, /) -> float: ...  # noqa: D102
    def release(self) -> None: ...  # noqa: D102


class Live:
    """A thread reads all frames and keeps the newest, so that answers are never late by a queue.

    When the source gives no more, it is opened again after growing waits, for as long as the frames are asked for;
    a wait ends when its server takes connections again, or its device is back. Meanwhile there are no frames, and the
    log has a line when it is lost and one when it is back.
    """

    live = True

    def __init__(
        self,
        name: str,
        profile: Profile | None = None,
        size: tuple[int, int] | None = None,
        fps: float | None = None,
    ) -> None:
        """name: a camera's number or /dev path, `picamera`, or a URL. Raises FerError where it cannot be opened.

        size (width, height) and fps: what a camera is asked for; the log has a line where it gives something else.
        """
        self._name, self._profile = name, profile or Profile()
        self._size, self._fps = size, fps
        self.notes: list[str] = []
        self._capture = self._opened()
        if not self._capture.isOpened():
            raise FerError(f"cannot open {'stream' if '://' in name else 'camera'} {name}: {_advice(name)}")
        self.fps = nominal_fps(self._capture.get(cv2.CAP_PROP_FPS))
        if given := _differs(self._capture, size, fps):
            log.warning("%s gives %s", name, given)
        self._newest: Frame | None = None
        self._changed = threading.Condition()
        self._over = threading.Event()
        self._there = True  # whether the source seemed to be there at the last look

    def frames(self, should_decode: ShouldDecode = always, on_idle: OnIdle = always) -> Iterator[Frame]:
        """The newest frame each time one is asked for, without end. Raises FerError when not even one came.

        should_decode is called in the thread that reads, on_idle in the caller's.
        """
        reader = threading.Thread(target=self._read, args=[should_decode], name="capture", daemon=True)
        reader.start()
        try:
            while not self._over.is_set():
                if (frame := self._next(on_idle)) is None:
                    return
                yield frame
        finally:
            self._over.set()
            reader.join(timeout=2)

    def _next(self, on_idle: OnIdle) -> Frame | None:
        began = time.monotonic()
        with self._changed:
            while self._newest is None:
                if self._over.is_set():
                    raise FerError(f"{self._name} opened but gave no frame: is another program using the camera?")
                if not self._changed.wait(TICK) and not on_idle(time.monotonic() - began):
                    return None
            frame, self._newest = self._newest, None
            return frame

    def _grabbed(self) -> bool:
        with self._profile.stage("capture"):  # mostly waiting for the camera
            return self._capture.grab()

    def _read(self, should_decode: ShouldDecode) -> None:
        index, wait = 0, 0.0
        try:
            while not self._over.is_set():
                fine = self._capture.isOpened() and self._grabbed()
                at = time.monotonic()
                if fine and not should_decode(at):  # not decoded: with motion JPEG that is most of the work
                    index += 1
                    continue
                if fine:
                    with self._profile.stage("decode"):
                        fine, image = self._capture.retrieve()
                if fine:
                    if wait:
                        log.warning("%s is back", self._name)
                    wait = 0.0
                    with self._changed:
                        self._newest = Frame(np.asarray(image, np.uint8), index, at, captured=at)
                        self._changed.notify()
                    index += 1
                    continue
                if index == 0:
                    break
                if not wait:
                    log.warning("%s gives no more frames: it is opened again until it does", self._name)
                wait = min(LONGEST_WAIT, 2 * wait or FIRST_WAIT)
                self._capture.release()
                if self._came_back(wait):
                    wait = FIRST_WAIT
                if not self._over.is_set():
                    self._capture = self._opened()
        finally:
            self._over.set()
            with self._changed:
                self._changed.notify()
            self._capture.release()

    def _opened(self) -> Capture:
        if self._name == "picamera":
            from fer_runtime.sources.picamera import PiCamera

            return PiCamera(self._size, self._fps)
        if "://" in self._name:
            limits = (cv2.CAP_PROP_OPEN_TIMEOUT_MSEC, cv2.CAP_PROP_READ_TIMEOUT_MSEC)
            return cv2.VideoCapture(self._name, cv2.CAP_FFMPEG, [v for limit in limits for v in (limit, TIMEOUT_MS)])
        capture = cv2.VideoCapture(int(self._name) if self._name.isdecimal() else self._name)
        if self._size or self._fps:
            ask(capture, self._size, self._fps)
        return capture

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
    if name == "picamera":
        return False
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


def ask(capture: cv2.VideoCapture, size: tuple[int, int] | None, fps: float | None) -> None:
    """Ask a camera for frames of this size and pace; as motion JPEG where it gives less otherwise.

    Raw frames fill USB 2 at 640x480, so that most webcams give larger ones slowly or not at all.
    """
    for codec in ("", "MJPG"):
        if codec:
            capture.set(cv2.CAP_PROP_FOURCC, cv2.VideoWriter.fourcc(*codec))
        if size:
            capture.set(cv2.CAP_PROP_FRAME_WIDTH, size[0])
            capture.set(cv2.CAP_PROP_FRAME_HEIGHT, size[1])
        if fps:
            capture.set(cv2.CAP_PROP_FPS, fps)
        if not _differs(capture, size, fps):
            break


def _differs(capture: Capture, size: tuple[int, int] | None, fps: float | None) -> str:
    """What the camera gives, in words, where it is not what was asked for."""
    width, height = (round(capture.get(side)) for side in (cv2.CAP_PROP_FRAME_WIDTH, cv2.CAP_PROP_FRAME_HEIGHT))
    given = nominal_fps(capture.get(cv2.CAP_PROP_FPS))
    words = []
    if size and (width, height) != size:
        words.append(f"{width}x{height}, asked for {size[0]}x{size[1]}")
    if fps and abs(given - fps) > 0.5:
        words.append(f"{given:g} frames a second, asked for {fps:g}" if given else "no word on its frames a second")
    return " and ".join(words)


def _advice(name: str) -> str:
    if "://" in name:
        return "is the address right and the server up?"
    if name == "picamera":
        return "is another program using it? `rpicam-hello --list-cameras` lists what the system finds"
    cameras = ", ".join(sorted(map(str, Path("/dev").glob("video*")))) or "none"
    return f"cameras found: {cameras}; plug one in, or give a video with --source FILE"
