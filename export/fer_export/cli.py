"""fer-export: a checkpoint as one self-describing ONNX file, proved against PyTorch."""

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import click
from click.core import ParameterSource

from fer_runtime.cli import options
from fer_runtime.cli import options as shared
from fer_runtime.cli.entry import run
from fer_runtime.cli.options import FILE

if TYPE_CHECKING:
    from collections.abc import Callable

    from fer_export.convert import Exported, ExportOptions
    from fer_export.report import ExportReport
    from fer_export.source import Source
    from fer_runtime.data.dataset import Dataset, Faces
    from fer_runtime.model.manifest import Manifest

ONNX = b"\x08"  # the first byte of such files: field 1 of the protobuf, their version
SUFFIX = {"fp32": ".onnx", "fp16": ".fp16.onnx", "int8": ".int8.onnx"}


def _by_name(_context: click.Context, _argument: click.Parameter, value: Path) -> Path:
    """A model of this checkout's models/ by its name, any other by its file."""
    named = Path(__file__).parents[2] / "models" / f"{value}.pt"
    return named if not value.exists() and named.is_file() else value


@click.command(epilog="Example: fer-export runs/small/model.pt --precision int8 --data fer2013.zip")
@click.argument("model", type=FILE, callback=_by_name)
@click.option(
    "--out", type=FILE, metavar="FILE|DIR",
    help="The file to write, or its folder.  [default: NAME.onnx, NAME.fp16.onnx or NAME.int8.onnx here]",
)  # fmt: skip
@click.option(
    "--precision", type=click.Choice(["fp32", "fp16", "int8", "auto"]), default="fp32", show_default=True,
    help="fp16: half the size, no faster; auto: int8 where it is worth it, else fp32.",
)  # fmt: skip
@click.option(
    "--calibration", type=FILE, metavar="DATA",
    help="Calibrate int8 on these faces.  [default: --data's train split, else the ranges in the checkpoint]",
)  # fmt: skip
@click.option(
    "--data", type=FILE, metavar="DATA",
    help="Compare on these labelled faces: validation split, else test, else all.  [default: generated images]",
)  # fmt: skip
@click.option(
    "--max-drop", type=click.FloatRange(0, 100), default=0.5, show_default=True, metavar="POINTS",
    help="Accuracy that int8 may lose, in percentage points; layers go back to fp32 until it holds.",
)  # fmt: skip
@click.option(
    "--min-speedup", type=click.FloatRange(0), metavar="RATIO",
    help="Refuse int8 that is less than RATIO times as fast as fp32 here.  [default: warn below 1.1]",
)  # fmt: skip
@click.option(
    "--threads", type=click.IntRange(1, 64), default=1, show_default=True, metavar="N", help="Threads when timing."
)
@click.option(
    "--balance", type=options.TEXT, metavar="MIX",
    help="Predict each class as often as in this mix: none, labels, votes, between, uniform, or a JSON file of shares.",
)  # fmt: skip
@click.option(
    "--site", type=FILE, metavar="DIR",
    help="Also write a page that runs in a browser with this model in it; MODEL may be a file of fer-export then.",
)  # fmt: skip
@click.option("--page", type=FILE, metavar="DIR", help="The page to copy, of make web-demo.  [default: build/site]")
@click.option("--arch", metavar="FILE:CLASS", help="The class of the network, for bare weights (a state_dict).")
@shared.foreign_network
@click.option("--unsafe-pickle", is_flag=True, help="Load a whole pickled network; this runs code from the file.")
@options.json_file
@options.version
def cli(
    model: Path,
    out: Path | None,
    precision: str,
    calibration: Path | None,
    data: Path | None,
    max_drop: float,
    min_speedup: float | None,
    threads: int,
    balance: str | None,
    site: Path | None,
    page: Path | None,
    arch: str | None,
    labels: tuple[str, ...],
    size: int | None,
    colour: str | None,
    mean: tuple[float, ...],
    std: tuple[float, ...],
    unsafe_pickle: bool,
    json_file: Path | None,
) -> None:
    """Write MODEL as ONNX, and compare it with PyTorch's own outputs.

    MODEL is a model.pt of fer-train fit, a name in the checkout (fer-small), a torch.export program (.pt2), or
    a state_dict with --arch and --labels.

    The file takes camera bytes (uint8), carries labels, framing and temperature, and runs without torch. No file is
    written, and the exit code is 3, when a limit is exceeded: a logit that differs from PyTorch's by more than 1e-4
    of max(1, |logit|) (fp16: 2e-2), or int8 that loses more than --max-drop or agrees on less than 98 % of --data.
    """
    if page and not site:
        raise click.UsageError("--page is the page that --site copies: give --site DIR too")
    if site:
        _check_site(site, page)
        if _is_onnx(model):
            _refuse_others(model)
            _write_site(site, page, model)
            return
    from fer_export.convert import ExportOptions
    from fer_export.loading.load import load
    from fer_export.loading.options import LoadOptions
    from fer_export.report import report
    from fer_runtime.data import scoring_set
    from fer_runtime.files import check_place, refuse_same

    places = {name: _place(out, model, name) for name in (("fp32", "int8") if precision == "auto" else (precision,))}
    refuse_same([*set(places.values()), json_file], [model, calibration, data, balance])
    for place in [*places.values(), *([json_file] if json_file else [])]:
        check_place(place)
    with warnings.catch_warnings(action="ignore"):  # of a user's own network
        source = load(model, LoadOptions(labels, size, colour, mean, std, arch, unsafe_pickle, data, balance))
    labelled = scoring_set.load(data, source.manifest) if data else None
    calibrated_on = _calibrated_on(_read(calibration, source.manifest) if calibration else None, labelled)
    for note in (*source.notes, *(labelled.notes if labelled else ())):
        click.echo(f"note: {note}", err=True)
    options = ExportOptions(precision, max_drop / 100, min_speedup, threads)
    exported = _converted(source, options, calibrated_on, labelled.held_out()[1] if labelled else None)
    compared_on = "generated images" if data is None else f"faces of {data.name}"
    place = places[exported.chosen]
    _deliver(exported, place, report(exported, options, compared_on, model.stat().st_size), json_file)
    if site:
        _write_site(site, page, place)


