"""fer-verify: whether an exported file is still what it says; it works wherever fer-run does."""

import json
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from fer_runtime.cli import options
from fer_runtime.cli.entry import run
from fer_runtime.cli.options import FILE

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from fer_export.verify.checks import Check
    from fer_runtime.data.dataset import Faces
    from fer_runtime.data.index import Split
    from fer_runtime.model.session import Classifier
    from fer_train.checkpoint import Checkpoint

COLUMNS = ("check", "found", "expected", "")
SCHEMA = 1  # of the JSON report


@click.command(epilog="Example: fer-verify small.int8.onnx --against runs/small/model.pt --data fer2013.zip")
@click.argument("file", type=FILE)
@click.option(
    "--against",
    type=FILE,
    metavar="MODEL",
    help="The model.pt it was exported from: compare facts, and logits with PyTorch's.  [needs fer-edge[export]]",
)
@click.option(
    "--data",
    type=FILE,
    metavar="DATA",
    help="Score the file on these labelled faces: validation split, else test, else all.",
)
@options.photos
@options.json_file
@options.version
def cli(file: Path, against: Path | None, data: Path | None, photos: bool, json_file: Path | None) -> int:
    """Check that FILE, which fer-export wrote, is what it says: format, manifest, golden outputs, probabilities.

    Needs neither torch nor onnx, unless --against is given. Exit code 3 when a check fails; the others still run.
    """
    from fer_runtime.files import refuse_same, written_whole

    if photos and not data:
        raise click.UsageError("--photos says what --data holds: give --data too")
    refuse_same([json_file], [file, against, data])
    with written_whole(json_file) if json_file else nullcontext() as beside:
        checks = _checked(file, against, data, photos)
        if beside:
            beside.write_text(json.dumps(_report(file, checks), indent=2) + "\n", encoding="utf-8")
    _print_table(checks)
    failed = sum(not check.ok for check in checks)
    click.echo(f"{file}: {f'{failed} of {len(checks)} checks FAILED' if failed else f'all {len(checks)} checks ok'}")
    return 3 if failed else 0


def _checked(path: Path, against: Path | None, data: Path | None, photos: bool) -> "list[Check]":
    """All checks that can be made; one that fails does not keep the others from being made.

    Raises FerError for a file that onnxruntime cannot open, and for a checkpoint or data that cannot be read.
    """
    from fer_export.verify import checks
    from fer_runtime.model.session import Classifier, open_file, read_model

    source = _source(against) if against else None
    lines = checks.of_format(read_model(path), path)
    if not lines[-1].ok:  # onnxruntime might crash on it
        return lines
    open_file(path)
    lines.append(checks.of_manifest(path))
    if not lines[-1].ok:  # nothing is known of what the file should answer
        return lines
    classifier = Classifier(path)
    split, faces, missed = _labelled(data, classifier, photos) if data else (None, None, None)
    lines += checks.of_golden(path, classifier.manifest)
    if split and faces:
        accuracy, hint = checks.of_accuracy(classifier, split, faces, missed)
        lines.append(accuracy)
        if hint:
            click.echo(f"note: {hint}", err=True)
    if source:
        from fer_export.verify.torch_checks import of_checkpoint

        lines += of_checkpoint(classifier, source, None if faces is None else faces.pixels)
    return lines


def _source(path: Path) -> "Checkpoint":
    """The checkpoint. It is read first: a missing torch or file is told before anything is computed."""
    from fer_train import checkpoint

    return checkpoint.load(path)


def _labelled(path: Path, classifier: "Classifier", photos: bool) -> "tuple[Split, Faces, NDArray[np.int64] | None]":
    """The split of the data to score on, labelled in the model's order, and photos without a face. Raises FerError."""
    from fer_runtime.data import scoring_set
    from fer_runtime.data.photos import load as load_photos

    found = load_photos(path, classifier.manifest) if photos else None
    data = found.faces if found else scoring_set.load(path, classifier.manifest)
    for note in data.notes:
        click.echo(f"note: {note}", err=True)
    split, faces = data.held_out()
    return split, faces, found.missed[split] if found else None


def _report(file: Path, checks: "list[Check]") -> dict[str, Any]:
    import onnxruntime

    return {
        "schema": SCHEMA,
        "file": file.name,
        "onnxruntime": onnxruntime.__version__,
        "ok": all(check.ok for check in checks),
        "checks": [vars(check) for check in checks],
    }


def _print_table(checks: "list[Check]") -> None:
    rows = [COLUMNS, *((c.name, c.found, c.expected, "ok" if c.ok else "FAILED") for c in checks)]
    widths = [min(48, max(len(row[column]) for row in rows)) for column in range(3)]  # a sentence may reach further
    for *cells, verdict in rows:
        line = "  ".join(cell.ljust(width) for cell, width in zip(cells, widths, strict=True))
        click.echo(f"{line}  {verdict}".rstrip())


def main() -> None:
    """Entry point of fer-verify."""
    run(cli, "export")
