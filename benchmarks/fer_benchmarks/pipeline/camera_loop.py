"""Cost, speed and steadiness of the loop on videos: `python -m fer_benchmarks.pipeline.camera_loop VIDEO...`."""

import json
import os
import subprocess
import sys
import tempfile
import time
from contextlib import nullcontext
from dataclasses import asdict, dataclass, fields
from pathlib import Path

import click
import numpy as np

from fer_benchmarks.pipeline.simulated_camera import FPS, check, paced
from fer_benchmarks.pipeline.throughput import agreement, full_speed
from fer_runtime.cli.entry import run
from fer_runtime.faces.searching import DEFAULT_INTERVAL_S
from fer_runtime.system.host import Host

DEFAULT_SECONDS = 20.0  # of each paced run
STARTS = 5
SLOWED = 10  # times


@dataclass(frozen=True)
class VideoFigures:
    """What the loop does on one video, on one core."""

    frames: int
    faces_per_frame: float
    start_s: float
    """From the command to its first result, the median of some warm starts."""
    peak_memory_mb: float
    """Of a whole run, 10^6 bytes."""
    fps: float
    """At full speed."""
    fps_searching_every_frame: float
    """The same where every whole frame is searched for faces."""
    label_agreement: float
    """Share of the faces whose smoothed label is the same in these two runs."""
    raw_label_agreement: float
    networks_ms_per_frame: float
    """CPU time of the networks."""
    rest_ms_per_frame: float
    """CPU time of everything else but capture and decoding."""
    raw_flips: int
    """Changes of the raw label from one frame to the next."""
    smoothed_flips: int
    flips_avoided_share: float
    """Of the raw flips, those that smoothing takes away."""
    loop_share_30fps: float
    """Of a core, for a camera of 640x480 at 30 frames per second."""
    capture_share_30fps: float
    """Of a core, for capture and decoding."""
    loop_share_10fps: float
    """The same with --max-fps 10."""
    capture_share_10fps: float
    age_p99_ms: float
    """Of a frame at its result, the camera's run."""
    slowed_age_p99_ms: float
    """The same with a classifier that is ten times slower."""
    period_and_slowed_pass_ms: float
    """A frame's period and the longest pass with that classifier: what such a frame's age may be."""
    slowed_fps: float
    """With that classifier."""


# What is wanted, by the field; on videos with one face, or with none.
TARGETS = {
    "start_s": "<= 1",
    "peak_memory_mb": "<= 130",
    "fps": ">= 250, one face",
    "label_agreement": ">= 98 %, one face",
    "rest_ms_per_frame": "<= 1",
    "flips_avoided_share": ">= 80 %",
    "loop_share_30fps": "<= 3 %, no face",
    "loop_share_10fps": "<= 8 %, one face",
    "slowed_age_p99_ms": "<= the next line",
}


@dataclass(frozen=True)
class LoopReport:
    """The JSON of a run."""

    environment: Host
    cores_used: int
    camera: str
    """Size and pace of the simulated one."""
    seconds: float
    """Of each paced run."""
    videos: dict[str, VideoFigures]
    """By file."""


def starts(video: Path) -> tuple[float, float]:
    """Seconds from a command to its first result, median of STARTS; most resident megabytes of a whole run."""
    with tempfile.TemporaryDirectory() as folder:
        profile = Path(folder) / "profile.json"
        program = "from fer_runtime.cli.run import main; main()"
        command = [sys.executable, "-P", "-c", program, "--source", str(video), "--headless", "--jsonl", "-"]
        took = []
        for _ in range(STARTS + 1):  # the first one warms the disk's cache
            begin = time.perf_counter()
            process = subprocess.Popen(  # noqa: S603 - our own module
                [*command, "--max-frames", "1"], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
            )
            assert process.stdout is not None
            process.stdout.readline()
            took.append(time.perf_counter() - begin)
            process.communicate()
        subprocess.run([*command, "--profile", str(profile)], check=True, capture_output=True)  # noqa: S603 - our own module
        return float(np.median(took[1:])), json.loads(profile.read_text())["peak_memory_bytes"] / 1e6


