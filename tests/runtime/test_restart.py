"""What the last run wrote stays, whatever the next one is asked for; files that move or vanish meanwhile."""

import json
import shutil
import subprocess
from pathlib import Path

import cv2
import numpy as np
import pytest

from conftest import ROOT, Run, start
from fer_benchmarks.demo_clip import FRAMES
from helpers.following import first_after
from helpers.jsonl import Line, read_lines


def runs(path: Path) -> dict[str, list[Line]]:
    """The lines of a file, by run."""
    found: dict[str, list[Line]] = {}
    for line in read_lines(path):
        found.setdefault(line.run, []).append(line)
    return found


def frames(path: Path) -> int:
    capture = cv2.VideoCapture(str(path))
    count = 0
    while capture.read()[0]:
        count += 1
    return count


def test_a_restart_appends_lines_and_takes_the_next_free_name(command: Run, clip: Path, tmp_path: Path) -> None:
    run = ["fer-run", "--source", clip, "--headless", "--jsonl", "day.jsonl"]
    assert command(*run, "--record", "day.mkv", cwd=tmp_path).returncode == 0
    first = (tmp_path / "day.mkv").read_bytes()
    for number in (2, 3):
        done = command(*run, "--record", "day.mkv", "--max-frames", number, cwd=tmp_path)
        assert done.returncode == 0, done.stderr
        assert f"fer-run: day.mkv exists already: writing day-{number}.mkv" in done.stderr
        assert "fer-run: day.jsonl has lines of earlier runs: appending" in done.stderr
    assert [[line.frame for line in lines] for lines in runs(tmp_path / "day.jsonl").values()] == [
        list(range(FRAMES)),
        [0, 1],
        [0, 1, 2],
    ]
    assert (tmp_path / "day.mkv").read_bytes() == first
    assert [frames(tmp_path / name) for name in ("day.mkv", "day-2.mkv", "day-3.mkv")] == [FRAMES, 2, 3]


def test_a_picture_takes_the_next_free_name_too(command: Run, clip: Path, tmp_path: Path) -> None:
    for _ in range(2):
        outputs = ["--record", tmp_path / "last.png", "--max-frames", 1]
        assert command("fer-run", "--source", clip, "--headless", *outputs).returncode == 0
    assert sorted(path.name for path in tmp_path.iterdir()) == ["last-2.png", "last.png"]
    assert (tmp_path / "last.png").read_bytes() == (tmp_path / "last-2.png").read_bytes()


def test_two_runs_at_once_on_the_same_files(clip: Path, tmp_path: Path) -> None:
    lines = tmp_path / "day.jsonl"
    outputs = ["--jsonl", lines, "--record", tmp_path / "day.avi"]
    both = [start("fer-run", "--source", clip, "--headless", *outputs) for _ in range(3)]
    assert [run.wait(120) for run in both] == [0, 0, 0]
    assert [[line.frame for line in each] for each in runs(lines).values()] == [list(range(FRAMES))] * 3
    assert [frames(tmp_path / name) for name in ("day.avi", "day-2.avi", "day-3.avi")] == [FRAMES] * 3


def test_a_line_cut_by_a_power_cut_spoils_no_other(command: Run, clip: Path, tmp_path: Path) -> None:
    lines = tmp_path / "day.jsonl"
    lines.write_text('{"schema": 3, "fra')
    assert command("fer-run", "--source", clip, "--headless", "--max-frames", 2, "--jsonl", lines).returncode == 0
    cut, *whole = lines.read_text().splitlines()
    assert cut == '{"schema": 3, "fra'
    assert [json.loads(line)["frame"] for line in whole] == [0, 1]


