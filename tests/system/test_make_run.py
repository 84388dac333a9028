"""`make run`: what someone with a Raspberry Pi or a small disk types first, in this installation's own environment."""

import json
import subprocess
from pathlib import Path

import cv2

from conftest import BIN, ROOT, Run

CLIP = ROOT / "docs" / "clip.mp4"
MAX_CLIP_BYTES = 500_000


def make_run(tmp_path: Path, *words: str) -> subprocess.CompletedProcess[str]:
    (tmp_path / "venv").mkdir(exist_ok=True)
    (tmp_path / "venv" / "bin").symlink_to(BIN)
    (tmp_path / "venv" / ".installed").touch()  # newer than pyproject.toml: nothing is installed
    return subprocess.run(
        ["make", "run", f"RUN_VENV={tmp_path / 'venv'}", *words],
        capture_output=True, text=True, cwd=ROOT, env={"PATH": "/usr/bin:/bin", "HOME": str(tmp_path)}, check=False,
    )  # fmt: skip


def test_the_clip_is_small_and_both_faces_are_happy(command: Run) -> None:
    assert CLIP.stat().st_size < MAX_CLIP_BYTES
    done = command("fer-run", "--source", CLIP, "--headless")
    assert done.returncode == 0, done.stderr
    faces = [face for line in done.stdout.splitlines() for face in json.loads(line)["faces"]]
    assert {(face["track"], face["label"]) for face in faces} == {(1, "happy"), (2, "happy")}
    assert len(faces) == 200


def test_make_run_shows_the_clip(tmp_path: Path) -> None:
    done = make_run(tmp_path)
    assert done.returncode == 0, done.stderr
    assert "fer-run works here" in done.stdout
    assert done.stdout.endswith("annotated video: build/run/annotated.mkv\n")
    capture = cv2.VideoCapture(str(ROOT / "build" / "run" / "annotated.mkv"))
    assert capture.read()[0]


def test_make_run_takes_another_source(tmp_path: Path) -> None:
    done = make_run(tmp_path, "SOURCE=97")
    assert done.returncode == 2
    assert "cannot open camera 97" in done.stderr
    assert "--record" not in done.stdout
