"""Recordings play as their source did: each picture from its time on until the next one's."""

import os
from pathlib import Path

import cv2
import numpy as np
import pytest

from conftest import Run
from fer_runtime.outputs.recording import MAX_GAP_S, open_recording
from fer_runtime.types import Result

LEVELS = 20  # grey levels between two pictures


def recorded(path: Path, fps: float, times: list[float | None], live: bool = False) -> list[int]:
    """The number of the picture in each frame of a recording of grey pictures at these times."""
    recorder = open_recording(path, fps)
    for index, at in enumerate(times):
        media_time = None if live else at
        recorder.write(
            np.full((64, 96, 3), 10 + LEVELS * index, np.uint8),
            Result(7 * index, "", 1.0, (), at=at, media_time=media_time),
        )
    recorder.close()
    capture = cv2.VideoCapture(str(path))
    assert capture.get(cv2.CAP_PROP_FPS) == pytest.approx(fps)
    levels = []
    while (frame := capture.read())[0]:
        levels.append(round((float(np.median(frame[1])) - 10) / LEVELS))
    return levels


@pytest.mark.parametrize("suffix", [".mkv", ".avi", ".mp4"])
def test_each_picture_stands_until_the_next_ones_time(tmp_path: Path, suffix: str) -> None:
    times: list[float | None] = [5.0, 5.1, 5.2, 6.0, 6.5]  # the first frame need not be at 0
    assert recorded(tmp_path / f"out{suffix}", 10, times) == [0, 1, *[2] * 8, *[3] * 5, 4]


def test_pictures_that_come_faster_than_the_recording_do_not_make_it_longer(tmp_path: Path) -> None:
    times: list[float | None] = [n / 50 for n in range(9)]
    assert recorded(tmp_path / "out.mkv", 10, times) == [2, 7, 8]


def test_times_that_are_not_quite_even_give_each_picture_one_frame(tmp_path: Path) -> None:
    times: list[float | None] = [0.0, 0.033, 0.067, 0.1, 0.133, 0.167, 0.2]  # a container's whole milliseconds
    assert recorded(tmp_path / "out.mkv", 30, times) == list(range(7))


def test_pictures_without_a_time_have_a_frame_each(tmp_path: Path) -> None:
    assert recorded(tmp_path / "out.mkv", 10, [None] * 4) == [0, 1, 2, 3]


def test_a_camera_that_was_away_for_long_leaves_no_hour_of_a_still(tmp_path: Path) -> None:
    times: list[float | None] = [0.0, 0.5, MAX_GAP_S + 10, MAX_GAP_S + 10.1]
    assert recorded(tmp_path / "out.mkv", 10, times, live=True) == [*[0] * 5, 1, 2, 3]
    assert recorded(tmp_path / "file.mkv", 10, times).count(1) == 10 * (MAX_GAP_S + 9.5)


@pytest.mark.parametrize("name", ["a:b.mkv", "file:x.mkv", "rtmp:x.mp4", "50%d.avi", "%03d.png", "-x.mkv"])
def test_a_recordings_name_is_a_name_whatever_it_looks_like(
    command: Run, clip: Path, tmp_path: Path, name: str
) -> None:
    """`file:x.mkv` was written to x.mkv, over what stood there."""
    (tmp_path / "x.mkv").write_text("kept")
    done = command("fer-run", "--source", clip, "--headless", "--max-frames", 2, f"--record={name}", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert {path.name for path in tmp_path.iterdir()} == {name, "x.mkv"}
    assert (tmp_path / name).stat().st_size > 1000
    assert (tmp_path / "x.mkv").read_text() == "kept"


def test_a_recordings_name_in_another_encoding_is_refused(command: Run, clip: Path, tmp_path: Path) -> None:
    name = os.fsdecode(os.fsencode(tmp_path / "caf") + b"\xe9.mkv")
    done = command("fer-run", "--source", clip, "--headless", "--max-frames", 2, "--record", name)
    assert done.returncode == 1
    assert "expected a name in UTF-8" in done.stderr
    assert list(tmp_path.iterdir()) == []