@pytest.mark.parametrize("left", ['{"frame": 7}\n', '{"frame": 7}', ""])
def test_zeros_left_by_a_power_cut_are_removed(command: Run, clip: Path, tmp_path: Path, left: str) -> None:
    """ext4 leaves them in place of the last lines."""
    lines = tmp_path / "day.jsonl"
    lines.write_bytes(left.encode() + bytes(200_000))
    done = command("fer-run", "--source", clip, "--headless", "--max-frames", 2, "--jsonl", lines)
    assert done.returncode == 0
    assert "day.jsonl ended in 200000 zeros, as after a power cut: they are removed" in done.stderr
    assert [json.loads(line)["frame"] for line in lines.read_text().splitlines()] == [7, 0, 1][not left :]


@pytest.mark.parametrize("moved", [True, False])
def test_lines_go_on_when_their_file_is_rotated_or_removed(clip: Path, tmp_path: Path, moved: bool) -> None:
    lines, old = tmp_path / "day.jsonl", tmp_path / "day.jsonl.1"
    run = start("fer-run", "--source", clip, "--realtime", "--headless", "--jsonl", lines)
    first_after(lines, 0, count=5)
    if moved:
        lines.rename(old)
    else:
        lines.unlink()
    _, errors = run.communicate(timeout=60)
    assert run.returncode == 0, errors
    assert errors.count("was moved or removed: further lines go to a new file of this name") == 1
    rest = [json.loads(line)["frame"] for line in lines.read_text().splitlines()]
    assert len(rest) > 5
    if moved:
        before = [json.loads(line)["frame"] for line in old.read_text().splitlines()]
        assert before[0] == 0
        assert before[-1] < rest[0]


@pytest.mark.parametrize("name", ["file:day.mkv", "pipe:1.avi", "http:day.mp4", "a:b%03d.mkv", "-x.mkv", "%d.png"])
def test_a_name_is_a_name(command: Run, clip: Path, tmp_path: Path, name: str) -> None:
    """FFmpeg reads protocols from a name's start, OpenCV numbers from its signs."""
    for other in ("day.mkv", "day.mp4", "000.png"):
        (tmp_path / other).write_text("mine")
    done = command("fer-run", "--source", clip, "--headless", "--max-frames", 3, f"--record={name}", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    recording = tmp_path / name
    if name.endswith(".png"):
        assert cv2.imdecode(np.fromfile(recording, np.uint8), cv2.IMREAD_COLOR) is not None
    else:
        assert frames(recording) == 3
    assert [(tmp_path / other).read_text() for other in ("day.mkv", "day.mp4", "000.png")] == ["mine"] * 3
    assert len(list(tmp_path.iterdir())) == 4


@pytest.mark.parametrize("output", ["--jsonl", "--record"])
def test_a_folder_that_vanishes_ends_the_run_with_a_sentence(clip: Path, tmp_path: Path, output: str) -> None:
    folder = tmp_path / "stick"
    folder.mkdir()
    lines = tmp_path / "lines.jsonl"
    outputs = [output, folder / "out.mkv"] + (["--jsonl", lines] if output == "--record" else [])
    run = start("fer-run", "--source", clip, "--realtime", "--headless", *outputs)
    first_after(lines if output == "--record" else folder / "out.mkv", 0, count=5)
    shutil.rmtree(folder)
    _, errors = run.communicate(timeout=60)
    assert run.returncode == 1
    last = errors.splitlines()[-1]
    assert last.startswith("fer-run: ")
    assert "No such file or directory" in last or "the file was removed" in last
    assert str(folder / "out.mkv") in last


def test_make_demo_removes_its_own_outputs_first() -> None:
    """As otherwise its second run would show the first one's recording, and 200 lines."""
    done = subprocess.run(["make", "-n", "demo"], capture_output=True, text=True, cwd=ROOT, check=True)
    lines = done.stdout.splitlines()
    (removal,) = [index for index, line in enumerate(lines) if line.startswith("rm ")]
    runs = [line for line in lines if "fer-run" in line and not line.startswith("rm ")]
    assert runs
    assert removal < lines.index(runs[0])
    for words in map(str.split, runs):
        for option in {"--record", "--jsonl"} & set(words):
            written = Path(words[words.index(option) + 1])
            assert any(written.match(pattern) for pattern in lines[removal].split() if "/" in pattern), written
