"""What fer-score costs beside others: `python -m tools.archive_figures PART VIDEO...`, on a quiet machine; prints JSON.

core: one worker against fer-run, both on one core. workers: two workers against two fer-run at a time. ray: two cores
of a local Ray cluster against two workers. units: the same with many small units, a photo each. peer: fer's own video
analysis on one core (benchmarks/peers/video.py; --python names that of an environment with fer). cost: seconds of a
core by video.
"""

import json
import os
import resource
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median

import click
import cv2
import numpy as np
import pyarrow.parquet as pq

from conftest import BIN, ROOT
from fer_benchmarks.demo_clip import render
from fer_runtime.cli.entry import run

FEW, MANY = 2, 4  # videos of two runs, whose difference is free of what starting takes
PEER_FRAMES = 100
UNITS = 100, 1100
# The command with units of one file.
ONE_FILE = [
    BIN / "python",
    "-c",
    "from fer_runtime.archive import units; units.UNIT_FILES = 1; from fer_runtime.cli.score import main; main()",
]


@dataclass(frozen=True)
class Cost:
    """Of some commands side by side, with all their processes."""

    cpu_s: float
    seconds: float


def cost(*commands: list[object], core: int | None = None) -> Cost:
    """Run commands side by side. core: on which alone."""
    pin = (lambda: os.sched_setaffinity(0, {core})) if core is not None else None
    before, began = resource.getrusage(resource.RUSAGE_CHILDREN), time.monotonic()
    running = [subprocess.Popen(list(map(str, words)), preexec_fn=pin, stderr=subprocess.DEVNULL) for words in commands]
    codes = [process.wait() for process in running]
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    assert not any(codes), codes
    return Cost(after.ru_utime - before.ru_utime + after.ru_stime - before.ru_stime, time.monotonic() - began)


def score(files: list[Path], out: Path, *more: object) -> list[object]:
    """The command, into an empty folder."""
    shutil.rmtree(out, ignore_errors=True)
    return [BIN / "fer-score", *files, "--out", out, "--quiet", *more]


def follow(video: Path, lines: Path) -> list[object]:
    """fer-run at full speed, into an empty file."""
    lines.unlink(missing_ok=True)
    return [BIN / "fer-run", "--source", video, "--headless", "--jsonl", lines, "--quiet"]


def copies(video: Path, work: Path, count: int) -> list[Path]:
    """The same content under several names."""
    found = [work / f"{number}{video.suffix}" for number in range(count)]
    for path in found:
        if not path.exists():
            shutil.copy(video, path)
    return found


def measure_core(video: Path, work: Path, rounds: int) -> dict[str, object]:
    ours, theirs = [], []
    for _ in range(rounds):
        ours.append(cost(score([video], work / "out", "--workers", 1), core=0))
        theirs.append(cost(follow(video, work / "lines"), core=0))
    (row,) = pq.read_table(work / "out" / "sources").to_pylist()
    tables = sum(path.stat().st_size for path in (work / "out").rglob("*.parquet"))
    lines = (work / "lines").stat().st_size
    return {
        "frames": row["frames"], "faces": row["faces"], "video_s": row["duration_s"],
        "size": (row["width"], row["height"]),
        "fer-score": [asdict(each) for each in ours], "fer-run": [asdict(each) for each in theirs],
        "frames_per_cpu_s": row["frames"] / median(each.cpu_s for each in ours),
        "ratio_of_frames_per_cpu_s": median(each.cpu_s for each in theirs) / median(each.cpu_s for each in ours),
        "parquet_bytes": tables, "json_bytes": lines, "json_by_parquet": lines / tables,
    }  # fmt: skip


def measure_workers(video: Path, work: Path, rounds: int) -> dict[str, object]:
    files = copies(video, work, 2)
    ours, theirs = [], []
    for _ in range(rounds):
        ours.append(cost(score(files, work / "out", "--workers", 2)))
        theirs.append(cost(*[follow(file, work / f"lines{number}") for number, file in enumerate(files)]))
    return {
        "fer-score": [asdict(each) for each in ours], "two fer-run": [asdict(each) for each in theirs],
        "ratio_of_speed": median(each.seconds for each in theirs) / median(each.seconds for each in ours),
        "ratio_of_frames_per_cpu_s": median(each.cpu_s for each in theirs) / median(each.cpu_s for each in ours),
    }  # fmt: skip


def measure_ray(video: Path, work: Path, rounds: int) -> dict[str, object]:
    return _slopes(lambda count: copies(video, work, count), work, FEW, MANY, rounds)