def measure(video: Path, seconds: float = DEFAULT_SECONDS) -> VideoFigures:
    """Every figure of one video."""
    start_s, memory_mb = starts(video)
    usual, every_frame = full_speed(video, DEFAULT_INTERVAL_S), full_speed(video, 0.0)
    smoothed_agreement, raw_agreement = agreement(usual, every_frame)
    smoothed_flips, raw_flips = usual.flips()
    free = paced(video, seconds)
    ten = paced(video, seconds, max_fps=10)
    slow = paced(video, seconds, slowed=SLOWED)
    return VideoFigures(
        frames=usual.frames,
        faces_per_frame=len(usual.labels) / usual.frames,
        start_s=start_s,
        peak_memory_mb=memory_mb,
        fps=usual.fps,
        fps_searching_every_frame=every_frame.fps,
        label_agreement=smoothed_agreement,
        raw_label_agreement=raw_agreement,
        networks_ms_per_frame=usual.networks_ms_per_frame,
        rest_ms_per_frame=usual.rest_ms_per_frame,
        raw_flips=raw_flips,
        smoothed_flips=smoothed_flips,
        flips_avoided_share=1 - smoothed_flips / raw_flips if raw_flips else 1.0,
        loop_share_30fps=free.loop_share,
        capture_share_30fps=free.capture_share,
        loop_share_10fps=ten.loop_share,
        capture_share_10fps=ten.capture_share,
        age_p99_ms=free.age_p99_ms,
        slowed_age_p99_ms=slow.age_p99_ms,
        period_and_slowed_pass_ms=1e3 / FPS + slow.longest_pass_ms,
        slowed_fps=slow.fps,
    )


@click.command(
    epilog="Example: python -m fer_benchmarks.pipeline.camera_loop one_person.mp4 no_faces.mp4 --json loop.json"
)
@click.argument("videos", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option("--json", "json_file", type=click.Path(path_type=Path), metavar="FILE", help="Write the figures as JSON.")
@click.option(
    "--seconds", type=click.FloatRange(min=1), default=DEFAULT_SECONDS, show_default=True, help="Of each paced run."
)
def cli(videos: tuple[Path, ...], json_file: Path | None, seconds: float) -> None:
    """Measure the loop on VIDEOS: at full speed, and as a camera of 640x480 at 30 frames per second.

    All on one core, with the package's own model. Best on an idle machine, with a video of one face and one of none.
    """
    import cv2
    from rich.console import Console
    from rich.progress import track

    from fer_runtime.files import refuse_same, written_whole
    from fer_runtime.system import host

    refuse_same([json_file], videos)
    for video in videos:
        check(video)
    environment = host.describe()
    cv2.setNumThreads(1)
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
    names = [video.name for video in videos]
    if len(set(names)) < len(names):
        names = [str(video) for video in videos]
    console = Console(stderr=True)
    with written_whole(json_file) if json_file else nullcontext() as temporary:
        shown = track(videos, "measuring", console=console, transient=True, disable=not console.is_terminal)
        figures = dict(zip(names, (measure(video, seconds) for video in shown), strict=True))
        report = LoopReport(environment, 1, "640x480 at 30 fps", seconds, figures)
        if temporary:
            temporary.write_text(json.dumps(asdict(report), indent=2) + "\n", encoding="utf-8")
    _print_table(report)


def _print_table(report: LoopReport) -> None:
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    table = Table("", *(escape(name) for name in report.videos), "wanted", title="the loop on one core")
    for key in (field.name for field in fields(VideoFigures)):
        cells = [_cell(key, getattr(figures, key)) for figures in report.videos.values()]
        table.add_row(key.replace("_", " "), *cells, TARGETS.get(key, ""))
    Console().print(table)
    facts = report.environment
    click.echo(f"{facts.cpu}, python {facts.python}, onnxruntime {facts.onnxruntime}, opencv {facts.opencv}")


def _cell(key: str, value: float) -> str:
    if key.endswith("agreement") or "share" in key:
        return f"{value:.1%}"
    return f"{value:.2f}" if isinstance(value, float) else str(value)


if __name__ == "__main__":
    run(cli, "bench")
