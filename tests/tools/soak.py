"""Does fer-run leak? `make soak`, or `PYTHONPATH=tests python -m tools.soak --frames 200000`; exit code 3 when it does.

The real command answers half of the frames from a video file and half from a live stream, one run each. The frames are
the clip's, shrunk to 160x120, with faces in sight four fifths of the time. From outside, /proc tells its resident
memory, descriptors and threads. The memory's slope is Theil and Sen's (the median of the slopes between all pairs of
samples, Sen 1968) after a warm-up, with a moving-block bootstrap's interval, as neighbouring samples are alike.
"""

import contextlib
import json
import os
import tempfile
import threading
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from subprocess import Popen

import click
import cv2
import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.progress import Progress

from conftest import start
from fer_benchmarks.demo_clip import FRAMES, render
from fer_runtime.cli.entry import run
from fer_runtime.errors import FerError, GateError
from fer_runtime.files import check_place, write_text
from fer_runtime.system import host
from helpers.servers import mjpeg

SIZE = (160, 120)
PERIOD = 125  # pictures: the clip's 100 with faces, then 25 without
RATE = 25  # pictures a second of the live scene, which hundreds of frames a second show: faces move at a human pace
SAMPLE_S = 0.1  # seconds between samples
WARM_UP = 0.2  # share of a run's frames
MAX_SAMPLES = 300  # samples that the slope is taken of
LEAK = 1.0  # bytes a frame: malloc's least piece is 32, so this is one such piece lost in 32 frames


@dataclass(frozen=True)
class Sample:
    """A moment of a run."""

    frames: int
    """With a result so far."""
    memory: int
    """Resident bytes."""
    descriptors: int
    """Open ones."""
    threads: int


@dataclass(frozen=True)
class Growth:
    """What the samples after the warm-up say; of counts the smallest and the largest."""

    slope: float
    """Of memory, bytes per frame."""
    interval: tuple[float, float]
    """95 %, of the slope."""
    memory: tuple[int, int]
    """Bytes."""
    descriptors: tuple[int, int]
    threads: tuple[int, int]
    leaks: tuple[str, ...]
    """What grows: "memory", "descriptors" or "threads"."""


@dataclass(frozen=True)
class SourceResult:
    """What a run on one source came to."""

    frames: int
    with_faces: int
    """Frames with a face or more."""
    seconds: float
    samples: list[Sample]
    growth: Growth


@dataclass(frozen=True)
class SoakReport:
    """The JSON of a soak."""

    environment: host.Host
    size: tuple[int, int]
    """Of the frames, width and height."""
    file: SourceResult
    live: SourceResult


def judge(samples: list[Sample], seed: int = 0) -> Growth:
    """Whether memory, descriptors or threads grow. Raises FerError when there are too few samples to tell."""
    warm = [sample for sample in samples if sample.frames >= WARM_UP * samples[-1].frames]
    if len(warm) < 8:
        raise FerError(
            f"{len(warm)} samples after the warm-up cannot tell a slope: expected 8, so ask for more --frames"
        )
    thinned = [warm[i] for i in np.unique(np.linspace(0, len(warm) - 1, MAX_SAMPLES).round().astype(int))]
    frames = np.array([sample.frames for sample in thinned], np.float64)
    memory = np.array([sample.memory for sample in thinned], np.float64)
    interval = _interval(frames, memory, np.random.RandomState(seed))
    leaks = ["memory"] if interval[0] > LEAK else []
    quarter = len(warm) // 4
    for name in ("descriptors", "threads"):
        values = [getattr(sample, name) for sample in warm]
        if min(values[-quarter:]) > max(values[:quarter]):
            leaks.append(name)
    extent = {
        name: (min(getattr(sample, name) for sample in warm), max(getattr(sample, name) for sample in warm))
        for name in ("memory", "descriptors", "threads")
    }
    return Growth(theil_sen(frames, memory), interval, **extent, leaks=tuple(leaks))


def theil_sen(x: NDArray[np.float64], y: NDArray[np.float64]) -> float:
    """The median of the slopes between all pairs of points that differ in x; 0 without such."""
    i, j = np.triu_indices(len(x), 1)
    apart = x[i] != x[j]
    i, j = i[apart], j[apart]
    return float(np.median((y[j] - y[i]) / (x[j] - x[i]))) if len(i) else 0.0


