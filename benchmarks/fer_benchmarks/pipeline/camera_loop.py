"""What the loop costs and how it answers, on videos: `python -m fer_benchmarks.pipeline.camera_loop VIDEO...`."""

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator
from contextlib import nullcontext
from dataclasses import asdict
from pathlib import Path
from typing import Any

import click
import numpy as np

from fer_benchmarks.pipeline.throughput import Timed, agreement, flips, full_speed
from fer_runtime.cli.entry import run
from fer_runtime.sources.base import OnIdle, ShouldDecode, Source, always
from fer_runtime.types import Frame

SECONDS = 20.0  # of each paced run
STARTS = 5
CAMERA = (640, 480)
SLOWED = 10  # times
# What is wanted, by the key of the report; on videos with one face, or with none.
TARGETS = {
    "start_s": "<= 1",
    "peak_memory_mb": "<= 130",
    "frames_a_second": ">= 250, one face",
    "labels_agree": ">= 98 %, one face",
    "rest_ms_a_frame": "<= 1",
    "flips_less": ">= 80 %",
    "loop_share_30fps": "<= 3 %, no face",
    "loop_share_10fps": "<= 8 %, one face",
    "slowed_age_p99_ms": "<= the next line",
}


class Stamped:
    """A source with the moment at which its last frame was given, from which a pass through the loop counts."""

    def __init__(self, source: Source) -> None:
        self._source = source
        self.fps, self.live, self.notes = source.fps, source.live, source.notes
        self.given = 0.0

    def frames(self, should_decode: ShouldDecode = always, on_idle: OnIdle = always) -> Iterator[Frame]:
        """The source's frames."""
        for frame in self._source.frames(should_decode, on_idle):
            self.given = time.perf_counter()
            yield frame


def paced(video: Path, max_fps: float | None = None, slowed: int = 1, seconds: float = SECONDS) -> dict[str, Any]:
    """The file as a camera of 640x480 at 30 frames a second: shares of a core, and how old the frames are."""
    from fer_benchmarks.pipeline.simulated_camera import simulated_camera
    from fer_runtime.model.session import Classifier
    from fer_runtime.pipeline.loop import Loop
    from fer_runtime.system.profiler import Profile

    profile = Profile()
    classifier: Any = Timed(Classifier(), slowed)  # passes everything on to the one inside
    camera = Stamped(simulated_camera(video, CAMERA, profile))
    loop = Loop(camera, classifier, max_fps=max_fps, profile=profile)
    passes, faces = [], []
    begin = time.monotonic()
    for _, result in loop:
        passes.append(1e3 * (time.perf_counter() - camera.given))
        faces.append(len(result.faces))
        if time.monotonic() - begin > seconds:
            break
    plain = profile.plain()
    return {
        "answers_a_second": plain["answers_a_second"],
        "faces": float(np.mean(faces)),
        "loop_share": plain["loop_cpu_seconds"] / plain["seconds"],
        "capture_share": (plain["cpu_seconds"] - plain["loop_cpu_seconds"]) / plain["seconds"],
        "age_ms": plain["frame_age_ms"],
        "pass_ms": dict(zip(("p50", "p99", "max"), np.percentile(passes, [50, 99, 100]).tolist(), strict=True)),
    }


def starts(video: Path) -> tuple[float, float]:
    """Seconds from a command to its first answer, median of STARTS; most resident megabytes of a whole run."""
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


def measure(video: Path, seconds: float = SECONDS) -> dict[str, Any]:
    """Every figure of one video, by the keys of TARGETS and more."""
    start, memory = starts(video)
    usual, every = full_speed(video, 0.5), full_speed(video, 0.0)
    label, raw = agreement(usual, every)
    shown_flips, raw_flips = flips(usual["labels"])
    free, ten, slow = (
        paced(video, seconds=seconds),
        paced(video, max_fps=10, seconds=seconds),
        paced(video, slowed=SLOWED, seconds=seconds),
    )
    return {
        "frames": usual["frames"],
        "faces_a_frame": len(usual["labels"]) / usual["frames"],
        "start_s": start,
        "peak_memory_mb": memory,
        "frames_a_second": usual["frames_a_second"],
        "frames_a_second_detecting_every_frame": every["frames_a_second"],
        "labels_agree": label,
        "raw_labels_agree": raw,
        "networks_ms_a_frame": usual["networks_ms_a_frame"],
        "rest_ms_a_frame": usual["rest_ms_a_frame"],
        "raw_flips": raw_flips,
        "shown_flips": shown_flips,
        "flips_less": 1 - shown_flips / raw_flips if raw_flips else 1.0,
        "loop_share_30fps": free["loop_share"],
        "capture_share_30fps": free["capture_share"],
        "loop_share_10fps": ten["loop_share"],
        "capture_share_10fps": ten["capture_share"],
        "age_p99_ms": free["age_ms"]["p99"],
        "slowed_age_p99_ms": slow["age_ms"]["p99"],
        "period_and_slowed_pass_ms": 1e3 / 30 + slow["pass_ms"]["max"],
        "slowed_answers_a_second": slow["answers_a_second"],
    }


@click.command(
    epilog="Example: python -m fer_benchmarks.pipeline.camera_loop one_person.mp4 no_faces.mp4 --json loop.json"
)
@click.argument("videos", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option("--json", "json_file", type=click.Path(path_type=Path), metavar="FILE", help="Write the figures as JSON.")
@click.option("--seconds", type=click.FloatRange(min=1), default=SECONDS, show_default=True, help="Of each paced run.")
def cli(videos: tuple[Path, ...], json_file: Path | None, seconds: float) -> None:
    """Measure the loop on VIDEOS: at full speed, and as a camera of 640x480 at 30 frames a second.

    All on one core, with the package's own model. Best on an idle machine, with a video of one face and one of none.
    """
    import cv2
    from rich.console import Console
    from rich.progress import track

    from fer_benchmarks.pipeline.simulated_camera import check
    from fer_runtime.files import refuse_same, written_whole
    from fer_runtime.system import host

    refuse_same([json_file], videos)
    for video in videos:
        check(video)
    conditions = asdict(host.describe()) | {"cores_used": 1, "camera": "640x480 at 30", "seconds": seconds}
    cv2.setNumThreads(1)
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
    console = Console(stderr=True)
    with written_whole(json_file) if json_file else nullcontext() as beside:
        names = track(videos, "measuring", console=console, transient=True, disable=not console.is_terminal)
        report = {"conditions": conditions, "videos": {video.name: measure(video, seconds) for video in names}}
        if beside:
            beside.write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")
    _print_table(report)


def _print_table(report: dict[str, Any]) -> None:
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    videos: dict[str, dict[str, Any]] = report["videos"]
    table = Table("", *(escape(name) for name in videos), "wanted", title="the loop on one core")
    for key in next(iter(videos.values())):
        table.add_row(key.replace("_", " "), *(_cells(key, (v[key] for v in videos.values()))), TARGETS.get(key, ""))
    Console().print(table)
    facts = report["conditions"]
    click.echo(
        f"{facts['cpu']}, python {facts['python']}, onnxruntime {facts['onnxruntime']}, opencv {facts['opencv']}"
    )


def _cells(key: str, values: Iterable[float]) -> list[str]:
    if key.endswith("agree") or "share" in key or key == "flips_less":
        return [f"{value:.1%}" for value in values]
    return [f"{value:.2f}" if isinstance(value, float) else str(value) for value in values]


if __name__ == "__main__":
    run(cli, "bench")
