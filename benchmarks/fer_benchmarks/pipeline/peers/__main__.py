"""Whole systems on the same videos, on one core: `python -m fer_benchmarks.pipeline.peers VIDEO...`."""

import json
import os
import shlex
import shutil
from dataclasses import asdict
from datetime import UTC, datetime
from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING

import click

from fer_benchmarks.pipeline.peers import systems
from fer_runtime.cli.entry import run
from fer_runtime.errors import FerError

if TYPE_CHECKING:  # heavy: a child's peak memory is at least what its parent had when it began
    from fer_benchmarks.pipeline.peers.report import PeersReport, Round

ALL = 10**9  # frames
FER_IS_MISSING = """fer is left out. To compare it:
  python3 -m venv peer-fer
  peer-fer/bin/pip install tensorflow-cpu 'opencv-contrib-python-headless<5' 'setuptools<81' requests pillow
  peer-fer/bin/pip install --no-deps fer==25.10.3
and give --fer peer-fer/bin/python"""
HUMAN_IS_MISSING = """Human is left out. To compare it (node 18 or newer):
  npm install --prefix peer-human @vladmandic/human@3.3.6 @tensorflow/tfjs@4.22.0 @tensorflow/tfjs-backend-wasm@4.22.0
and give --human peer-human"""


@click.command(
    epilog="Example: python -m fer_benchmarks.pipeline.peers one_person.mp4 --fer peer-fer/bin/python "
    "--human peer-human --json peers.json"
)
@click.argument("files", nargs=-1, required=True, type=click.Path(path_type=Path, exists=True, dir_okay=False))
@click.option(
    "--fer", type=click.Path(path_type=Path), metavar="PYTHON", help="Python of an environment that has `fer` (PyPI)."
)
@click.option(
    "--human", type=click.Path(path_type=Path), metavar="FOLDER", help="Where npm installed @vladmandic/human."
)
@click.option(
    "--peer", multiple=True, metavar="NAME=COMMAND", help="Any other, {video} and {frames} replaced. It is run."
)
@click.option("--rounds", type=click.IntRange(min=1), default=5, show_default=True, help="Of all systems in turns.")
@click.option("--frames", type=click.IntRange(min=2), help="Of each video, from its beginning; all by default.")
@click.option("--json", "json_file", type=click.Path(path_type=Path), metavar="FILE", help="Write all rounds as JSON.")
def cli(
    files: tuple[Path, ...],
    fer: Path | None,
    human: Path | None,
    peer: tuple[str, ...],
    rounds: int,
    frames: int | None,
    json_file: Path | None,
) -> None:
    """Compare whole systems on videos: ours with and without following faces, `fer` and Human.

    Each runs in a process of its own on the same core, in turns, from the file to boxes and labels. Where FILES are
    reports of this command (.json), their rounds are joined, and nothing is measured.
    """
    from fer_runtime.files import check_place, refuse_same, write_text

    refuse_same([json_file], files)
    if json_file:
        check_place(json_file)
    reports = [path for path in files if path.suffix == ".json"]
    if reports and len(reports) < len(files):
        raise click.UsageError("give either videos, or reports (.json) to join")
    if len({video.name for video in files}) < len(files) and not reports:
        raise click.UsageError("two of the videos have the same name, by which they are told apart")
    measured = None if reports else _measured(list(files), _systems(fer, human, peer), rounds, frames or ALL)

    from fer_benchmarks.pipeline.peers import report

    found = measured or report.joined([report.read(path) for path in reports])
    _print(found)
    if json_file:
        write_text(json_file, json.dumps(asdict(found), indent=1) + "\n")


def _systems(fer: Path | None, human: Path | None, others: tuple[str, ...]) -> list[systems.System]:
    """Ours and the peers that are there; of those that are not, it is said how to get them."""
    found = systems.ours()
    if fer:
        found.append(systems.fer(fer))
    else:
        click.echo(FER_IS_MISSING, err=True)
    if human:
        if not shutil.which("node"):
            raise FerError("--human needs node 18 or newer, which is not installed (apt-get install nodejs)")
        found.append(systems.human(human))
    else:
        click.echo(HUMAN_IS_MISSING, err=True)
    for other in others:
        name, equals, command = other.partition("=")
        if not equals or "{video}" not in command:
            raise click.UsageError(f"--peer is {other!r}: expected NAME=COMMAND with {{video}} and {{frames}} in it")
        found.append(systems.System(name, shlex.split(command)))
    return found


def _measured(videos: list[Path], compared: list[systems.System], rounds: int, frames: int) -> "PeersReport":
    """All rounds, the systems in turns."""
    core = max(os.sched_getaffinity(0)) if hasattr(os, "sched_setaffinity") else None
    if core is not None:
        os.sched_setaffinity(0, {core})
    begun = datetime.now(UTC).isoformat(timespec="seconds")
    # One frame first: what does not work is known at once, and the disk's cache is warm.
    versions = {system.name: systems.run(system, videos[0], 1).versions for system in compared}
    pairs: dict[tuple[Path, str], list[tuple[systems.Run, systems.Run]]] = {}
    for number, video, system in product(range(rounds), videos, compared):
        pair = systems.run(system, video, 1), systems.run(system, video, frames)
        pairs.setdefault((video, system.name), []).append(pair)
        expected = len(pairs[video, compared[0].name][0][1].answers)
        if len(pair[1].answers) != expected:
            raise FerError(
                f"{system.name} answered {len(pair[1].answers)} frames of {video.name}, {compared[0].name} {expected}: "
                "expected the same frames; --frames may leave the end out"
            )
        click.echo(f"round {number + 1}, {video.name}, {system.name}: {pair[1].cpu_s:.1f} CPU seconds", err=True)

    from fer_benchmarks.pipeline.peers.report import Conditions, PeersReport, Round
    from fer_runtime.system import host

    found: dict[str, dict[str, list[Round]]] = {}
    for (video, name), runs in pairs.items():
        found.setdefault(video.name, {})[name] = [_round(first, whole, video) for first, whole in runs]
    return PeersReport([Conditions(begun, host.describe(), core, versions)], found)


def _round(first: systems.Run, whole: systems.Run, video: Path) -> "Round":
    """first: the run of one frame; whole: of all."""
    import cv2

    from fer_benchmarks.pipeline.peers import figures
    from fer_benchmarks.pipeline.peers.report import Round

    changes, pairs = figures.label_changes(whole.answers)
    fps = cv2.VideoCapture(str(video)).get(cv2.CAP_PROP_FPS)
    return Round(
        frames=len(whole.answers),
        cpu_s=whole.cpu_s,
        start_cpu_s=first.cpu_s,
        first_answer_s=first.first_answer_s,
        peak_memory_mb=whole.peak_memory_mb,
        seen=figures.seen(whole.answers, video.name),
        label_changes=changes,
        face_s=pairs / fps if fps else 0.0,
    )


def _print(report: "PeersReport") -> None:
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    from fer_benchmarks.pipeline.peers.report import table

    for video, rounds in report.videos.items():
        shown = Table("", *map(escape, rounds), title=escape(f"{video}, one core"))
        for name, cells in table(rounds).items():
            shown.add_row(name, *cells)
        Console().print(shown)
    for each in report.conditions:
        told = "; ".join(
            f"{name}: {', '.join(map(' '.join, found.items()))}" for name, found in each.versions.items() if found
        )
        click.echo(
            f"{each.date}: {each.host.cpu}, python {each.host.python}, onnxruntime {each.host.onnxruntime}, {told}"
        )


if __name__ == "__main__":
    run(cli, "bench")
