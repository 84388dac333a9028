"""Long videos in pieces: where they are cut, and a source that gives the frames of one piece."""

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from fer_runtime.errors import FerError
from fer_runtime.pipeline.pacing import Pace
from fer_runtime.sources.base import OnIdle, ShouldDecode, always, nominal_fps
from fer_runtime.sources.captures import decode, open_file
from fer_runtime.sources.media_clock import JUMPING
from fer_runtime.types import Frame

PIECE_S = 600.0  # of a piece; a video is cut when it is longer
MIN_LAST_S = 300.0  # of the last piece, which is else a part of the one before it
OVERLAP_S = 10.0  # before a piece, scored once more: its tracks and smoothing begin there
RAW = -1  # OpenCV's format of packets as they are stored
SEEK_EARLY_S = (1.0, 5.0, 20.0, math.inf)  # how long before a frame a search for it begins, where the last one failed


@dataclass(frozen=True)
class Span:
    """One piece of a video; times are seconds of media time, from the video's first frame."""

    number: int
    """From 0."""
    count: int
    """Of the video's pieces."""
    start_s: float
    """Of the first frame that is scored; rows count from `begin_s` on."""
    start_frame: int
    """That frame's index in the video."""
    begin_s: float
    end_s: float | None
    """Before which its frames end; None: the video's end."""
    offset_s: float
    """Timestamp of the video's first frame."""
    fps: float
    """Declared."""
    next_due_s: float | None
    """When a frame is due next, where fewer frames than all are scored."""
    sha256: str = ""
    """Of the file."""


def find(path: Path, max_fps: float | None, on_packet: Callable[[], None]) -> list[Span]:
    """The pieces of a video; none where it is short, or where its frames' times do not tell where one could begin.

    They begin at key frames, by the file alone: the same on every machine. on_packet: called again and again meanwhile.
    """
    capture = open_file(path, 1)
    fps = nominal_fps(capture.get(cv2.CAP_PROP_FPS))
    declared_s = capture.get(cv2.CAP_PROP_FRAME_COUNT) / fps if fps else 0.0
    if declared_s <= PIECE_S or path.suffix.lower() in JUMPING or not capture.set(cv2.CAP_PROP_FORMAT, RAW):
        return []
    times, keys = _packets(capture, on_packet)
    if len(times) < 2 or not _are_sound(times):
        return []
    offset = float(times[0])
    times -= offset
    begins = _boundaries(times[keys], float(times[-1]))
    starts = [
        float(times[keys][np.searchsorted(times[keys], max(0.0, begin - OVERLAP_S), "right") - 1]) for begin in begins
    ]
    due = _next_due(times, starts, max_fps)
    return [
        Span(
            number, len(begins), start, int(np.searchsorted(times, start)), begin, end, offset, fps,
            due[number],
        )
        for number, (start, begin, end) in enumerate(zip(starts, begins, [*begins[1:], None], strict=True))
    ] if len(begins) > 1 else []  # fmt: skip


def _packets(capture: cv2.VideoCapture, on_packet: Callable[[], None]) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """Timestamps, seconds, of all packets in their frames' order, and which are key frames; nothing is decoded."""
    stamps, keys = [], []
    while capture.grab():
        stamps.append(capture.get(cv2.CAP_PROP_POS_MSEC) / 1e3)
        keys.append(capture.get(cv2.CAP_PROP_LRF_HAS_KEY_FRAME) != 0)
        on_packet()
    capture.release()
    order = np.argsort(stamps, kind="stable")
    return np.array(stamps, np.float64)[order], np.array(keys, np.bool_)[order]


def _are_sound(times: NDArray[np.float64]) -> bool:
    """Whether each frame has a time of its own."""
    return bool(np.isfinite(times).all() and (np.diff(times) > 0).all() and times[0] >= 0)


def _boundaries(keys: NDArray[np.float64], end: float) -> list[float]:
    """Where pieces begin: 0, and the first key frame after each PIECE_S."""
    found = [0.0]
    while (at := found[-1] + PIECE_S) <= end - MIN_LAST_S:
        later = keys[keys >= at]
        if not len(later) or later[0] > end - MIN_LAST_S:
            break
        found.append(float(later[0]))
    return found


def _next_due(times: NDArray[np.float64], starts: list[float], max_fps: float | None) -> list[float | None]:
    """When the next frame of the whole video is due, at each start; None before the first and where all are."""
    if max_fps is None:
        return [None] * len(starts)
    pace = Pace(max_fps, live=False)
    found: dict[float, float] = {}
    for at in times.tolist():
        found[at] = pace.next_due
        pace.is_due(at)
    return [found[start] if found[start] > -math.inf else None for start in starts]


class Piece:
    """The frames of one piece, with the times and indices that they have in the whole video."""

    live = False

    def __init__(self, path: Path, span: Span) -> None:
        self._path, self._span = path, span
        self.fps = span.fps
        self.notes: list[str] = []

    def frames(self, should_decode: ShouldDecode = always, on_idle: OnIdle = always) -> Iterator[Frame]:  # noqa: ARG002 - never waits
        """The frames for which `should_decode`, from the overlap's start to the piece's end. Raises FerError."""
        capture, at = self._at_start()
        if at is None:
            raise FerError(f"{self._path} gives no frame at {self._span.start_s:.1f} s: is it whole?")
        broken = 0
        index = self._span.start_frame
        end = math.inf if self._span.end_s is None else self._span.end_s - self._half_step
        try:
            while at is not None and at < end:
                if should_decode(at):
                    image = decode(capture)
                    if image is None:
                        broken += 1
                    else:
                        yield Frame(image, index, at, media_time=at)
                index += 1
                at = self._grab(capture)
        finally:
            capture.release()
        if broken:
            self.notes.append(f"{broken} frames cannot be decoded and were left out")

    @property
    def _half_step(self) -> float:
        return 0.5 / self.fps

    def _at_start(self) -> tuple[cv2.VideoCapture, float | None]:
        """A capture that has grabbed the first frame, and its time; None where the video ends before it."""
        for early in SEEK_EARLY_S:
            capture = open_file(self._path, 1)
            target = self._span.start_s - early
            if target > 0:
                capture.set(cv2.CAP_PROP_POS_MSEC, (target + self._span.offset_s) * 1e3)
            at = self._grab(capture)
            if at is None or at <= self._span.start_s + self._half_step or target <= 0:
                break  # else the search went too far: it begins earlier
            capture.release()
        while at is not None and at < self._span.start_s - self._half_step:
            at = self._grab(capture)
        return capture, at

    def _grab(self, capture: cv2.VideoCapture) -> float | None:
        """Take the next frame; its media time, None at the end."""
        return capture.get(cv2.CAP_PROP_POS_MSEC) / 1e3 - self._span.offset_s if capture.grab() else None
