"""Videos whose frames OpenCV may hand out unconverted: interlaced ones, as of camcorders, DVDs and broadcasts."""

import json
from pathlib import Path

import cv2
import pytest

from conftest import Run
from fer_benchmarks.demo_clip import render
from fer_runtime.errors import FerError
from fer_runtime.sources.conversion import refuse_unconverted
from helpers.archives import tables, write_video
from helpers.videos import encode

INTERLACED = {
    "film.mkv": ["-c:v", "libx264", "-preset", "ultrafast", "-x264opts", "interlaced=1"],
    "disc.mpg": ["-c:v", "mpeg2video", "-flags", "+ilme+ildct", "-q:v", "3"],
    "tape.avi": ["-target", "pal-dv"],
}


@pytest.mark.system("ffprobe")
def test_an_interlaced_video_is_scored_or_refused(command: Run, clip: Path, tmp_path: Path) -> None:
    """It gave no face and no error, or pieces of the videos that the same process had scored before."""
    folder = tmp_path / "videos"
    folder.mkdir()
    encode(clip, folder / "a.mp4", "-t", "1")
    for name, options in INTERLACED.items():
        encode(clip, folder / name, "-t", "1", *options)
    done = command("fer-score", folder, "--out", tmp_path / "out", "--workers", 1)
    assert done.returncode == 0, done.stderr
    usual, *others = tables(tmp_path / "out")["sources"]
    assert (usual["faces"], usual["error"]) == (50, None)
    assert len(others) == len(INTERLACED)
    for row in others:
        if row["error"]:
            assert "interlaced" in row["error"]
            assert "yadif" in row["error"]
        else:  # this OpenCV converts them
            assert row["faces"] == 50


@pytest.mark.system("ffprobe")
@pytest.mark.parametrize("name", INTERLACED)
def test_an_interlaced_video_is_followed_or_refused(command: Run, clip: Path, tmp_path: Path, name: str) -> None:
    video = encode(clip, tmp_path / name, "-t", "1", *INTERLACED[name])
    done = command("fer-run", "--source", video, "--headless")
    if done.returncode:  # else this OpenCV converts it
        assert done.returncode == 1
        assert "interlaced" in done.stderr
        assert "yadif" in done.stderr
        assert "Traceback" not in done.stderr
    else:
        assert sum(len(json.loads(line)["faces"]) for line in done.stdout.splitlines()) == 50


@pytest.mark.system("ffprobe")
def test_a_video_that_never_changes_is_none_of_those(clip: Path, tmp_path: Path) -> None:
    """Each after an interlaced one of the same size, whose memory it may be given."""
    interlaced = encode(clip, tmp_path / "film.mkv", "-t", "1", *INTERLACED["film.mkv"])
    cv2.imwrite(str(tmp_path / "still.png"), render(0))
    still = encode(tmp_path / "still.png", tmp_path / "still.mp4", "-vf", "loop=30:1", "-pix_fmt", "yuv420p")
    black = encode(tmp_path / "still.png", tmp_path / "black.mp4", "-vf", "loop=30:1,lutyuv=y=16:u=128:v=128")
    write_video(tmp_path / "one_frame.avi", range(1))
    for path in (still, black, tmp_path / "one_frame.avi", still, black):
        try:
            refuse_unconverted(interlaced)
        except FerError as error:
            assert "yadif" in str(error)  # noqa: PT017 - an older OpenCV converts it
        refuse_unconverted(path)
