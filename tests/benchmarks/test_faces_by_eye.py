"""Faces drawn by eye, and what of them a run has."""

import subprocess
import sys
from pathlib import Path

from fer_benchmarks.demo_clip import placements
from fer_benchmarks.pipeline.faces_by_eye import EVERY, KINDS, Readers, Seen, compare, drawn, readers
from fer_benchmarks.pipeline.throughput import VideoRun, full_speed
from fer_runtime.types import Box

FRONT, SIDE = KINDS.values()


def test_every_box_is_of_a_frame_that_was_looked_at_and_inside_it() -> None:
    for video, (width, height) in {
        "one_person.mp4": (596, 336),
        "people.mp4": (1920, 1080),
        "no_faces.mp4": (768, 432),
    }.items():
        for frame, faces in drawn(video).items():
            assert frame % EVERY == 0
            for (x, y, w, h), _ in faces:
                assert x >= 0 <= y
                assert x + w <= width
                assert y + h <= height
                assert h >= 39


def test_what_a_run_has_of_them_is_counted_by_kind_and_the_rest_is_further() -> None:
    face, other = (100, 100, 60, 80), (300, 100, 60, 80)
    found = VideoRun(boxes={(0, 1): (105, 95, 60, 80), (0, 2): (500, 0, 9, 9), (5, 1): face, (10, 1): face}, frames=11)
    faces: dict[int, list[tuple[Box, str]]] = {0: [(face, FRONT), (other, SIDE)], 10: [(other, FRONT)]}
    assert compare(found, faces) == Seen({FRONT: 1, SIDE: 0}, {FRONT: 2, SIDE: 1}, further=2)


def test_two_readers_of_the_same_frames_are_held_against_each_other() -> None:
    """The figures are those of an independent program that compared the two files."""
    assert readers("one_person.mp4") == Readers(frames=8, both=8, one=0, overlap=0.789, overlap_p5=0.767)
    assert readers("people.mp4") == Readers(frames=11, both=54, one=8, overlap=0.779, overlap_p5=0.644)
    assert readers("no_faces.mp4") is None


def test_the_faces_of_the_clip_are_found(clip: Path) -> None:
    faces = {frame: [(placed.face, FRONT) for placed in placements(frame)] for frame in range(0, 100, EVERY)}
    assert compare(full_speed(clip, 0.4), faces) == Seen({FRONT: 20}, {FRONT: 20}, further=0)


def test_a_video_whose_faces_nobody_drew_is_named(tmp_path: Path) -> None:
    (tmp_path / "other.mp4").write_bytes(b"video")
    command = [sys.executable, "-m", "fer_benchmarks.pipeline.faces_by_eye", str(tmp_path / "other.mp4")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 1
    assert "nobody has drawn the faces of other.mp4" in done.stderr
