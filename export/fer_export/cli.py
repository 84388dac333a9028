"""fer-export: a checkpoint as one self-describing ONNX file, proved against PyTorch."""

import json
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from fer_runtime.console import run

if TYPE_CHECKING:
    from fer_export.convert import Exported
    from fer_runtime.dataset import Faces


@click.command(epilog="Example: fer-export runs/small/model.pt --precision int8 --data fer2013.zip")
@click.argument("model", type=click.Path(path_type=Path))
@click.option(
    "--out",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="The file to write.  [default: NAME.onnx or NAME.int8.onnx in the current folder]",
)
@click.option("--precision", type=click.Choice(["fp32", "int8"]), default="fp32", show_default=True)
@click.option(
    "--calibration",
    type=click.Path(path_type=Path),
    metavar="DATA",
    help="Measure int8 ranges on these faces.  [default: the ranges in the checkpoint]",
)
@click.option(
    "--data",
    type=click.Path(path_type=Path),
    metavar="DATA",
    help="Compare on these labelled faces: validation split, else test, else all.  [default: generated images]",
)
@click.option(
    "--json", "json_file", type=click.Path(path_type=Path), metavar="FILE", help="Write the report as JSON too."
)
@click.version_option(package_name="fer-edge")
def cli(
    model: Path, out: Path | None, precision: str, calibration: Path | None, data: Path | None, json_file: Path | None
) -> None:
    """Write MODEL, a model.pt of fer-train fit, as ONNX, and hold it against PyTorch's own outputs.

    The file takes camera bytes (uint8), carries labels, framing and temperature, and runs without torch. An fp32 file
    whose logits differ from PyTorch's by more than 1e-4 of max(1, |logit|) is not written: exit code 3.
    """
    from fer_export.convert import convert
    from fer_runtime.files import refuse_same, sha256, written_whole
    from fer_train import checkpoint

    out = out or Path(f"{model.stem}{'' if precision == 'fp32' else '.' + precision}.onnx")
    refuse_same([out, json_file], [model, calibration, data])
    source = checkpoint.load(model)
    manifest = source.manifest
    # Both files are opened before the work and named after it.
    with written_whole(out) as beside, written_whole(json_file) if json_file else nullcontext() as json_beside:
        ranges_from = _calibration(calibration, manifest.size) if calibration else None
        compared_on = _compared(data, manifest.labels, manifest.size) if data else None
        exported = convert(source, sha256(model), precision, ranges_from, compared_on)
        report = _report(exported, model, data)
        beside.write_bytes(exported.file)
        if json_beside:
            json_beside.write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")
    _print_table(report, out)


def _calibration(path: Path, size: int) -> "Faces":
    """The training faces of the data, else the best it has; their labels do not matter. Raises FerError."""
    from fer_runtime import dataset

    data = dataset.load(path, size)
    return data.splits["train"] if "train" in data.splits else data.held_out()[1]


def _compared(path: Path, labels: tuple[str, ...], size: int) -> "Faces":
    """The faces of the data to compare and score on, labelled in the order of `labels`. Raises FerError."""
    from fer_runtime import dataset

    data = dataset.load(path, size).aligned(labels)
    _, faces = data.held_out()
    for note in data.notes:
        click.echo(f"note: {note}", err=True)
    return faces


def _report(exported: "Exported", model: Path, data: Path | None) -> dict[str, Any]:
    from fer_export.parity import BOUND

    manifest, comparison = exported.manifest, exported.comparison
    return {
        "precision": manifest.precision,
        "compared_on": "generated images" if data is None else f"faces of {data.name}",
        "faces": comparison.faces,
        "worst_delta": comparison.worst,
        "worst_relative_delta": comparison.worst_relative,
        "bound": BOUND if manifest.precision == "fp32" else None,
        "agreement": comparison.agreement,
        "torch": exported.torch_scores.plain() if exported.torch_scores else None,
        "onnx": exported.file_scores.plain() if exported.file_scores else None,
        "bytes": {"checkpoint": model.stat().st_size, "onnx": len(exported.file)},
        "parameters": manifest.parameters,
        "macs": manifest.macs,
    }


def _print_table(report: dict[str, Any], out: Path) -> None:
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    title = f"{report['precision']} file against PyTorch, on {report['faces']} {report['compared_on']}"
    table = Table(title=escape(title))
    for column in ("", "PyTorch", "onnxruntime", "bound"):
        table.add_column(column, justify="left" if not column else "right")
    bound = f"{report['bound']:g}" if report["bound"] else "none for int8"
    table.add_row("largest |delta logit|", "", f"{report['worst_delta']:.2e}", "")
    table.add_row("  over max(1, |logit|)", "", f"{report['worst_relative_delta']:.2e}", bound)
    table.add_row("same top-1", "", f"{report['agreement']:.2%}", "")
    for name in ("accuracy", "macro_f1") if report["torch"] else ():
        table.add_row(name.replace("_", "-"), f"{report['torch'][name]:.2%}", f"{report['onnx'][name]:.2%}", "")
    sizes = report["bytes"]
    table.add_row("file size", f"{sizes['checkpoint'] / 1e6:.2f} MB", f"{sizes['onnx'] / 1e6:.2f} MB", "")
    Console().print(table)
    click.echo(f"{out}: {report['parameters']:,} parameters, {report['macs'] / 1e6:.1f} MMAC a face")


def main() -> None:
    """Entry point of fer-export."""
    run(cli, "export")
