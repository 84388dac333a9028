"""fer-score: expressions of the faces in whole archives of videos and photos, as a Parquet dataset."""

import logging
import os
import sys
import time
from collections import Counter
from contextlib import closing
from importlib.metadata import version
from pathlib import Path, PurePath
from typing import TYPE_CHECKING

import click

from fer_runtime.cli import options
from fer_runtime.cli.entry import run
from fer_runtime.cli.options import FILE, TEXT

if TYPE_CHECKING:
    from fer_runtime.archive.inputs import Listing
    from fer_runtime.archive.ledger import Summary
    from fer_runtime.archive.run import State

log = logging.getLogger(__name__)

SHOWN_ERRORS = 5
LINE_S = 0.5, 30.0  # seconds between two lines of progress: on a terminal, where each replaces the last; elsewhere


@click.command(epilog="Example: fer-score interviews/ --out results --max-fps 5 --csv")
@click.argument("paths", nargs=-1, required=True, type=TEXT, metavar="PATH...")
@click.option("--out", required=True, type=TEXT, metavar="FOLDER|URL", help="Where the results go, or go on.")
@options.model
@click.option("--detector", type=FILE, metavar="FILE", help="A YuNet file, in place of the built-in detector.")
@click.option("--every", type=click.FloatRange(0.001, 3600), metavar="SECONDS", help="One frame per SECONDS of video.")
@click.option("--max-fps", type=click.FloatRange(0.1, 1000), metavar="N", help="At most N frames per second of video.")
@click.option("--max-frames", type=click.IntRange(min=1), metavar="N", help="At most N frames of each file.")
@click.option(
    "--workers",
    type=click.IntRange(1, 1024),
    metavar="N",
    help="Processes of one thread each; with --ray, units at a time.  [default: one per core]",
)
@click.option("--ray", type=TEXT, metavar="ADDRESS|local", help="Score on a Ray cluster, or on one of this machine.")
@click.option(
    "--timeout", type=click.FloatRange(1), default=120, show_default=True, metavar="SECONDS",
    help="Give a file up that yields no frame for so long.",
)  # fmt: skip
@click.option(
    "--memory", type=click.IntRange(256), default=4096, show_default=True, metavar="MIB",
    help="Give a file up whose worker takes more memory.",
)  # fmt: skip
@click.option("--csv", "as_csv", is_flag=True, help="Also write the tables as CSV files.")
@click.option("--html", type=FILE, metavar="FILE", help="Also write one page with time lines, shares and errors.")
@click.option("--strict", is_flag=True, help="Exit code 3 when a file could not be scored.")
@options.verbosity
@options.version
def cli(
    paths: tuple[str, ...],
    out: str,
    model: Path | None,
    detector: Path | None,
    every: float | None,
    max_fps: float | None,
    max_frames: int | None,
    workers: int | None,
    ray: str | None,
    timeout: float,
    memory: int,
    as_csv: bool,
    html: Path | None,
    strict: bool,
) -> None:
    """Score the faces in videos and photos: files, folders, globs, lists of these (.txt), and URLs such as s3://.

    Results are tables (Parquet): faces, tracks, sources. Stopped at any moment, the same command goes on where it was;
    files that are there already are passed over. A file that cannot be read becomes a row with its error.
    """
    import pyarrow  # noqa: F401 - first, so that a missing extra is named before anything is done

    from fer_runtime.archive import inputs, leave_pandas_out
    from fer_runtime.archive import run as runs
    from fer_runtime.archive.cluster import RayPool
    from fer_runtime.archive.csv_tables import write_csv
    from fer_runtime.archive.ledger import CSV_FILES, SETTINGS, Settings, open_ledger
    from fer_runtime.archive.messages import Setup
    from fer_runtime.archive.pool import Limits, LocalPool
    from fer_runtime.archive.report import page
    from fer_runtime.archive.scoring import ScoringOptions
    from fer_runtime.archive.store import open_store
    from fer_runtime.errors import FerError, GateError
    from fer_runtime.files import check_place, refuse_same, sha256
    from fer_runtime.model.session import default_model, read_model

    leave_pandas_out()
    if every and max_fps:
        raise click.UsageError("--every and --max-fps say the same in two ways: give one")
    if html:
        check_place(html)
    store = open_store(out)
    listing = inputs.find(paths, store.place)
    if html:
        listed = {file.name for file in listing.files} & {str(html.absolute()), str(html.resolve())}
        ours = [Path(store.place) / name for name in (SETTINGS, *CSV_FILES.values())]
        refuse_same([html], [model, detector, *listed, *filter(os.path.isfile, paths), *ours])
    if not listing.files:
        raise FerError(f"no pictures or videos in {', '.join(paths)}{_kinds(listing)}")
    max_fps = 1 / every if every else max_fps
    used = model or default_model()
    read_model(used)
    scoring = ScoringOptions(_absolute(model), sha256(used), _absolute(detector), max_fps, max_frames)
    setup, limits = Setup(scoring, store.place), Limits(timeout, memory)
    store.prepare()
    with (
        runs.alone(store),
        closing(
            RayPool(setup, ray, workers, limits, listing.files)
            if ray
            else LocalPool(setup, min(workers or _cores(), len(listing.files)), limits)
        ) as pool,
    ):
        detector_sha256 = sha256(detector) if detector else None
        settings = Settings(
            version("fer-edge"), scoring.model_sha256, pool.labels(), detector_sha256, max_fps, max_frames
        )
        ledger = open_ledger(store, settings)
        progress = _Progress()
        try:
            runs.score_all(ledger, listing.files, pool, progress, limits)
        except KeyboardInterrupt:
            log.info("what is finished stays in %s: the same command goes on", out)
            raise
        finally:
            progress.close()
    if as_csv:
        write_csv(store)
    if html:
        page.write(html, store, settings.labels)
    summary = ledger.summary(listing.files)
    _tell(summary, listing, out)
    if strict and summary.errors:
        raise GateError(
            f"{len(summary.errors)} of {len(listing.files)} files could not be scored: see sources in {out}"
        )


