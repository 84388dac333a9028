"""The time of a video's frames is the file's own, whatever rate the file declares."""

import json
import time
from pathlib import Path

import cv2
import numpy as np
import pytest

from conftest import Run
from fer_benchmarks.demo_clip import FPS, FRAMES
from fer_runtime.sources.factory import open_source
from helpers.videos import KEPT_TIMES, browser_webm, encode, variable_rate

pytestmark = pytest.mark.system("ffprobe")


def media_times(path: Path) -> list[float]:
    return [frame.media_time for frame in open_source(str(path)).frames() if frame.media_time is not None]


@pytest.mark.parametrize(
    ("suffix", "options"),
    [
        (".mp4", ["-c:v", "libx264", "-bf", "3"]),
        (".mkv", ["-c:v", "mpeg4"]),
        (".webm", ["-c:v", "libvpx", "-deadline", "realtime"]),
        (".ts", ["-c:v", "libx264", "-bf", "3"]),
        (".mov", ["-c:v", "mjpeg", "-output_ts_offset", "100"]),
        (".mkv", ["-c:v", "libx264", "-output_ts_offset", "100"]),
        (".flv", ["-c:v", "flv"]),
    ],
)
def test_a_variable_rate_gives_each_frame_its_own_time(
    clip: Path, tmp_path: Path, suffix: str, options: list[str]
) -> None:
    video = variable_rate(clip, tmp_path / f"variable{suffix}", *options)
    assert media_times(video) == pytest.approx(KEPT_TIMES, abs=0.002)


@pytest.mark.parametrize(
    ("suffix", "options"), [(".h264", ["-bf", "3"]), (".avi", ["-c:v", "libx264", "-bf", "3"]), (".mjpeg", [])]
)
def test_where_frames_have_no_timestamps_the_declared_rate_counts(
    clip: Path, tmp_path: Path, suffix: str, options: list[str]
) -> None:
    video = encode(clip, tmp_path / f"raw{suffix}", *options)
    assert media_times(video) == pytest.approx([n / FPS for n in range(FRAMES)], abs=0.002)


def test_two_broadcasts_joined_last_as_long_as_both(clip: Path, tmp_path: Path) -> None:
    parts = [
        encode(clip, tmp_path / f"{offset}.ts", "-c:v", "libx264", "-output_ts_offset", offset)
        for offset in ("50", "0")
    ]
    (tmp_path / "joined.ts").write_bytes(b"".join(part.read_bytes() for part in [*parts, parts[0]]))
    assert media_times(tmp_path / "joined.ts") == pytest.approx([n / FPS for n in range(3 * FRAMES)], abs=0.002)


def test_a_browsers_webm_is_answered_as_the_clip_that_it_was_made_of(command: Run, clip: Path, tmp_path: Path) -> None:
    """It declares 1000 frames per second: counted by those, its faces would last a twentieth of a second."""
    webm = browser_webm(clip, tmp_path / "webcam.webm")
    assert cv2.VideoCapture(str(webm)).get(cv2.CAP_PROP_FPS) == 1000
    done = command("fer-run", "--source", webm, "--headless", "--jsonl", "-", "--record", tmp_path / "out.mkv")
    assert done.returncode == 0, done.stderr
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    assert [line["media_time_s"] for line in lines] == pytest.approx([n / FPS for n in range(FRAMES)], abs=0.002)
    assert sum(len(line["faces"]) for line in lines) == 2 * FRAMES
    assert {face["track"] for line in lines for face in line["faces"]} == {1, 2}
    recorded = cv2.VideoCapture(str(tmp_path / "out.mkv"))
    seconds = recorded.get(cv2.CAP_PROP_FRAME_COUNT) / recorded.get(cv2.CAP_PROP_FPS)
    assert seconds == pytest.approx(FRAMES / FPS, rel=0.03)


def test_a_recording_of_a_variable_rate_lasts_as_long_as_its_source(command: Run, clip: Path, tmp_path: Path) -> None:
    video = variable_rate(clip, tmp_path / "variable.mp4", "-c:v", "libx264")
    done = command("fer-run", "--source", video, "--headless", "--record", tmp_path / "out.mkv")
    assert done.returncode == 0, done.stderr
    recorded = cv2.VideoCapture(str(tmp_path / "out.mkv"))
    seconds = recorded.get(cv2.CAP_PROP_FRAME_COUNT) / recorded.get(cv2.CAP_PROP_FPS)
    assert seconds == pytest.approx(KEPT_TIMES[-1], abs=0.25)


def test_a_codec_that_opencv_lacks_is_named(command: Run, clip: Path, tmp_path: Path) -> None:
    """AV1 without a decoder in software, as in the wheels of OpenCV 5."""
    video = encode(clip, tmp_path / "clip.mp4", "-c:v", "libaom-av1", "-cpu-used", "8", "-frames:v", "5")
    done = command("fer-run", "--source", video, "--headless")
    if done.returncode == 0:  # an OpenCV that has one
        assert done.stdout.count('"track"') == 10
    else:
        assert "holds no frame that OpenCV can decode (codec av01)" in done.stderr


def test_max_fps_and_realtime_follow_the_files_own_time(command: Run, clip: Path, tmp_path: Path) -> None:
    video = variable_rate(clip, tmp_path / "variable.webm", "-c:v", "libvpx", "-deadline", "realtime")
    done = command("fer-run", "--source", video, "--headless", "--max-fps", 5)
    times = [json.loads(line)["media_time_s"] for line in done.stdout.splitlines()]
    assert np.diff(times) == pytest.approx([0.2] * (len(times) - 1), abs=0.05)
    assert times[-1] > 3.5
    began = time.monotonic()
    for frame in open_source(str(video), realtime=True).frames():
        assert frame.media_time is not None
        assert time.monotonic() - began >= frame.media_time - 0.01
    assert frame.media_time == pytest.approx(KEPT_TIMES[-1], abs=0.002)
