"""Cameras and streams: only the newest frame counts, and a source that dies is opened again."""

import logging
import os
import socket
import threading
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from urllib.parse import urlsplit

import cv2
import numpy as np
from numpy.typing import NDArray

from fer_runtime.errors import FerError
from fer_runtime.sources.addresses import has_end, is_address
from fer_runtime.sources.base import OnIdle, ShouldDecode, always, nominal_fps
from fer_runtime.sources.captures import Capture, decode, differs, open_camera, open_stream
from fer_runtime.sources.servers import has_length, refusal
from fer_runtime.system.profiler import Profile
from fer_runtime.system.redact import redact_url
from fer_runtime.types import Frame

log = logging.getLogger(__name__)

FIRST_WAIT_S, MAX_WAIT_S = 0.2, 10.0  # before a lost source is opened again; each wait doubles the last
TICK_S = 0.1  # between two calls of on_idle
LOOK_S = 0.5  # between looks whether a lost source is back, which ends a wait
MAX_BROKEN = 30  # frames in a row that cannot be decoded, after which a camera is opened again; single ones are usual
NEAR_END = 0.05  # of its duration, within which a stream that has one is over when it ends; some cameras invent one
PORTS = {"rtsp": 554, "rtsps": 322, "http": 80, "https": 443, "rtmp": 1935}


