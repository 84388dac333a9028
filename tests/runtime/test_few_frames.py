"""fer-run where frames are far apart: no frame is answered without the faces that a search of it would find."""

import json
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from conftest import Run
from fer_benchmarks.demo_clip import render
from fer_runtime.faces.similarity import overlap
from fer_runtime.model.session import Classifier
from fer_runtime.pipeline.loop import Loop
from fer_runtime.sources.factory import open_source
from fer_runtime.types import Box

Image = NDArray[np.uint8]
Seen = list[list[tuple[Box, str]]]  # by frame: box and raw label of each face, from left to right
JUMP = 120  # pixels, faces of 80 to 110


def still() -> list[Image]:
    """Every tenth of the clip's frames twice: nothing moves, then something does."""
    return [render(index) for index in range(0, 100, 10) for _ in range(2)]


def jumping() -> list[Image]:
    """Faces that are beside their last place in every frame, and stay there in none."""
    return [np.roll(render(index), (0, JUMP, JUMP // 2)[index % 3] - JUMP // 2, axis=1) for index in range(12)]


def video(path: Path, images: list[Image], fps: float) -> Path:
    height, width = images[0].shape[:2]
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"mp4v"), fps, (width, height))
    for image in images:
        writer.write(image)
    writer.release()
    return path


def by_command(command: Run, file: Path, *options: str) -> Seen:
    done = command("fer-run", "--source", file, "--headless", *options)
    assert done.returncode == 0, done.stderr
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    return [sorted((tuple(face["box"]), face["raw"]["label"]) for face in line["faces"]) for line in lines]


def by_search_of_every_frame(file: Path, max_fps: float | None = None) -> Seen:
    loop = Loop(open_source(str(file)), Classifier(), max_fps=max_fps, interval=0)
    return [sorted((face.box, face.raw_label) for face in result.faces) for _, result in loop]


@pytest.mark.parametrize(("images", "fps"), [(still, 0.6), (jumping, 1.0), (jumping, 3.5)])
def test_rare_frames_are_each_searched(
    command: Run, tmp_path: Path, images: Callable[[], list[Image]], fps: float
) -> None:
    file = video(tmp_path / "slow.mp4", images(), fps)
    found = by_command(command, file)
    assert all(len(faces) == 2 for faces in found)
    assert found[1:] == by_search_of_every_frame(file)[1:]


def test_of_a_quick_source_few_frames_are_asked_for(command: Run, clip: Path) -> None:
    found = by_command(command, clip, "--max-fps", "1")
    assert [len(faces) for faces in found] == [2] * 4
    assert found[1:] == by_search_of_every_frame(clip, max_fps=1)[1:]


@pytest.mark.parametrize("fps", [5.0, 10.0])
def test_a_face_that_jumps_is_found_in_the_frame_in_which_it_did(command: Run, tmp_path: Path, fps: float) -> None:
    file = video(tmp_path / "sparse.mp4", jumping(), fps)
    for faces, searched in zip(by_command(command, file), by_search_of_every_frame(file), strict=True):
        assert len(faces) == len(searched) == 2
        assert all(overlap(ours[0], theirs[0]) > 0.6 for ours, theirs in zip(faces, searched, strict=True))
