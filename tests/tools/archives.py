"""What fer-score promises, at length: `python -m tools.archives broken` and `... kills`; exit code 3 where it fails.

broken: 1,000 short clips, of which a tenth is broken in ten ways. Every file has its row, every whole one the rows that
it has alone, every broken one an error, a note or fewer frames; the workers'
memory does not grow.
kills: the command, its workers or both are killed at random moments (SIGKILL, Ctrl-C, SIGTERM) and the command is given
again, until it ends by itself; then once more in a new folder. Each time the rows are those of a run without a break.
Where something fails, the folders of results and the seed are kept and named.
"""

import os
import random
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click
import pyarrow.parquet as pq

from conftest import BIN
from fer_runtime.cli.entry import run
from fer_runtime.errors import GateError
from helpers.archives import children, tables, write_video
from tools import archive_kills

CLIPS = 40  # different ones, of which the archive has copies
LENGTH = 15  # frames of each
TIMEOUT_S = 5  # in place of two minutes, for the files that hang
GROWTH = 1.1  # of the workers' memory, the second half of a run against the first


def broken_files(data: bytes) -> dict[str, Callable[[Path], object]]:
    """Ten ways in which a file is no video, by name; each makes one at a path. data: of a whole clip."""
    middle = len(data) // 2
    return {
        "empty": lambda path: path.touch(),
        "cut_short": lambda path: path.write_bytes(data[: middle // 8]),
        "header_alone": lambda path: path.write_bytes(data[:64]),
        "no_header": lambda path: path.write_bytes(data[middle:]),
        "zeros": lambda path: path.write_bytes(bytes(len(data))),
        "noise": lambda path: path.write_bytes(random.Random(0).randbytes(len(data))),
        "text": lambda path: path.write_text("this is no video\n" * 1000),
        "web_page": lambda path: path.write_text("<!doctype html><title>404</title>"),
        "link_to_nowhere": lambda path: path.symlink_to("nowhere.mp4"),
        "pipe": lambda path: os.mkfifo(path),
    }


def make_clips(folder: Path) -> list[Path]:
    """Short clips of 320x240, each of other frames."""
    folder.mkdir()
    clips = [folder / f"{number:02}.avi" for number in range(CLIPS)]
    for number, clip in enumerate(clips):
        write_video(clip, range(number, number + LENGTH), size=(320, 240))
    return clips


def make_broken_archive(folder: Path, count: int) -> None:
    """`count` files in folders of a hundred, every tenth of them broken."""
    clips = [clip.read_bytes() for clip in make_clips(folder.with_name("clips"))]
    ways = broken_files(clips[0])
    for number in range(count):
        below = folder / f"{number // 100:03}"
        below.mkdir(parents=True, exist_ok=True)
        if number % 10 == 9:
            way = list(ways)[number // 10 % len(ways)]
            ways[way](below / f"{number:04}_{way}.avi")
        else:
            (below / f"{number:04}.avi").write_bytes(clips[number % CLIPS])


def resident_mib(pid: int) -> int:
    """A process's memory; 0 where it has ended."""
    try:
        return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") >> 20
    except OSError:
        return 0


def started(archive: Path, out: Path, *more: str) -> subprocess.Popen[bytes]:
    """The command, at work."""
    return subprocess.Popen([BIN / "fer-score", archive, "--out", out, "--quiet", *more], stderr=subprocess.DEVNULL)


def check_broken(work: Path, count: int) -> str:
    """Raises GateError where a row is missing or wrong, or memory grows; what was seen, in a sentence."""
    archive, out = work / "archive", work / "out"
    make_broken_archive(archive, count)
    process = started(archive, out, "--timeout", str(TIMEOUT_S))
    memory: list[int] = []
    while process.poll() is None:
        memory.append(max((resident_mib(pid) for pid in children(process.pid)), default=0))
        time.sleep(0.2)
    started(work / "clips", work / "alone").wait()
    check_rows(pq.read_table(out / "sources").to_pylist(), tables(out)["faces"], tables(work / "alone")["faces"], count)
    half = len(memory) // 2
    first, second = max(memory[:half]), max(memory[half:])
    if process.returncode or second > GROWTH * first:
        raise GateError(f"exit code {process.returncode}; the largest worker took {first} MiB, then {second} MiB")
    return (
        f"{count} files, {count // 10} broken in ten ways: all told; the largest worker {first} MiB, then {second} MiB"
    )


def check_rows(
    sources: list[dict[str, Any]], faces: list[dict[str, Any]], alone: list[dict[str, Any]], count: int
) -> None:
    """Raises GateError where a file has no row, a broken one no error, or a whole one other faces than by itself."""
    if len({row["source"] for row in sources}) != count:
        raise GateError(f"{len(sources)} rows of {count} files")
    rows = by_source(faces)
    expected = {Path(name).stem: each for name, each in by_source(alone).items()}
    for row in sources:
        name = Path(row["source"]).stem
        if "_" in name:
            if not (row["error"] or row["notes"] or row["frames"] < LENGTH):  # half a clip is one, of fewer frames
                raise GateError(f"{name} is broken, and nothing is said of it")
        elif row["error"] or rows[row["source"]] != expected[f"{int(name) % CLIPS:02}"]:
            raise GateError(f"{name} has other rows than by itself: {row}")


def by_source(faces: list[dict[str, Any]]) -> dict[str, list[dict[str, Any]]]:
    """The rows of each source, without its name."""
    found: dict[str, list[dict[str, Any]]] = {}
    for row in faces:
        found.setdefault(row["source"], []).append({name: value for name, value in row.items() if name != "source"})
    return found


@click.command()
@click.argument("what", type=click.Choice(["broken", "kills"]))
@click.option("--files", default=None, type=int, help="Of the archive.  [default: 1000 of the broken one, else 150]")
@click.option("--kills", default=100, show_default=True)
@click.option("--seed", default=None, type=int, help="Of the moments of the kills.  [default: another each time]")
@click.option("--latest", default=None, type=float, help="Seconds within which it is killed.  [default: 0.6 of a run]")
def cli(what: str, files: int | None, kills: int, seed: int | None, latest: float | None) -> None:
    """Put fer-score to the proof; see the top of this file."""
    work = Path(tempfile.mkdtemp(prefix="fer-score-proof-"))
    seed = random.SystemRandom().randrange(10**6) if seed is None else seed
    try:
        seen = (
            check_broken(work, files or 1000)
            if what == "broken"
            else archive_kills.check(work, kills, seed, files or 150, latest)
        )
    except GateError as error:
        raise GateError(f"{error}; seed {seed}, all is kept in {work}") from error
    shutil.rmtree(work)
    click.echo(seen)


if __name__ == "__main__":
    run(cli, "bench,score")
