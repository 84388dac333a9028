"""Input that means harm, or just bad luck: one sentence, the right exit code, and nothing lost."""

import json
import os
import signal
import subprocess
import sys
import time
import zipfile
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest

from conftest import Run, start
from fer_benchmarks.demo_clip import render
from helpers.drawn import draw_face
from helpers.failures import fails


def test_a_dead_display_is_no_reason_to_die(command: Run, clip: Path) -> None:
    done = command("fer-run", "--source", clip, "--max-frames", 2, DISPLAY=":99")
    assert done.returncode == 0, done.stderr
    assert "no window can be opened here" in done.stderr
    assert len(done.stdout.splitlines()) == 2


def test_strange_pictures(command: Run, tmp_path: Path) -> None:
    """One pixel, a line, odd sides, sixteen bits, gigapixels, a pipe, a dead link: what can be decoded is answered."""
    shapes = {"a": (1, 1), "b": (1, 5000), "c": (5000, 1), "d": (2, 20_000), "e": (243, 321)}
    for name, (height, width) in shapes.items():
        cv2.imwrite(str(tmp_path / f"{name}.png"), np.full((height, width, 3), 99, np.uint8))
    cv2.imwrite(str(tmp_path / "f.png"), render(0).astype(np.uint16) * 256)
    huge = bytearray(cv2.imencode(".bmp", np.zeros((2, 2, 3), np.uint8))[1].tobytes())
    huge[18:26] = (60_000).to_bytes(4, "little") * 2
    (tmp_path / "g.bmp").write_bytes(huge)
    os.mkfifo(tmp_path / "h.jpg")
    (tmp_path / "i.jpg").symlink_to(tmp_path / "gone.jpg")
    video = tmp_path / "out.mkv"
    done = command("fer-run", "--source", tmp_path, "--headless", "--record", video, "--jsonl", "-")
    assert done.returncode == 0, done.stderr
    found = {row["name"]: len(row["faces"]) for row in map(json.loads, done.stdout.splitlines())}
    assert found == {"a.png": 0, "b.png": 0, "c.png": 0, "d.png": 0, "e.png": 0, "f.png": 2}
    assert "1 pictures cannot be decoded" in done.stderr
    capture = cv2.VideoCapture(str(video))
    assert [capture.read()[0] for _ in range(7)] == [True] * 6 + [False]


@pytest.mark.parametrize("source", ["²", "99999999999999999999", "-1"])
def test_strange_cameras(command: Run, source: str, tmp_path: Path) -> None:
    fails(command("fer-run", "--source", source, "--headless", cwd=tmp_path), "does not exist")


def strange_zip(path: Path, harm: Callable[[bytearray], object], method: int = zipfile.ZIP_STORED) -> Path:
    face = cv2.imencode(".png", draw_face("sad", np.random.RandomState(0)))[1].tobytes()
    with zipfile.ZipFile(path, "w", method) as archive:
        for mood in ("happy", "sad"):
            archive.writestr(f"train/{mood}/1.png", face)
    data = bytearray(path.read_bytes())
    harm(data)
    path.write_bytes(data)
    return path


def test_strange_zips(command: Run, trained: Path, tmp_path: Path) -> None:
    def version_99(data: bytearray) -> None:
        start = data.index(b"PK\x01\x02")
        data[start + 6 : start + 8] = (99).to_bytes(2, "little")

    def broken_lzma(data: bytearray) -> None:
        data[60:80] = bytes(20)

    model = trained / "model.pt"
    fails(command("fer-train", "evaluate", model, strange_zip(tmp_path / "v.zip", version_99)), "cannot read")
    done = command("fer-train", "evaluate", model, strange_zip(tmp_path / "l.zip", broken_lzma, zipfile.ZIP_LZMA))
    assert done.returncode == 0, done.stderr
    assert "1 images cannot be decoded" in done.stderr
    fails(command("fer-train", "evaluate", model, "/dev/zero"), "neither a folder nor a complete zip")


def test_one_image_a_class_is_too_few(command: Run, tmp_path: Path) -> None:
    strange_zip(tmp_path / "ones.zip", lambda data: data)
    fails(command("fer-train", "fit", tmp_path / "ones.zip", "--out", tmp_path / "out"), "one image a class")
    assert not (tmp_path / "out").exists()


def test_a_worker_that_dies_fails_the_benchmark(exported: dict[str, Path], tmp_path: Path) -> None:
    process = start("fer-bench", *[exported["fp32"]] * 8, "--json", tmp_path / "bench.json")
    children = Path(f"/proc/{process.pid}/task/{process.pid}/children")
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline and len(children.read_text().split()) < 8:
        time.sleep(0.02)
    os.kill(int(children.read_text().split()[0]), signal.SIGKILL)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 1
    assert "failed: exit code -9" in errors
    assert list(tmp_path.iterdir()) == []


def test_files_in_the_current_folder_are_not_imported(command: Run, exported: dict[str, Path], tmp_path: Path) -> None:
    (tmp_path / "random.py").write_text("raise SystemExit('shadowed')")
    done = command("fer-bench", exported["int8"], "--duration", 0.1, cwd=tmp_path)
    assert done.returncode in (0, 3), done.stderr  # 3: the tests' machine may be too noisy


def test_thread_counts_are_bounded(command: Run, exported: dict[str, Path]) -> None:
    assert command("fer-bench", exported["int8"], "--threads", 100_000).returncode == 2
    assert command("fer-run", "--threads", 0).returncode == 2


def test_faults_of_ours_are_one_sentence_too(exported: dict[str, Path], tmp_path: Path) -> None:
    program = f"""
import sys
sys.argv = ["fer-run", "--model", {str(exported["fp32"])!r}, "--source", ".", "--headless"]
from fer_runtime.cli import run
from fer_runtime.model import session
def broken(*_):
    raise ZeroDivisionError("a fault")
session.Classifier.__init__ = broken
run.main()
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, cwd=tmp_path, check=False)
    assert done.returncode == 1
    assert "unexpected ZeroDivisionError: a fault" in done.stderr
    assert "Traceback" not in done.stderr
