"""What every command does with its streams: readers that leave, encodings, widths, signals, full disks."""

import json
import os
import signal
import subprocess
import time
from pathlib import Path

import cv2
import pytest

from conftest import BIN, Run, start
from fer_benchmarks.demo_clip import FRAMES
from fer_runtime.model.session import default_model
from helpers.drawn import write_faces
from helpers.following import first_after

COMMANDS = ("fer-run", "fer-doctor", "fer-service", "fer-train", "fer-export", "fer-verify", "fer-bench")


def shell(line: str, cwd: Path, **variables: str) -> subprocess.CompletedProcess[str]:
    """A line of bash, in which the commands of this installation are found."""
    environment = {"PATH": f"{BIN}:/usr/bin:/bin", "HOME": str(cwd)} | variables
    words = ["bash", "-o", "pipefail", "-c", line]
    return subprocess.run(words, capture_output=True, text=True, cwd=cwd, env=environment, check=False)


@pytest.mark.parametrize("reader", ["true", "head -1"])
def test_a_reader_that_leaves_changes_neither_files_nor_exit_code(faces_zip: Path, tmp_path: Path, reader: str) -> None:
    done = shell(f"fer-train audit {faces_zip} --json a.json | {reader}", tmp_path)
    assert done.returncode == 3  # three faces stand in two splits
    assert "also occur in another split" in done.stderr
    assert len(json.loads((tmp_path / "a.json").read_text())["duplicates"]) >= 3
    done = shell(f"fer-verify {default_model()} --json v.json | {reader}", tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    assert json.loads((tmp_path / "v.json").read_text())["ok"]


def test_even_where_errors_are_not_read_either(tmp_path: Path) -> None:
    done = shell("fer-verify missing.onnx 2>&1 | true", tmp_path)
    assert (done.returncode, done.stdout, done.stderr) == (1, "", "")


def test_a_full_disk_behind_standard_output_is_an_error_and_the_report_is_written(tmp_path: Path) -> None:
    done = shell(f"fer-verify {default_model()} --json v.json > /dev/full", tmp_path)
    assert (done.returncode, done.stderr) == (1, "fer-verify: standard output: No space left on device\n")
    assert json.loads((tmp_path / "v.json").read_text())["ok"]


def test_closed_streams_hit_no_file(clip: Path, tmp_path: Path) -> None:
    """Descriptors 0 to 2 that are free would be given to the files that are opened next."""
    done = shell(f"fer-run --source {clip} --headless --max-frames 3 --jsonl f.jsonl <&- >&- 2>&-", tmp_path)
    assert done.returncode == 0
    assert [json.loads(line)["frame"] for line in (tmp_path / "f.jsonl").read_text().splitlines()] == [0, 1, 2]
    done = shell(f"fer-run --source {clip} --headless >&-", tmp_path)
    assert done.returncode == 1
    assert "standard output is closed: give --jsonl FILE" in done.stderr


@pytest.mark.parametrize("encoding", ["latin-1", "euc-jp:strict", "utf-8"])
def test_names_that_the_encoding_lacks(tmp_path: Path, encoding: str) -> None:
    write_faces(tmp_path / "data", "Training", "train", 4, 0)
    (tmp_path / "data" / "train" / "happy").rename(tmp_path / "data" / "train" / "開心")
    (tmp_path / "data" / "train" / "sad").rename(tmp_path / "data" / "train" / "чёрный\u2764")
    done = shell("fer-train audit data --json a.json > out.txt", tmp_path, PYTHONIOENCODING=encoding)
    assert done.returncode == 0, done.stderr
    printed = (tmp_path / "out.txt").read_text(encoding.partition(":")[0])
    assert "neutral" in printed
    assert ("?" in printed) == (encoding != "utf-8")
    assert "開心" in next(iter(json.loads((tmp_path / "a.json").read_text())["class_counts"].values()))


@pytest.mark.parametrize("name", COMMANDS)
@pytest.mark.parametrize(
    "locale", [{"LC_ALL": "C"}, {"LC_ALL": "POSIX"}, {"LANG": "xx_XX"}, {"PYTHONIOENCODING": "ascii"}]
)
def test_help_in_any_locale(tmp_path: Path, name: str, locale: dict[str, str]) -> None:
    done = shell(f"{name} --help", tmp_path, **locale)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith(f"Usage: {name}")


@pytest.mark.parametrize("columns", ["", "0", "-3", "1", "80.5", "²", "wide", "99999999999999999999"])
def test_no_width_is_too_odd(command: Run, columns: str) -> None:
    plain = command("fer-run", "--help").stdout
    done = command("fer-run", "--help", COLUMNS=columns)
    assert (done.returncode, done.stdout) == (0, plain)


@pytest.mark.parametrize("first", [signal.SIGHUP, signal.SIGINT])
@pytest.mark.parametrize("suffix", [".mp4", ".png"])
def test_a_terminal_that_is_closed_loses_no_recording(
    clip: Path, tmp_path: Path, suffix: str, first: signal.Signals
) -> None:
    """The kernel and the shell may send the signal each, a session's end SIGTERM too; Ctrl-C is pressed again."""
    recording, lines = tmp_path / f"out{suffix}", tmp_path / "faces.jsonl"
    run = start("fer-run", "--source", clip, "--realtime", "--headless", "--record", recording, "--jsonl", lines)
    first_after(lines, 0, count=10)
    for number in (first, first, signal.SIGHUP, signal.SIGTERM, signal.SIGINT):
        run.send_signal(number)
        time.sleep(0.01)  # else one that is pending may be handled first
    _, errors = run.communicate(timeout=30)
    assert run.returncode == 128 + first, errors
    assert cv2.VideoCapture(str(recording)).read()[0]


def test_nohup_is_heard(clip: Path, tmp_path: Path) -> None:
    run = f"nohup fer-run --source {clip} --realtime --headless --jsonl f.jsonl & pid=$!"
    wait = "for i in $(seq 300); do [ -s f.jsonl ] && break; sleep 0.1; done"
    done = shell(f"{run}; {wait}; kill -HUP $pid; wait $pid", tmp_path)
    assert done.returncode == 0, done.stderr
    assert len((tmp_path / "f.jsonl").read_text().splitlines()) > 10


def test_quiet_and_verbose(command: Run, clip: Path) -> None:
    run = ["fer-run", "--source", clip, "--headless", "--max-frames", 1]
    assert command(*run, "-q").stderr == ""
    usual, verbose = command(*run).stderr.splitlines(), command(*run, "--verbose").stderr.splitlines()
    assert usual[-1].startswith("fer-run: 1 frames, ")
    assert "fer-run: source: a file, 25 fps" in verbose
    assert set(usual) < set(verbose)
    quiet = command("fer-run", "--source", clip, "--max-frames", 1, "--quiet").stderr  # a warning is no detail
    assert quiet == "fer-run: no window can be opened here, going on as with --headless\n"


def test_a_non_blocking_standard_output_loses_no_line(clip: Path) -> None:
    """As programs leave a terminal that is shared with them; a slow reader's pipe is full now and then."""
    read, write = os.pipe()
    os.set_blocking(write, False)
    words = [str(BIN / "fer-run"), "--source", str(clip), "--headless"]
    run = subprocess.Popen(words, stdout=write, stderr=subprocess.PIPE, text=True)
    os.close(write)
    time.sleep(3)  # until it is full: 64 KiB are some 70 lines
    with os.fdopen(read) as lines:
        assert [json.loads(line)["frame"] for line in lines] == list(range(FRAMES))
    _, errors = run.communicate(timeout=30)
    assert run.returncode == 0, errors


def test_a_current_folder_that_was_removed(tmp_path: Path) -> None:
    removed = "mkdir gone && cd gone && rmdir ../gone"
    done = shell(f"{removed} && fer-run --source x.mp4 --headless", tmp_path)
    assert done.returncode == 1
    assert done.stderr == "fer-run: the current folder was removed: change to one that exists\n"
    done = shell(f"{removed} && fer-verify {default_model()} --json {tmp_path}/v.json", tmp_path)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("option", ["--source", "--jsonl", "--record", "--web", "--mqtt", "--profile", "--model"])
def test_an_empty_value_is_a_usage_error(command: Run, tmp_path: Path, option: str) -> None:
    """As of a shell's variable that was never set: a folder's own name, or no output, would be the silent answer."""
    done = command("fer-run", "--headless", "--max-frames", 1, option, "", cwd=tmp_path)
    assert done.returncode == 2
    assert f"Invalid value for '{option}'" in done.stderr
    assert "it is empty: is a variable not set?" in done.stderr
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("words", [["--source"], ["extra", "--headless", "--source", "0"], ["--jsonl"]])
def test_a_password_is_in_no_usage_error(command: Run, words: list[str]) -> None:
    done = command("fer-run", "rtsp://admin:S3cret-pw@127.0.0.1:9/s", *words)
    assert done.returncode == 2
    assert "S3cret" not in done.stderr
