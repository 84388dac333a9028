"""Power cuts while fer-run records to ext4.

A cut: the machine is stopped between two of its instructions and its disk copied; what its memory held is lost, as
with a pulled plug. The disks are checked here: e2fsck replays the journal as a mount does, then finds nothing.
"""

import json
import subprocess
from dataclasses import dataclass
from datetime import datetime
from itertools import pairwise
from pathlib import Path

import cv2
import pytest

from helpers.board import BIN, Board

MAX_LOST_S = 15.0  # what is written is on the disk five seconds later, or at the next result where that takes longer
WORDS = "--source 0 --size 640x480 --fps 5 --record /data/all.mkv --jsonl /data/all.jsonl"


@dataclass(frozen=True)
class Cut:
    """A disk after a power cut, and the JSON lines that had been written by then."""

    disk: Path
    lines: list[dict[str, str]]


@pytest.fixture(scope="module")
def cuts(board: Board, tmp_path_factory: pytest.TempPathFactory) -> list[Cut]:
    """A cut 40 seconds into a run, as the system alone would not have written by then; at length 19 more.

    After the last one the machine boots again.
    """
    folder = tmp_path_factory.mktemp("cuts")
    board.plug()
    board.ok("mountpoint -q /data || mount /dev/vdb /data; rm -f /data/all.*")
    board.start("all", WORDS)
    board.until("[ -s /data/all.jsonl ]")
    found = []
    for number in range(20 if board.whole else 1):
        board.ok(f"sleep {5 if number else 40}")
        lines = board.lines("/data/all.jsonl")
        board.machine.copy_data(folder / f"{number}.ext4")
        found.append(Cut(folder / f"{number}.ext4", lines))
    board.machine.cut_power()
    board.machine.boot()
    return found


def test_file_systems_are_clean_after_a_cut(cuts: list[Cut]) -> None:
    for cut in cuts:
        assert subprocess.run(["e2fsck", "-p", cut.disk], capture_output=True, check=False).returncode in (0, 1)
        clean = subprocess.run(["e2fsck", "-f", "-n", cut.disk], capture_output=True, text=True, check=False)
        assert clean.returncode == 0, clean.stdout


def test_json_lines_are_whole_and_reach_to_the_last_seconds(cuts: list[Cut], tmp_path: Path) -> None:
    for cut in cuts:
        data = kept(cut, "all.jsonl", tmp_path).read_bytes().rstrip(b"\0")  # zeros: lines that were lost
        assert data.endswith(b"\n")
        left = [json.loads(line) for line in data.splitlines()]
        assert left[: len(cut.lines)] == cut.lines[: len(left)]
        assert seconds(left[-1], cut.lines[-1]) <= MAX_LOST_S + longest_gap(cut.lines)


def test_recordings_play_to_the_last_seconds(cuts: list[Cut], tmp_path: Path) -> None:
    for cut in cuts:
        video = cv2.VideoCapture(str(kept(cut, "all.mkv", tmp_path)), cv2.CAP_FFMPEG)
        frames = 0
        while video.read()[0]:
            frames += 1
        lost = seconds(cut.lines[0], cut.lines[-1]) - frames / video.get(cv2.CAP_PROP_FPS)
        assert lost <= MAX_LOST_S + longest_gap(cut.lines), (frames, len(cut.lines))


def test_after_a_boot_the_next_run_appends_and_records_beside(cuts: list[Cut], board: Board) -> None:
    assert cuts
    board.plug()
    board.ok("mount /dev/vdb /data")
    before = [json.loads(line) for line in board.ok("tr -d '\\000' < /data/all.jsonl").splitlines()]
    done = board.run(f"{BIN}/fer-run --headless --max-frames 2 {WORDS}")
    assert done.code == 0, done.err
    after = board.lines("/data/all.jsonl")
    assert after[:-2] == before
    assert after[-1]["run"] == after[-2]["run"] != before[-1]["run"]
    assert board.ok("ls /data/*.mkv").split() == ["/data/all-2.mkv", "/data/all.mkv"]


def kept(cut: Cut, name: str, folder: Path) -> Path:
    """A file of the disk, copied out of it."""
    copy = folder / f"{cut.disk.stem}-{name}"
    subprocess.run(["debugfs", "-R", f"dump /{name} {copy}", cut.disk], capture_output=True, check=True)
    return copy


def longest_gap(lines: list[dict[str, str]]) -> float:
    """Seconds between two results: one or two, and more on a machine so busy that the emulated one hardly runs."""
    return max((seconds(*pair) for pair in pairwise(lines)), default=0.0)


def seconds(first: dict[str, str], last: dict[str, str]) -> float:
    """From one line's frame to another's."""
    return (datetime.fromisoformat(last["time"]) - datetime.fromisoformat(first["time"])).total_seconds()
