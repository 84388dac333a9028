"""Executed instructions of the loop and of its networks: `python -m fer_benchmarks.pipeline.instructions VIDEO...`.

Counted by valgrind's callgrind, which simulates a CPU with AVX2 and without AVX-512: other programs on the machine
change nothing, and the same program gives the same count to a thousandth. Counts, not milliseconds: good for ratios.
"""

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

import click

from fer_runtime.cli.entry import run
from fer_runtime.errors import FerError

LOOP = "from fer_runtime.cli.run import main; main()"
NETWORKS = {
    "classifier, one face": "from fer_runtime.model.session import Classifier\n"
    "network, inputs = Classifier(), (np.full((1, 1, 48, 48), 99, np.uint8),)",
    "locator, one face of 140 pixels": "from fer_runtime.faces.locating import Locator\n"
    "network, inputs = Locator(), (np.full((480, 640, 3), 99, np.uint8), [(200, 200, 110, 140)])",
    "detector, region of 300x300 pixels": "from fer_runtime.faces.detection import RetinaFace\n"
    "network, inputs = RetinaFace.nearby(), (np.full((300, 300, 3), 99, np.uint8),)",
    "detector, frame of 640x480": "from fer_runtime.faces.detection import RetinaFace\n"
    "network, inputs = RetinaFace(), (np.full((480, 640, 3), 99, np.uint8),)",
}
CALLS = """import sys
import cv2
import numpy as np
cv2.setNumThreads(1)
{}
for _ in range(int(sys.argv[1])):
    network(*inputs)"""
FEW, MANY = 3, 23  # calls of a network, whose difference leaves the start out
Counter = Callable[[str, list[str]], int]  # instructions that a Python program with these arguments executes
COUNTED = re.compile(r"Collected : (\d+)")


@dataclass(frozen=True)
class Instructions:
    """Executed instructions in millions."""

    loop_per_frame: dict[str, float]
    """Of the whole process, by video: reading, decoding, the loop, JSON lines."""
    start: dict[str, float]
    """Before the first frame, by video."""
    networks: dict[str, float]
    """Of one call, with what is done before and after it."""


def count(program: str, arguments: list[str]) -> int:
    """Instructions that a Python program executes. Raises FerError without valgrind or where the program fails."""
    valgrind = shutil.which("valgrind")
    if valgrind is None:
        raise FerError("valgrind is missing, which counts the instructions: install it (apt-get install valgrind)")
    command = [valgrind, "--tool=callgrind", "--callgrind-out-file=/dev/null", sys.executable, "-P", "-c", program]
    environment = os.environ | {"PYTHONHASHSEED": "0", "OPENBLAS_NUM_THREADS": "1"}
    done = subprocess.run([*command, *arguments], env=environment, capture_output=True, text=True)  # noqa: S603 - our own programs
    counted = COUNTED.search(done.stderr)
    if done.returncode or not counted:
        raise FerError(f"valgrind could not count a run ({done.stderr.strip().splitlines()[-1][:200]})")
    return int(counted[1])


def of_loop(video: Path, first: int, last: int, counter: Counter = count) -> tuple[float, float]:
    """Millions per frame between two numbers of frames, and millions before the first frame."""
    arguments = ["--source", str(video), "--headless", "--jsonl", os.devnull, "--max-frames"]
    few, many = (counter(LOOP, [*arguments, str(frames)]) for frames in (first, last))
    per_frame = (many - few) / (last - first) / 1e6
    return per_frame, few / 1e6 - first * per_frame


def of_network(setup: str, counter: Counter = count) -> float:
    """Millions per call."""
    few, many = (counter(CALLS.format(setup), [str(calls)]) for calls in (FEW, MANY))
    return (many - few) / (MANY - FEW) / 1e6


@click.command(epilog="Example: python -m fer_benchmarks.pipeline.instructions one_person.mp4 --json instructions.json")
@click.argument("videos", nargs=-1, type=click.Path(path_type=Path, exists=True, dir_okay=False))
@click.option(
    "--from", "first", type=click.IntRange(min=1), default=5, show_default=True, help="Frames that are left out."
)
@click.option(
    "--to", "last", type=click.IntRange(min=2), default=95, show_default=True, help="Frames of the longer run."
)
@click.option("--json", "json_file", type=click.Path(path_type=Path), metavar="FILE", help="Write all figures as JSON.")
def cli(videos: tuple[Path, ...], first: int, last: int, json_file: Path | None) -> None:
    """Count the instructions of fer-run on VIDEOS per frame, and of each network per call; some minutes for each."""
    from fer_runtime.files import check_place, write_text

    if last <= first:
        raise click.UsageError("--to has to be more than --from")
    if json_file:
        check_place(json_file)
    loops = {video.name: of_loop(video, first, last) for video in videos}
    for name, (per_frame, start) in loops.items():
        click.echo(f"{name}: {per_frame:.1f} million instructions per frame, {start:.0f} million before the first")
    networks = {}
    for name, setup in NETWORKS.items():
        networks[name] = of_network(setup)
        click.echo(f"{name}: {networks[name]:.2f} million")
    if json_file:
        report = Instructions(
            {name: each[0] for name, each in loops.items()}, {name: each[1] for name, each in loops.items()}, networks
        )
        write_text(json_file, json.dumps(asdict(report), indent=2) + "\n")


if __name__ == "__main__":
    run(cli, "bench")
