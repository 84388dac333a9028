"""fer-score killed at random moments, given again until it ends by itself, and compared with a run without a break."""

import os
import random
import signal
import subprocess
import time
from collections import Counter
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import Any

import click
import cv2
import numpy as np
from numpy.typing import NDArray

from conftest import start
from fer_benchmarks.demo_clip import FRAMES, render
from fer_runtime.errors import GateError
from helpers.archives import children, tables, write_video

# What is sent to the command, or also to its workers, and how it ends then; "worker" ends one of them alone.
WAYS = {
    "all": (signal.SIGKILL, -9),
    "command": (signal.SIGKILL, -9),
    "worker": (0, 0),
    "ctrl-c": (signal.SIGINT, 130),
    "terminate": (signal.SIGTERM, 143),
}
LONG_FRAMES = 1600  # at one a second: a video of three pieces
LATEST = 0.6  # of the time of a run without a break: the latest moment of a kill
PATIENCE_S = 600  # of a run that is left alone


def make_archive(folder: Path, files: int) -> None:
    """Clips and photos by the number of files, and one video that is cut into pieces."""
    folder.mkdir()
    for number in range(files):
        if number % 3:
            write_video(folder / f"{number:03}.avi", range(number, number + 15), size=(320, 240))
        else:
            cv2.imwrite(str(folder / f"{number:03}.jpg"), _frame(number % FRAMES))
    writer = cv2.VideoWriter(str(folder / "long.avi"), cv2.VideoWriter.fourcc(*"MJPG"), 1, (320, 240))
    for number in range(LONG_FRAMES):
        writer.write(_frame(number % FRAMES))
    writer.release()
    (folder / "broken.mp4").write_bytes(b"no video")
    (folder / "nowhere.mp4").symlink_to("nothing")


def check(work: Path, kills: int, seed: int, files: int, latest_s: float | None) -> str:
    """Raises GateError where a run that was killed ends with other rows than one that was not; what was seen.

    latest_s: moment of a kill at most, from the command's start; None: LATEST.
    """
    moments = random.Random(seed)
    archive = work / "archive"
    make_archive(archive, files)
    began = time.monotonic()
    _end(_given(archive, work / "whole"))
    seconds = time.monotonic() - began
    whole, done, runs = tables(work / "whole"), Counter[str](), 0
    while done.total() < kills:
        out = work / f"killed_{runs}"
        while done.total() < kills and _killed(archive, out, moments, latest_s or LATEST * seconds, done):
            pass
        _end(_given(archive, out))
        runs += 1
        if difference := first_difference(tables(out), whole):
            raise GateError(f"after {done.total()} kills {out} differs from {work / 'whole'}: {difference}")
        click.echo(f"{done.total()} kills, {runs} runs, {time.monotonic() - began:.0f} s", err=True)
        if left := [path.name for path in (out / "unfinished").iterdir()]:
            raise GateError(f"after {done.total()} kills {out}/unfinished holds {', '.join(left)}")
    ways = ", ".join(f"{way} {done[way]}" for way in WAYS)
    return f"killed {done.total()} times ({ways}) in {runs} runs of {seconds:.0f} s: the rows are the same"


def first_difference(found: dict[str, list[dict[str, Any]]], expected: dict[str, list[dict[str, Any]]]) -> str:
    """Where two datasets differ first, in words; empty where they do not."""
    for table, rows in expected.items():
        if len(found[table]) != len(rows):
            return f"{table} has {len(found[table])} rows in place of {len(rows)}"
        for row, other in zip(found[table], rows, strict=True):
            if row != other:
                return f"{table} has {row} in place of {other}"
    return ""


def _given(archive: Path, out: Path) -> subprocess.Popen[str]:
    return start("fer-score", archive, "--out", out, "--quiet")


def _killed(archive: Path, out: Path, moments: random.Random, latest_s: float, done: Counter[str]) -> bool:
    """Give the command and stop it in one of the ways; whether it was stopped, and had not ended before."""
    process = _given(archive, out)
    way = moments.choice(list(WAYS))
    if not _is_at_work(process, moments.uniform(0, latest_s)):
        return False
    workers = children(process.pid)
    if way == "worker":  # one, once: a file at which two die is given up
        if workers:
            _kill(moments.choice(workers))
            done[way] += 1
        _end(process)
        return False
    number, code = WAYS[way]
    process.send_signal(number)
    if way == "all":
        for worker in workers:
            _kill(worker)
    _, errors = process.communicate(timeout=PATIENCE_S)
    ends = {0, code} if workers else {0, code, -number}  # 0: it had just ended; -number: it was not yet listening
    if process.returncode not in ends or "Traceback" in errors:
        raise GateError(f"fer-score ended with {process.returncode} at {way}: {errors}")
    done[way] += process.returncode == code
    return True


def _is_at_work(process: subprocess.Popen[str], seconds: float) -> bool:
    """Whether it has not ended after so long."""
    try:
        process.wait(seconds)
    except subprocess.TimeoutExpired:
        return True
    return False


def _end(process: subprocess.Popen[str]) -> None:
    """Wait for its end by itself. Raises GateError where that is a failure."""
    _, errors = process.communicate(timeout=PATIENCE_S)
    if process.returncode:
        raise GateError(f"fer-score ended with {process.returncode}: {errors}")


def _kill(pid: int) -> None:
    with suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)


@cache
def _frame(number: int) -> NDArray[np.uint8]:
    return np.asarray(cv2.resize(render(number), (320, 240)), np.uint8)
