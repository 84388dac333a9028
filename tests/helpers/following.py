"""What a run writes, read while it runs and afterwards."""

import json
import subprocess
import time
from datetime import datetime
from pathlib import Path

import cv2

from helpers.jsonl import Line, read_lines

PATIENCE = 60  # seconds


def captured(line: Line) -> float:
    """When its frame was, seconds since 1970."""
    return datetime.fromisoformat(line.time).timestamp()


def first_after(path: Path, moment: float, count: int = 1) -> Line:
    """The first line of a frame captured after `moment`, as soon as there are `count` such."""
    until = time.monotonic() + PATIENCE
    while time.monotonic() < until:
        fresh = [line for line in read_lines(path) if captured(line) > moment]
        if len(fresh) >= count:
            return fresh[0]
        time.sleep(0.05)
    raise AssertionError(f"no {count} fresh lines in {PATIENCE} s")


def quiet(path: Path, seconds: float = 1.5) -> int:
    """How many lines there are once none has come for so long: what was under way in sockets is written then."""
    until = time.monotonic() + PATIENCE
    count, since = -1, 0.0
    while time.monotonic() < until:
        if (now := len(read_lines(path))) != count:
            count, since = now, time.monotonic()
        elif time.monotonic() - since > seconds:
            return count
        time.sleep(0.05)
    raise AssertionError(f"lines went on coming for {PATIENCE} s")


def opened(video: Path) -> int:
    """How many frames OpenCV reads."""
    capture = cv2.VideoCapture(str(video))
    frames = 0
    while capture.read()[0]:
        frames += 1
    return frames


def decoded(video: Path) -> int:
    """How many frames ffprobe decodes, which is another program with another ffmpeg."""
    asked = ["-count_frames", "-select_streams", "v", "-show_entries", "stream=nb_read_frames", "-of", "json"]
    told = subprocess.run(["ffprobe", "-loglevel", "quiet", *asked, video], capture_output=True, check=True)
    return int(json.loads(told.stdout)["streams"][0]["nb_read_frames"])
