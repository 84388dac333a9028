"""Faces before a camera: the clip goes through a loopback device (v4l2loopback), and is found as in its file."""

import json
import subprocess
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from conftest import BIN as HERE
from helpers.board import Board

CLIP = Path(__file__).parents[2] / "docs" / "clip.mp4"
RESULTS = "/run/shown.jsonl"
LEAST_SAME = 0.95  # of the faces' labels
MAX_BOX_OFF, MAX_PROBABILITY_OFF = 8, 0.2  # pixels of a face of 60 to 110; of a face whose label is the same


@pytest.mark.parametrize(("kind", "step", "whole_step"), [("YUYV", 10, 2), ("MJPG", 20, 10)])
def test_the_clip_before_a_camera_gives_the_labels_of_its_file(
    board: Board, kind: str, step: int, whole_step: int
) -> None:
    step = whole_step if board.whole else step
    expected = of_file()[::step]
    board.plug_loopback(kind)
    for index, picture in enumerate(pictures()[::step]):
        name = f"{index:03}.{kind}"
        (board.machine.shared / name).write_bytes(packed(picture, kind))
    board.ok(f"rm -f {RESULTS}")
    board.start("shown", f"--source 0 --jsonl {RESULTS}")
    # The first picture twice: a camera that has just begun to move is searched a moment later.
    shown = f"/shared/000.{kind} /shared/*.{kind}"
    times = board.ok(f"python3 /shared/play.py /dev/video0 {RESULTS} {shown}", 3 * 400).split()[1:]
    assert "Traceback" not in board.stop("shown")
    found = {line["time"]: line["faces"] for line in board.lines(RESULTS)}
    seen = [(by_place(ours), by_place(found[time])) for ours, time in zip(expected, times, strict=True)]
    pairs = [pair for ours, theirs in seen if len(ours) == len(theirs) for pair in zip(ours, theirs, strict=True)]
    same = [pair for pair in pairs if pair[0]["raw"]["label"] == pair[1]["raw"]["label"]]
    assert len(same) >= LEAST_SAME * sum(len(ours) for ours in expected) > 0
    boxes = np.array([[face["box"] for face in pair] for pair in pairs])
    assert np.abs(boxes[:, 0] - boxes[:, 1]).max() <= MAX_BOX_OFF
    chances = np.array([[[*face["raw"]["probabilities"].values()] for face in pair] for pair in same])
    assert np.abs(chances[:, 0] - chances[:, 1]).max() <= MAX_PROBABILITY_OFF


def of_file() -> list[list[dict[str, Any]]]:
    """Faces of each frame of the clip's file, found on this machine."""
    command = [str(HERE / "fer-run"), "--source", str(CLIP), "--headless"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return [json.loads(line)["faces"] for line in done.stdout.splitlines()]


def pictures() -> list[NDArray[np.uint8]]:
    """The clip's frames, BGR [h, w, 3]."""
    video, found = cv2.VideoCapture(str(CLIP)), []
    while (frame := video.read())[0]:
        found.append(np.asarray(frame[1], np.uint8))
    return found


def packed(picture: NDArray[np.uint8], kind: str) -> bytes:
    """A picture as a camera gives it."""
    return bytes(cv2.imencode(".jpg", picture)[1]) if kind == "MJPG" else yuyv(picture).tobytes()


def yuyv(picture: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """BGR [h, w, 3] as YUYV [h, w / 2, 4]: two pixels share their colour, brightness is 16 to 235."""
    y, v, u = np.moveaxis(cv2.cvtColor(picture, cv2.COLOR_BGR2YCrCb).astype(np.float32), 2, 0)
    y = 16 + y * 219 / 255
    u, v = (128 + ((plane[:, ::2] + plane[:, 1::2]) / 2 - 128) * 224 / 255 for plane in (u, v))
    return np.asarray(np.rint(np.stack([y[:, ::2], u, y[:, 1::2], v], axis=2)), np.uint8)


def by_place(faces: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """From left to right."""
    return sorted(faces, key=lambda face: face["box"][0])
