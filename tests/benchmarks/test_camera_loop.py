"""The measurements of the loop: they run, count rightly, and refuse what is no video."""

import json
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest

from fer_benchmarks.demo_clip import FRAMES
from fer_benchmarks.pipeline.camera_loop import TARGETS
from fer_benchmarks.pipeline.simulated_camera import simulated_camera
from fer_benchmarks.pipeline.throughput import VideoRun, agreement
from fer_benchmarks.pipeline.tilt_and_lag import FPS, lags
from fer_runtime.faces.smoothing import Smoother
from fer_runtime.pipeline.pacing import Heat, Pace
from fer_runtime.system.profiler import Profile


def run(module: str, *arguments: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", f"fer_benchmarks.{module}", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)


def test_every_figure_of_a_video(clip: Path, tmp_path: Path) -> None:
    done = run("pipeline.camera_loop", clip, "--seconds", 1, "--json", tmp_path / "loop.json")
    assert done.returncode == 0, done.stderr
    report = json.loads((tmp_path / "loop.json").read_text())
    assert report["cores_used"] == 1
    figures = report["videos"]["clip.mp4"]
    assert set(TARGETS) <= set(figures)
    assert figures["frames"] == FRAMES
    assert figures["faces_per_frame"] == 2
    assert figures["label_agreement"] == 1  # a smile all along
    assert 0 < figures["rest_ms_per_frame"] < figures["networks_ms_per_frame"] * 10
    assert figures["loop_share_10fps"] > 0
    assert figures["slowed_fps"] > 1
    assert "wanted" in done.stdout


def test_what_is_no_video_is_refused(tmp_path: Path) -> None:
    (tmp_path / "text.mp4").write_text("no video")
    done = run("pipeline.camera_loop", tmp_path / "text.mp4")
    assert done.returncode == 1
    assert "is not a video that OpenCV can read" in done.stderr
    assert "Traceback" not in done.stderr
    done = run("pipeline.tilt_and_lag", tmp_path / "none.zip")
    assert done.returncode == 1
    assert "Traceback" not in done.stderr


def test_flips_are_counted_track_by_track() -> None:
    labels = {
        (0, 1): ("happy", "happy"), (0, 2): ("sad", "sad"),
        (1, 1): ("happy", "sad"), (1, 2): ("uncertain", "sad"),
        (2, 1): ("happy", "happy"), (2, 2): ("sad", "sad"),
    }  # fmt: skip
    assert VideoRun(labels).flips() == (2, 2)
    assert VideoRun().flips() == (0, 0)


def test_agreement_matches_faces_by_their_place() -> None:
    one = VideoRun({(0, 1): ("happy", "sad")}, {(0, 1): (10, 10, 50, 50)})
    other = VideoRun(
        {(0, 1): ("sad", "sad"), (0, 2): ("happy", "fear")}, {(0, 1): (300, 10, 50, 50), (0, 2): (12, 10, 50, 50)}
    )
    assert agreement(one, other) == (1.0, 0.0)


def test_lag_is_told_in_seconds_since_the_change() -> None:
    before, after = (np.tile(np.array(row, np.float32), (FPS, 1)) for row in ([0.9, 0.1], [0.1, 0.9]))
    assert lags([(before, after, 1)], FPS, Smoother) == pytest.approx([0.15], abs=0.05)
    assert np.isinf(lags([(before, after, 2)], FPS, Smoother)).size == 0  # the raw answer never has that label


def test_a_paced_file_is_played_again_and_again(tmp_path: Path) -> None:
    writer = cv2.VideoWriter(str(tmp_path / "three.avi"), cv2.VideoWriter.fourcc(*"MJPG"), 30, (320, 240))
    for grey in (0, 100, 200):
        writer.write(np.full((240, 320, 3), grey, np.uint8))
    writer.release()
    seen = []
    for frame in simulated_camera(tmp_path / "three.avi", (160, 120)).frames():
        assert frame.image.shape == (120, 160, 3)
        seen.append(round(float(frame.image.mean()) / 100))
        if len(seen) == 8:
            break
    assert set(seen) == {0, 1, 2}


def test_frames_for_which_there_is_no_time_are_not_decoded(clip: Path) -> None:
    profile = Profile()
    seen = []
    for frame in simulated_camera(clip, profile=profile).frames(Pace(5, Heat(system=Path("/nonexistent"))).is_due):
        seen.append(frame.index)
        if len(seen) == 6:
            break
    stages = profile.usage().stages
    assert stages["decode"].n <= 8
    assert stages["capture"].n > 2 * stages["decode"].n
    assert seen == sorted(set(seen))
