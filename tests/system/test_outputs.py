"""Recordings and JSON lines when the disk fills, when a limit is met, and when the run is killed."""

import re
import signal
import subprocess
from pathlib import Path

import pytest

from conftest import BIN, start
from fer_benchmarks.demo_clip import FRAMES
from helpers.following import decoded, first_after, opened
from helpers.jsonl import read_lines

pytestmark = pytest.mark.system  # those without a mark of their own need no program
# A disk of its own that vanishes with the process, and what was on it at the end.
ON_A_SMALL_DISK = """
mount -t tmpfs -o size="$1" tmpfs "$2" || exit 99
shift 2
cd "$1" && shift
"$@"
code=$?
cp -r . "$KEPT"
exit $code
"""


def on_a_small_disk(tmp_path: Path, size: str, *command: object) -> tuple[subprocess.CompletedProcess[str], Path]:
    """Run a command in a new tmpfs of `size`: how it ended, and a folder with what it left there."""
    disk, kept = tmp_path / "disk", tmp_path / "kept"
    disk.mkdir()
    kept.mkdir()
    namespace = ["unshare", "--map-root-user", "--mount", "sh", "-c", ON_A_SMALL_DISK, "sh", size, disk, disk]
    done = subprocess.run(
        list(map(str, [*namespace, *command])),
        capture_output=True, text=True, env={"KEPT": str(kept), "PATH": "/usr/bin:/bin:/usr/sbin:/sbin"}, check=False,
    )  # fmt: skip
    return done, kept


def last_line(errors: str) -> str:
    """The one sentence of an error."""
    assert "Traceback" not in errors
    return [line for line in errors.splitlines() if line.startswith("fer-run: ")][-1]


@pytest.mark.system("unshare", "ffprobe")
@pytest.mark.parametrize("suffix", [".mkv", ".avi", ".mp4"])
def test_a_disk_that_fills_ends_a_recording_that_plays(clip: Path, tmp_path: Path, suffix: str) -> None:
    name = f"out{suffix}"
    run = [BIN / "fer-run", "--source", clip, "--headless", "--record", name, "--jsonl", "faces.jsonl"]
    done, kept = on_a_small_disk(tmp_path, "17m", *run)
    assert done.returncode == 1, done.stderr
    told = re.search(rf"--record {name} ends after (\d+) frames: the disk has .* MiB left", last_line(done.stderr))
    assert told
    written = int(told[1])
    assert 5 < written < FRAMES
    assert opened(kept / name) == decoded(kept / name) == written
    answered = read_lines(kept / "faces.jsonl")
    assert len(answered) == (kept / "faces.jsonl").read_text().count("\n") >= written


@pytest.mark.system("unshare")
def test_no_recording_is_begun_on_a_disk_that_is_all_but_full(clip: Path, tmp_path: Path) -> None:
    run = [BIN / "fer-run", "--source", clip, "--headless", "--record", "out.mkv"]
    done, kept = on_a_small_disk(tmp_path, "8m", *run)
    assert done.returncode == 1
    assert "--record out.mkv ends after 0 frames: the disk has 8.0 MiB left" in last_line(done.stderr)
    assert list(kept.iterdir()) == []


@pytest.mark.system("unshare")
def test_a_disk_that_fills_leaves_whole_json_lines(clip: Path, tmp_path: Path) -> None:
    run = [BIN / "fer-run", "--source", clip, "--headless", "--jsonl", "faces.jsonl"]
    done, kept = on_a_small_disk(tmp_path, "32k", *run)
    assert done.returncode == 1, done.stderr
    stopped = re.search(r"--jsonl faces.jsonl stopped at frame (\d+): No space left on device", last_line(done.stderr))
    assert stopped
    answered = read_lines(kept / "faces.jsonl")
    assert len(answered) == (kept / "faces.jsonl").read_text().count("\n") == int(stopped[1]) > 5
    assert (kept / "faces.jsonl").read_bytes().endswith(b"\n")


@pytest.mark.parametrize("suffix", [".mkv", ".avi", ".mp4"])
def test_a_file_that_may_not_grow_is_told_of(clip: Path, tmp_path: Path, suffix: str) -> None:
    """A limit on the file's size (RLIMIT_FSIZE; FAT's 4 GB are alike): OpenCV goes on without a word."""
    run = f"ulimit -f 600; exec {BIN}/fer-run --source {clip} --headless --record {tmp_path}/out{suffix}"
    done = subprocess.run(["bash", "-c", run], capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "the system took no more of it, and its index is missing" in last_line(done.stderr)


def test_a_recording_that_grows_no_more_is_ended_before_the_source_ends(tmp_path: Path) -> None:
    program = f"""
import resource, sys
import numpy as np
from pathlib import Path
from fer_runtime.outputs.recording import MAX_STALLED_FRAMES, open_recording
from fer_runtime.types import Result
resource.setrlimit(resource.RLIMIT_FSIZE, (400_000, 400_000))
recorder = open_recording(Path({str(tmp_path / "out.mkv")!r}), 25)
picture = np.zeros((64, 64, 3), np.uint8)
for index in range(3 * MAX_STALLED_FRAMES):
    recorder.write(picture, Result(index, "", 1.0, ()))
"""
    done = subprocess.run([BIN / "python", "-c", program], capture_output=True, text=True, check=False)
    assert done.returncode == 1
    ended = re.search(r"ends after (\d+) frames: the system takes no more of it", done.stderr)
    assert ended
    assert 30_000 < int(ended[1]) < 35_000


def test_a_recording_that_is_removed_is_told_of(clip: Path, tmp_path: Path) -> None:
    recording = tmp_path / "out.mkv"
    outputs = ["--record", recording, "--jsonl", tmp_path / "faces.jsonl"]
    run = start("fer-run", "--source", clip, "--realtime", "--headless", *outputs)
    first_after(tmp_path / "faces.jsonl", 0)
    recording.unlink()
    _, errors = run.communicate(timeout=60)
    assert run.returncode == 1
    assert "the file was removed while it was written" in last_line(errors)


@pytest.mark.system("ffprobe")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_a_recording_plays_and_lines_are_whole_after(number: signal.Signals, long_clip: Path, tmp_path: Path) -> None:
    lines, recording = tmp_path / "faces.jsonl", tmp_path / "out.mkv"
    outputs = ["--jsonl", lines, "--record", recording]
    run = start("fer-run", "--source", long_clip, "--headless", *outputs)
    first_after(lines, 0, count=60)
    run.send_signal(number)
    _, errors = run.communicate(timeout=30)
    code = {signal.SIGINT: 130, signal.SIGTERM: 143, signal.SIGKILL: -9}[number]
    assert run.returncode == code, errors
    assert "Traceback" not in errors
    answered = len(read_lines(lines))
    assert lines.read_bytes().endswith(b"\n")
    assert answered == lines.read_text().count("\n") >= 60
    frames = opened(recording)
    assert abs(frames - decoded(recording)) <= 1
    if number == signal.SIGKILL:  # what the writer held in its buffer of 256 KiB is lost
        assert answered - 20 <= frames <= answered + 1
    else:
        assert abs(frames - answered) <= 1


@pytest.fixture(scope="module")
def long_clip(clip: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The clip five times over: long enough to be killed in."""
    path = tmp_path_factory.mktemp("long") / "long.mp4"
    subprocess.run(["ffmpeg", "-loglevel", "error", "-stream_loop", "4", "-i", clip, "-c", "copy", path], check=True)
    return path