def _interval(x: NDArray[np.float64], y: NDArray[np.float64], rng: np.random.RandomState) -> tuple[float, float]:
    """95 % of the slope, from 300 series made of blocks as long as the root of the series."""
    length = max(2, round(len(x) ** 0.5))
    slopes = []
    for _ in range(300):
        starts = rng.randint(0, len(x) - length + 1, len(x) // length)
        chosen = (starts[:, None] + np.arange(length)).ravel()
        slopes.append(theil_sen(x[chosen], y[chosen]))
    low, high = np.percentile(slopes, [2.5, 97.5])
    return float(low), float(high)


class Counter:
    """Counts a run's JSON lines in a thread, as they come."""

    def __init__(self, process: "Popen[str]") -> None:
        self.frames = self.with_faces = 0
        self._process = process
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            self.frames += 1
            self.with_faces += '"faces": []' not in line


def sample(pid: int, frames: int) -> Sample:
    """A process as /proc tells."""
    status = dict(line.split(":", 1) for line in Path(f"/proc/{pid}/status").read_text().splitlines())
    descriptors = len(os.listdir(f"/proc/{pid}/fd"))
    return Sample(frames, int(status["VmRSS"].split()[0]) * 1024, descriptors, int(status["Threads"]))


def watch(source: str, frames: int, progress: Progress) -> SourceResult:
    """Run fer-run on so many frames of a source. Raises FerError if it fails."""
    task = progress.add_task(source.rsplit("/", 1)[-1] or source, total=frames)
    began = time.monotonic()
    process = start("fer-run", "--source", source, "--headless", "--jsonl", "-", "--max-frames", frames)
    counter = Counter(process)
    samples = []
    try:
        while process.poll() is None:
            time.sleep(SAMPLE_S)
            if 0 < counter.frames < frames:  # neither starting nor ending
                with contextlib.suppress(KeyError, FileNotFoundError):  # it ended in this moment
                    samples.append(sample(process.pid, counter.frames))
                progress.update(task, completed=counter.frames)
    finally:
        process.terminate()
        process.wait()
    assert process.stderr is not None
    if process.returncode:
        raise FerError(f"fer-run failed: {process.stderr.read().strip().splitlines()[-1]}")
    return SourceResult(
        counter.frames, counter.with_faces, round(time.monotonic() - began, 1), samples, judge(samples)
    )  # fmt: skip


def pictures() -> list[NDArray[np.uint8]]:
    """One period, uint8 BGR [120, 160, 3] each."""
    empty = np.full((SIZE[1], SIZE[0], 3), 110, np.uint8)
    faces = [cv2.resize(render(i), SIZE, interpolation=cv2.INTER_AREA).astype(np.uint8) for i in range(FRAMES)]
    return faces + [empty] * (PERIOD - FRAMES)


def write_video(path: Path, frames: int) -> None:
    """So many frames, period after period."""
    period = pictures()
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"mp4v"), 25, SIZE)
    for index in range(frames):
        writer.write(period[index % PERIOD])
    writer.release()


def soak(frames: int, progress: Progress, pause_s: float = 0.001) -> SoakReport:
    """The whole measurement; each source's result is printed as soon as it is there.

    pause_s: between the stream's pictures.
    """
    environment = host.describe()
    half = frames // 2
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_video(folder / "soak.mp4", half)
        from_file = watch(str(folder / "soak.mp4"), half, progress)
        show("file", from_file)
        (folder / "soak.mp4").unlink()
        names = [folder / f"{index:03d}.jpg" for index in range(PERIOD)]
        for path, picture in zip(names, pictures(), strict=True):
            cv2.imwrite(str(path), picture)
        with mjpeg(names, pause_s, RATE) as server:
            from_stream = watch(server.address, half, progress)
        show("live", from_stream)
    return SoakReport(environment, SIZE, from_file, from_stream)


def show(name: str, result: SourceResult) -> None:
    """A source's result in a line."""
    growth = result.growth
    low, high = growth.interval
    least, most = (memory / 2**20 for memory in growth.memory)
    click.echo(
        f"{name}: {result.frames} frames ({result.with_faces} with faces) in {result.seconds} s; "
        f"memory {growth.slope:+.3f} bytes per frame ({low:+.3f} to {high:+.3f}), {least:.1f} to {most:.1f} MiB; "
        f"descriptors {growth.descriptors[0]} to {growth.descriptors[1]}; "
        f"threads {growth.threads[0]} to {growth.threads[1]}"
    )


@click.command(epilog="Example: PYTHONPATH=tests python -m tools.soak --frames 200000 --json soak.json")
@click.option("--frames", type=click.IntRange(min=100), default=200_000, show_default=True)
@click.option("--json", "json_file", type=click.Path(path_type=Path), metavar="FILE", help="Write samples and figures.")
def cli(frames: int, json_file: Path | None) -> None:
    """Watch memory, descriptors and threads of fer-run over many frames; exit code 3 when one grows."""
    if json_file:
        check_place(json_file)
    console = Console(stderr=True)
    with Progress(console=console, transient=True, disable=not console.is_terminal) as progress:
        report = soak(frames, progress)
    if json_file:
        write_text(json_file, json.dumps(asdict(report)) + "\n")
    leaks = [f"{leak} ({name})" for name in ("file", "live") for leak in getattr(report, name).growth.leaks]
    if leaks:
        raise GateError(f"these grow: {', '.join(leaks)}")


if __name__ == "__main__":
    run(cli, "bench")