def _refuse_others(model: Path) -> None:
    """Raise a usage error for options about an export, where the model needs none."""
    context = click.get_current_context()
    for option in context.command.params:
        name = option.name or ""
        given = context.get_parameter_source(name) is ParameterSource.COMMANDLINE
        if given and name not in ("model", "site", "page"):
            raise click.UsageError(f"{model} is exported already: leave out {option.opts[0]}")


def _is_onnx(model: Path) -> bool:
    """Whether the file begins as ONNX files do: with their version."""
    with model.open("rb") as file:
        return file.read(1) == ONNX


def _check_site(folder: Path, page: Path | None) -> None:
    """Raise FerError now, instead of after the work, where the page cannot be copied to `folder`."""
    from fer_runtime.errors import FerError
    from fer_runtime.outputs.web import site

    if page is None and not Path(site.BUILT).exists():
        raise FerError(f"no page at {site.BUILT}: `make web-demo` in a checkout builds it; or name one with --page DIR")
    site.check_copy(page or Path(site.BUILT), folder)


def _write_site(folder: Path, page: Path | None, file: Path) -> None:
    """The page with the exported `file` in it, and a line that says so."""
    from fer_runtime.outputs.web import site

    replaced = site.copy(page or Path(site.BUILT), folder, file)
    click.echo(f"{folder}: the page with {file.name}" + (" (an older page was replaced)" if replaced else ""))


def _converted(
    source: "Source", options: "ExportOptions", calibrated_on: "Faces | None", faces: "Faces | None"
) -> "Exported":
    """The export, with its progress in the terminal."""
    from fer_export.convert import convert
    from fer_runtime.errors import GateError

    try:
        with _progress() as on_progress, warnings.catch_warnings(action="ignore"):
            return convert(source, options, calibrated_on, faces, on_progress)
    except GateError:
        click.echo("no file was written", err=True)
        raise


def _deliver(exported: "Exported", place: Path, found: "ExportReport", json_file: Path | None) -> None:
    """Write the file and the report, then print."""
    from fer_export.report import show
    from fer_runtime.files import write_text, written_whole

    replaced = place.exists()
    with written_whole(place) as beside:
        beside.write_bytes(exported.file.file)
    if json_file:
        write_text(json_file, found.to_json())
    show(found)
    for note in exported.notes:
        click.echo(f"note: {note}", err=True)
    cost = f"{found.parameters:,} parameters, {found.macs / 1e6:.1f} MMAC per face"
    click.echo(f"{place}: {exported.chosen}, {cost}" + (" (an older file was replaced)" if replaced else ""))


def _place(out: Path | None, model: Path, precision: str) -> Path:
    """Where the file of this precision goes."""
    name = f"{model.stem}{SUFFIX[precision]}"
    if out is None:
        return Path(name)
    return out / name if out.is_dir() else out


def _read(path: Path, manifest: "Manifest") -> "Dataset":
    """The faces, in the network's size and colour. Raises FerError."""
    from fer_runtime.data import dataset

    return dataset.load(path, manifest.size, colour=manifest.colour)


def _calibrated_on(calibration: "Dataset | None", labelled: "Dataset | None") -> "Faces | None":
    """The faces to measure int8's ranges on: --calibration's training split, else the best it has, else --data's
    training split without the faces that stand in its other splits, else none.
    """
    from fer_runtime.data.dataset import training_split

    if calibration is not None:
        return training_split(calibration) if "train" in calibration.splits else calibration.held_out()[1]
    if labelled is not None and {"train"} < set(labelled.splits):
        return training_split(labelled)
    return None


@contextmanager
def _progress() -> "Iterator[Callable[[str], None]]":
    """A line in the terminal that says what is going on; nothing where stderr is no terminal."""
    from rich.console import Console

    with Console(stderr=True).status("reading") as status:
        yield lambda text: status.update(text)


def main() -> None:
    """Entry point of fer-export."""
    run(cli, "export")