def measure_units(work: Path, rounds: int, count: int) -> dict[str, object]:
    """Each photo is a unit by itself, so that what a unit costs can be seen."""
    data = cv2.imencode(".jpg", cv2.resize(render(3), (64, 48)))[1].tobytes()
    for number in range(count):
        (work / f"{number:05}.jpg").write_bytes(data)
    return _slopes(lambda count: sorted(work.glob("*.jpg"))[:count], work, UNITS[0], count, rounds, ONE_FILE)


def _slopes(
    files: Callable[[int], list[Path]],
    work: Path,
    few: int,
    many: int,
    rounds: int,
    command: Sequence[object] = (BIN / "fer-score",),
) -> dict[str, object]:
    """What each further file takes on two workers, and on two cores of a local Ray."""
    ways: dict[str, list[object]] = {"workers": ["--workers", 2], "ray": ["--ray", "local"]}
    costs: dict[str, list[tuple[Cost, Cost]]] = {name: [] for name in ways}
    for _ in range(rounds):  # The ways in turn, so that other work on the machine meets both.
        for name, options in ways.items():
            less, more = [
                cost([*command, *score(_list(files(count), work), work / "out", *options)[1:]]) for count in (few, many)
            ]
            costs[name].append((less, more))
    slopes = {
        name: [(more.seconds - less.seconds) / (many - few) for less, more in pairs] for name, pairs in costs.items()
    }
    seconds = {name: median(each) for name, each in slopes.items()}
    return {
        name: [(asdict(less), asdict(more)) for less, more in pairs] for name, pairs in costs.items()
    } | {"seconds_per_file": slopes, "ray_speed": seconds["workers"] / seconds["ray"]}  # fmt: skip


def _list(files: list[Path], work: Path) -> list[Path]:
    """A list of the files, which may be more than a command line holds."""
    path = work / "list.txt"
    path.write_text("".join(f"{file}\n" for file in files))
    return [path]


def measure_cost(videos: tuple[Path, ...], work: Path) -> dict[str, object]:
    """Seconds of a core by video, without what starting takes; and that."""
    photo = work / "photo.png"
    cv2.imwrite(str(photo), np.zeros((48, 64, 3), np.uint8))
    start = cost(score([photo], work / "out", "--workers", 1), core=0)
    cost(score([video.absolute() for video in videos], work / "out", "--workers", 1), core=0)
    rows = pq.read_table(work / "out" / "sources").to_pylist()
    faces = sum(path.stat().st_size for path in (work / "out" / "faces").iterdir())
    return {
        "starting": asdict(start),
        "bytes_per_face": faces / max(1, sum(row["faces"] for row in rows)),
        "videos": [
            {
                "video": Path(row["source"]).name, "size": (row["width"], row["height"]),
                "faces_per_frame": row["faces"] / row["frames"], "frames_per_s": row["frames"] / row["cpu_s"],
                "core_s_per_hour_at_30_fps": 3600 * 30 * row["cpu_s"] / row["frames"],
            }
            for row in rows
        ],
    }  # fmt: skip


PARTS: dict[str, Callable[[Path, Path, int], dict[str, object]]] = {
    "core": measure_core,
    "workers": measure_workers,
    "ray": measure_ray,
}


def measure_peer(video: Path, python: str) -> dict[str, object]:
    """fer's own video analysis, pinned to one core."""
    done = subprocess.run(
        [python, ROOT / "benchmarks" / "peers" / "video.py", str(video), str(PEER_FRAMES)],
        preexec_fn=lambda: os.sched_setaffinity(0, {0}), capture_output=True, text=True, check=True,
    )  # fmt: skip
    found: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return {**found, "frames_per_cpu_s": found["frames"] / found["cpu_s"]}


@click.command()
@click.argument("part", type=click.Choice([*PARTS, "cost", "units", "peer"]))
@click.argument("videos", nargs=-1, required=True, type=click.Path(exists=True, path_type=Path))
@click.option("--rounds", default=2, show_default=True)
@click.option("--units", default=UNITS[1], show_default=True, help="How many, of the part units.")
@click.option("--python", default="python3", help="Of the environment with fer.")
def cli(part: str, videos: tuple[Path, ...], rounds: int, units: int, python: str) -> None:
    """Measure one part; see the top of this file."""
    with tempfile.TemporaryDirectory() as work:
        if part == "peer":
            found = measure_peer(videos[0], python)
        elif part == "cost":
            found = measure_cost(videos, Path(work))
        elif part == "units":
            found = measure_units(Path(work), rounds, units)
        else:
            found = PARTS[part](videos[0].absolute(), Path(work), rounds)
    click.echo(json.dumps({"part": part, "video": videos[0].name} | found, indent=1))


if __name__ == "__main__":
    run(cli, "bench,ray")
