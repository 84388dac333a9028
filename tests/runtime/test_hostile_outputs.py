"""Outputs that are inputs, links, devices, closed or full: nothing is lost, and one sentence says what is wrong."""

import json
import os
import shutil
import signal
import subprocess
import time
from pathlib import Path
from typing import Any

import cv2

from conftest import BIN, Run, start
from fer_benchmarks.demo_clip import render
from fer_runtime.model.session import Classifier
from helpers.failures import fails


def test_an_output_that_is_an_input_is_refused(
    command: Run, exported: dict[str, Path], trained: Path, clip: Path, tmp_path: Path
) -> None:
    video, model = shutil.copy(clip, tmp_path / "in.mp4"), shutil.copy(exported["fp32"], tmp_path / "m.onnx")
    weights = shutil.copy(trained / "model.pt", tmp_path / "m.pt")
    (tmp_path / "photos").mkdir()
    cv2.imwrite(str(tmp_path / "photos" / "a.png"), render(0))
    before = {path: path.read_bytes() for path in tmp_path.rglob("*.*")}
    run = ["--source", video, "--model", model, "--headless"]
    cases: list[tuple[str, list[Any]]] = [
        ("fer-run", [*run, "--jsonl", video]),
        ("fer-run", [*run, "--record", video]),
        ("fer-run", [*run, "--jsonl", model]),
        ("fer-run", [*run, "--record", tmp_path / "a.mkv", "--jsonl", tmp_path / "a.mkv"]),
        ("fer-export", [weights, "--out", weights]),
        ("fer-export", [weights, "--out", tmp_path / "b.onnx", "--json", weights]),
        ("fer-run", ["--source", tmp_path / "photos", "--headless", "--record", tmp_path / "photos" / "a.png"]),
        ("fer-export", [weights, "--json", tmp_path / "m.onnx", "--out", tmp_path / "m.onnx"]),
        ("fer-bench", [model, "--json", model]),
        ("fer-train", ["evaluate", weights, tmp_path, "--json", weights]),
    ]
    for name, arguments in cases:
        fails(command(name, *arguments), "give the output another name")
    done = command("fer-export", shutil.copy(weights, tmp_path / "model.onnx"), cwd=tmp_path)  # its default output
    fails(done, "give the output another name")
    (tmp_path / "model.onnx").unlink()
    assert {path: path.read_bytes() for path in tmp_path.rglob("*.*")} == before


def test_links_stay_links_and_devices_devices(command: Run, trained: Path, tmp_path: Path) -> None:
    (tmp_path / "link.onnx").symlink_to(tmp_path / "target.onnx")
    os.mkfifo(tmp_path / "pipe.onnx")
    assert command("fer-export", trained / "model.pt", "--out", tmp_path / "link.onnx").returncode == 0
    assert (tmp_path / "link.onnx").is_symlink()
    Classifier(tmp_path / "target.onnx")
    fails(command("fer-export", trained / "model.pt", "--out", tmp_path / "pipe.onnx"), "is a folder or a device")
    assert (tmp_path / "pipe.onnx").is_fifo()


def test_a_run_without_a_frame_leaves_old_lines_alone(command: Run, tmp_path: Path) -> None:
    (tmp_path / "old.jsonl").write_text("old\n")
    (tmp_path / "broken.png").write_text("no picture")
    done = command("fer-run", "--source", "broken.png", "--headless", "--jsonl", "old.jsonl", cwd=tmp_path)
    fails(done, "cannot be decoded")
    assert (tmp_path / "old.jsonl").read_text() == "old\n"


def test_a_report_that_cannot_be_written_stops_the_export(command: Run, trained: Path, tmp_path: Path) -> None:
    fails(command("fer-export", trained / "model.pt", "--json", "no/report.json", cwd=tmp_path), "cannot write")
    assert list(tmp_path.iterdir()) == []


def test_closed_and_full_standard_output(clip: Path, exported: dict[str, Path]) -> None:
    run, bench = BIN / "fer-run", BIN / "fer-bench"
    for script, message in [
        (f"{run} --source {clip} --headless >&-", "standard output is closed"),
        (f"{run} --source {clip} --headless >/dev/full", "stopped at frame 0"),
        (f"{bench} {exported['int8']} --duration 0.1 >/dev/full", "No space left on device"),
    ]:
        fails(subprocess.run(["bash", "-c", script], capture_output=True, text=True, check=False), message)


def test_lines_appended_to_a_log_take_nothing_from_it(clip: Path, tmp_path: Path) -> None:
    """On a full disk (here: a limit on the file's size) only this run's cut line is taken back."""
    log = tmp_path / "log"
    log.write_text("x" * 5000 + "\n")
    script = f"ulimit -f 6; {BIN / 'fer-run'} --source {clip} --headless >> {log}"
    done = subprocess.run(["bash", "-c", script], capture_output=True, text=True, check=False)
    fails(done, "stopped at frame")
    lines = log.read_text().splitlines()
    assert lines[0] == "x" * 5000
    assert [json.loads(line)["frame"] for line in lines[1:]] == list(range(len(lines) - 1))


def test_sigterm_finishes_recordings(clip: Path, tmp_path: Path) -> None:
    lines, video = tmp_path / "faces.jsonl", tmp_path / "out.mp4"
    outputs = ["--headless", "--jsonl", str(lines), "--record", str(video)]
    process = start("fer-run", "--source", clip, *outputs)
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline and not (lines.exists() and lines.read_text().count("\n") > 4):
        time.sleep(0.01)
    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=30)
    assert process.returncode == 143
    capture = cv2.VideoCapture(str(video))
    assert all(capture.read()[0] for _ in range(5))