def _cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _absolute(path: Path | None) -> str | None:
    return str(path.absolute()) if path else None


class _Progress:
    """Shows how far the run is: on a terminal one line that changes, in a log a line now and then."""

    def __init__(self) -> None:
        from fer_runtime.archive.progress import ProgressLine

        self._line = ProgressLine()
        self._terminal = sys.stderr.isatty()
        self._interval = LINE_S[0] if self._terminal else LINE_S[1]
        self._next = time.monotonic() + self._interval
        self._width = 0

    def __call__(self, state: "State") -> None:
        if time.monotonic() < self._next or not log.isEnabledFor(logging.INFO):
            return
        self._next = time.monotonic() + self._interval
        text = self._line(state)
        if self._terminal:
            click.echo(f"\r{text:{self._width}}", nl=False, err=True)
            self._width = len(text)
        else:
            log.info(text)

    def close(self) -> None:
        """End the line."""
        if self._width:
            click.echo(err=True)


def _tell(summary: "Summary", listing: "Listing", out: str) -> None:
    """What was done, what is wrong with which file, and what was passed over."""
    log.info(
        "%d videos (%.2f h), %d pictures, %d faces in %s",
        summary.videos, summary.video_s / 3600, summary.pictures, summary.faces, out,
    )  # fmt: skip
    if listing.others:
        log.info("no pictures or videos by their names%s", _kinds(listing))
    for message in list(summary.errors.values())[:SHOWN_ERRORS]:
        log.warning(message)
    if len(summary.errors) > SHOWN_ERRORS:
        log.warning("%d files could not be scored in all: see `error` in sources", len(summary.errors))


def _kinds(listing: "Listing") -> str:
    """Of what was passed over, how many of which suffix, and the first."""
    if not listing.others:
        return ""
    counts = Counter(PurePath(name).suffix.lower() or "without suffix" for name in listing.others)
    return (
        "; passed over "
        + ", ".join(f"{n} {kind}" for kind, n in counts.most_common(5))
        + f" (first: {listing.others[0]})"
    )


def main() -> None:
    """Entry point of fer-score."""
    run(cli, "score")
