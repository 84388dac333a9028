"""fer-run, from video to JSON lines: whoever comes into the picture is reported within half a second."""

import json
from pathlib import Path

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from conftest import Run
from fer_benchmarks.demo_clip import FPS, HEIGHT, WIDTH, placements, render

Image = NDArray[np.uint8]
ARRIVES = 21  # frame: the one after a search, so that the next one is far
WITHIN_S = 0.5
WALL = np.random.RandomState(0).randint(60, 200, (12, 16, 3)).astype(np.uint8)


def scene(index: int, moving: bool) -> Image:
    """A wall of soft colours with a sensor's noise; moving: as a camera sees it that turns."""
    wall = cv2.resize(WALL, (2 * WIDTH, HEIGHT), interpolation=cv2.INTER_CUBIC)
    left = 8 * index if moving else 0
    noise = np.random.RandomState(index).normal(0, 3, (HEIGHT, WIDTH, 3))
    return np.clip(wall[:, left : left + WIDTH] + noise, 0, 255).astype(np.uint8)


def with_face(shown: Image, index: int) -> Image:
    """The demo's left head before the scene, as in its frame of this index."""
    x, y, w, h = (round(value) for value in placements(index)[0].face)
    rows, columns = slice(max(0, y - h // 2), y + 2 * h), slice(max(0, x - w // 2), x + w + w // 2)
    shown[rows, columns] = render(index)[rows, columns]
    return shown


@pytest.mark.parametrize("grey", [False, True], ids=["colour", "grey"])
@pytest.mark.parametrize("moving", [False, True], ids=["still", "moving"])
def test_a_new_face_is_reported_within_half_a_second(command: Run, tmp_path: Path, grey: bool, moving: bool) -> None:
    writer = cv2.VideoWriter(str(tmp_path / "v.mp4"), cv2.VideoWriter.fourcc(*"mp4v"), FPS, (WIDTH, HEIGHT))
    for index in range(ARRIVES + FPS):
        shown = scene(index, moving)
        if index >= ARRIVES:
            shown = with_face(shown, index - ARRIVES)
        if grey:
            shown = np.repeat(cv2.cvtColor(shown, cv2.COLOR_BGR2GRAY)[:, :, None], 3, axis=2).astype(np.uint8)
        writer.write(shown)
    writer.release()
    done = command("fer-run", "--source", tmp_path / "v.mp4", "--headless")
    assert done.returncode == 0, done.stderr
    faces = [len(json.loads(line)["faces"]) for line in done.stdout.splitlines()]
    assert faces[:ARRIVES] == [0] * ARRIVES
    first = next(index for index, count in enumerate(faces) if count)
    assert first - ARRIVES <= WITHIN_S * FPS
    assert set(faces[first:]) == {1}