class Live:
    """A thread reads all frames and keeps the newest, so that results are never late by a queue.

    When the source gives no more, it is opened again after growing waits, for as long as the frames are asked for; a
    wait ends when its server takes connections again, or its device is back. Meanwhile there are no frames, and the
    log has a line when it is lost and one when it is back.
    """

    live = True

    def __init__(
        self,
        name: str,
        profile: Profile | None = None,
        size: tuple[int, int] | None = None,
        fps: float | None = None,
        open_capture: Callable[[], Capture] | None = None,
    ) -> None:
        """name: a camera's number, its device or a link to it, `picamera`, or a URL. Raises FerError if it is not open.

        size (width, height) and fps: what a camera is asked for; the log has a line where it gives something else.
        open_capture: opens a capture of another kind, each time anew; `name` only names it then.
        """
        self._name, self._shown, self._profile = name, redact_url(name), profile or Profile()
        self._open = open_capture or (
            partial(open_stream, name) if is_address(name) else partial(open_camera, name, size, fps)
        )
        self.notes: list[str] = []
        self._capture = self._open()
        if not self._capture.isOpened():
            raise FerError(f"cannot open {'stream' if is_address(name) else 'camera'} {self._shown}: {_advice(name)}")
        self.fps = nominal_fps(self._capture.get(cv2.CAP_PROP_FPS))
        if given := differs(self._capture, size, fps):
            log.warning("%s gives %s", self._shown, given)
        self._index = 0  # of the next frame
        self._position_ms = 0.0  # of the last frame in a stream that has a duration
        self._wait = 0.0  # seconds, the last before the source was opened again; 0 while it gives frames
        self._there = True  # whether the source seemed to be there at the last look
        self._newest: Frame | None = None
        self._changed = threading.Condition()
        self._over = threading.Event()
        self._failure: Exception | None = None  # of the reading thread

    @property
    def has_end(self) -> bool:
        """Whether it is a finished video, of which every frame can be had."""
        return is_address(self._name) and has_end(self._capture, self._name)

    def close(self) -> None:
        """Close a source of which no frames were asked for."""
        self._capture.release()

    def frames(self, should_decode: ShouldDecode = always, on_idle: OnIdle = always) -> Iterator[Frame]:
        """The newest frame each time one is asked for. Raises FerError when not even one came.

        Only a stream with a duration, such as a recording by RTSP, has an end. should_decode is called in the thread
        that reads, on_idle in the caller's.
        """
        if self._over.is_set():  # asked for a second time
            self._over.clear()
            self._newest, self._index, self._wait, self._capture = None, 0, 0.0, self._open()
        reader = threading.Thread(target=self._read, args=[should_decode], name="capture", daemon=True)
        reader.start()
        try:
            while (frame := self._next(on_idle)) is not None:
                yield frame
        finally:
            self._over.set()
            reader.join(timeout=2)

    def _next(self, on_idle: OnIdle) -> Frame | None:
        began = time.monotonic()
        with self._changed:
            while self._newest is None:
                if self._over.is_set():
                    if self._failure:
                        raise self._failure
                    if self._index == 0:
                        raise FerError(f"{self._shown} opened but gave no frame: is another program using the camera?")
                    return None
                if not self._changed.wait(TICK_S) and not on_idle(time.monotonic() - began):
                    return None
            frame, self._newest = self._newest, None
            return frame

    def _read(self, should_decode: ShouldDecode) -> None:
        """The reading thread: frames while there are any, then the source opened again, until the end is wanted."""
        try:
            self._publish_frames(should_decode)
            while self._index and not self._over.is_set() and not self._is_played():
                self._reopen()
                self._publish_frames(should_decode)
        except Exception as error:  # noqa: BLE001 - raised where the frames are asked for
            self._failure = error
        finally:
            self._over.set()
            with self._changed:
                self._changed.notify()
            self._capture.release()

    def _publish_frames(self, should_decode: ShouldDecode) -> None:
        """Publish the frames to be decoded until the source gives no more, or only broken ones."""
        broken = 0
        while not self._over.is_set() and broken < MAX_BROKEN and self._grab():
            at = time.monotonic()
            self._position_ms = self._capture.get(cv2.CAP_PROP_POS_MSEC)
            if should_decode(at):  # others are not decoded: with motion JPEG that is most of the work
                image = self._decode()
                if image is None:
                    broken += 1
                    continue
                broken = 0
                self._publish(Frame(image, self._index, at, captured=at))
            self._index += 1

    def _grab(self) -> bool:
        if not self._capture.isOpened():
            return False
        with self._profile.stage("capture"):  # mostly waiting for the camera
            return self._capture.grab()

    def _decode(self) -> NDArray[np.uint8] | None:
        with self._profile.stage("decode"):
            return decode(self._capture)

    def _is_played(self) -> bool:
        """Whether what ended was no stream, but a recording or a file that was played to its end."""
        if not is_address(self._name):
            return False
        seconds = self._capture.get(cv2.CAP_PROP_FRAME_COUNT) / (self.fps or 1.0)
        if seconds > 0:
            return abs(self._position_ms / 1e3 / seconds - 1) <= NEAR_END
        return not self._wait and has_length(self._name)

    def _publish(self, frame: Frame) -> None:
        if self._wait:
            log.warning("%s is back", self._shown)
            self._wait = 0.0
        with self._changed:
            self._newest = frame
            self._changed.notify()

    def _reopen(self) -> None:
        """Open the source again after a wait, which is twice the last one unless the source was seen again."""
        if not self._wait:
            log.warning("%s gives no more frames: it is opened again until it does", self._shown)
        self._wait = min(MAX_WAIT_S, 2 * self._wait or FIRST_WAIT_S)
        self._capture.release()
        if self._came_back(self._wait):
            self._wait = FIRST_WAIT_S
        if not self._over.is_set():
            self._capture = self._open()

    def _came_back(self, wait: float) -> bool:
        """Whether the source, gone before, was seen again; if not, return after `wait` seconds."""
        until = time.monotonic() + wait
        while (left := until - time.monotonic()) > 0 and not self._over.wait(min(LOOK_S, left)):
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
    if not is_address(name):
        return _device(name).exists()
    try:
        url = urlsplit(name)
        if url.scheme not in PORTS:
            return False
        socket.create_connection((url.hostname or "", url.port or PORTS[url.scheme]), timeout=LOOK_S).close()
    except (OSError, ValueError):
        return False
    return True


def _advice(name: str) -> str:
    if is_address(name):
        reason = refusal(name)
        return f"the server says {reason}" if reason else "is the address right and the server up?"
    if name == "picamera":
        return "is another program using it? `rpicam-hello --list-cameras` lists what the system finds"
    device = _device(name)
    if device.exists() and not os.access(device, os.R_OK | os.W_OK):
        return "this user may not open it: `sudo usermod -aG video $USER`, then log in again"
    if device.exists():
        return "it is there: is another program using it, or is it no camera? fer-doctor lists cameras"
    cameras = ", ".join(sorted(map(str, Path("/dev").glob("video*")))) or "none"
    return f"cameras found: {cameras}; plug one in, or give a video with --source FILE"


def _device(name: str) -> Path:
    return Path(f"/dev/video{name}" if name.isdecimal() else name)
