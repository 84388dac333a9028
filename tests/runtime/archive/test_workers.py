"""Runs that are killed go on; workers that die, hang or grow are replaced, and cost one file at most."""

import os
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import cv2
import pyarrow.parquet as pq
import pytest

from conftest import Run, start
from fer_benchmarks.demo_clip import render
from fer_runtime.archive import pool
from fer_runtime.archive.messages import Setup
from fer_runtime.archive.scoring import ScoringOptions
from helpers.archives import children, tables, write_video


def is_alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except FileNotFoundError:
        return False


def wait_for(what: "Iterator[bool]") -> None:
    deadline = time.monotonic() + 60
    while not next(what):
        assert time.monotonic() < deadline
        time.sleep(0.02)


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """More files than one unit takes."""
    folder = tmp_path_factory.mktemp("archive")
    for number in range(70):
        cv2.imwrite(str(folder / f"{number:02}.jpg"), render(number)[::2, ::2])
    write_video(folder / "a.avi", range(10, 40))
    return folder


@pytest.fixture(scope="module")
def whole(command: Run, archive: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("whole") / "out"
    assert command("fer-score", archive, "--out", out).returncode == 0
    return out


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGINT, signal.SIGTERM])
def test_a_run_that_is_stopped_goes_on(
    command: Run, archive: Path, whole: Path, tmp_path: Path, number: signal.Signals
) -> None:
    """The result is that of a run that was left alone, and no worker is left behind."""
    process = start("fer-score", archive, "--out", tmp_path / "out", "--workers", 2)
    wait_for(any((tmp_path / "out").glob("unfinished/*.sources.parquet")) for _ in iter(int, 1))
    workers = children(process.pid)
    process.send_signal(number)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == {signal.SIGKILL: -9, signal.SIGINT: 130, signal.SIGTERM: 143}[number]
    if number == signal.SIGINT:
        assert "the same command goes on" in errors
    assert "Traceback" not in errors
    assert len(workers) == 2
    wait_for(not any(map(is_alive, workers)) for _ in iter(int, 1))
    assert command("fer-score", archive, "--out", tmp_path / "out").returncode == 0
    assert tables(tmp_path / "out") == tables(whole)


def test_two_runs_do_not_share_a_folder(command: Run, archive: Path, tmp_path: Path) -> None:
    process = start("fer-score", archive, "--out", tmp_path / "out")
    wait_for((tmp_path / "out" / "dataset.json").exists() for _ in iter(int, 1))
    done = command("fer-score", archive, "--out", tmp_path / "out")
    assert done.returncode == 1
    assert "another fer-score writes" in done.stderr
    process.kill()
    process.communicate()


def test_a_worker_that_dies_is_replaced(archive: Path, whole: Path, tmp_path: Path) -> None:
    """Killed once by others, as when memory is short: every file has its rows even so."""
    process = start("fer-score", archive, "--out", tmp_path / "out", "--workers", 2)
    wait_for((tmp_path / "out" / "dataset.json").exists() for _ in iter(int, 1))
    for pid in children(process.pid):
        os.kill(pid, signal.SIGKILL)
    _, errors = process.communicate(timeout=120)
    assert process.returncode == 0, errors
    assert tables(tmp_path / "out") == tables(whole)


def test_a_worker_that_dies_before_it_is_spoken_to_is_replaced(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its pipe is broken then: not the command's end, as click makes of it, without a word."""
    started: list[int] = []

    class First(subprocess.Popen[bytes]):
        def __init__(self, *arguments: Any, **options: Any) -> None:
            super().__init__(*arguments, **options)
            if not started:
                self.kill()
                self.wait()
            started.append(self.pid)

    monkeypatch.setattr(subprocess, "Popen", First)
    with closing(pool.LocalPool(Setup(ScoringOptions(), str(tmp_path)), 1, pool.Limits())) as made:
        assert "happy" in made.labels()
    assert len(started) == 2


def test_a_command_that_was_suspended_gives_nothing_up(archive: Path, whole: Path, tmp_path: Path) -> None:
    process = start("fer-score", archive, "--out", tmp_path / "out", "--workers", 1, "--timeout", 2)
    wait_for((tmp_path / "out" / "dataset.json").exists() for _ in iter(int, 1))
    stopped = [*children(process.pid), process.pid]
    for pid in stopped:
        os.kill(pid, signal.SIGSTOP)
    time.sleep(4)
    for pid in reversed(stopped):
        os.kill(pid, signal.SIGCONT)
    _, errors = process.communicate(timeout=120)
    assert process.returncode == 0, errors
    assert tables(tmp_path / "out") == tables(whole)


def test_a_file_that_hangs_is_given_up(command: Run, tmp_path: Path) -> None:
    """A pipe in place of a file that was listed: whoever opens it waits for ever."""
    folder = tmp_path / "archive"
    folder.mkdir()
    for name in "abc":
        cv2.imwrite(str(folder / f"{name}.jpg"), render(3))
    (folder / "b.jpg").unlink()
    os.mkfifo(folder / "b.jpg")
    done = command("fer-score", folder, "--out", tmp_path / "out", "--timeout", 3)
    assert done.returncode == 0, done.stderr
    errors = {Path(row["source"]).name: row["error"] for row in pq.read_table(tmp_path / "out" / "sources").to_pylist()}
    assert errors["a.jpg"] is errors["c.jpg"] is None
    assert "b.jpg" in errors["b.jpg"]


def test_a_file_that_eats_memory_is_given_up(command: Run, tmp_path: Path) -> None:
    folder = tmp_path / "archive"
    folder.mkdir()
    cv2.imwrite(str(folder / "small.jpg"), render(3))
    cv2.imwrite(str(folder / "huge.jpg"), cv2.resize(render(3), (11000, 11000)))
    done = command("fer-score", folder, "--out", tmp_path / "out", "--memory", 512)
    assert done.returncode == 0, done.stderr
    rows = {Path(row["source"]).name: row for row in pq.read_table(tmp_path / "out" / "sources").to_pylist()}
    assert rows["small.jpg"]["faces"] == 2
    assert "more than 512 MiB" in rows["huge.jpg"]["error"]
    assert len(rows["huge.jpg"]["sha256"]) == 64  # it is known again, and not tried at each run
    more = command("fer-score", folder, "--out", tmp_path / "out", "--memory", 2048)
    assert more.returncode == 0, more.stderr
    (row,) = [row for row in pq.read_table(tmp_path / "out" / "sources").to_pylist() if "huge" in row["source"]]
    assert (row["width"], row["error"]) == (11000, None)
