"""fer-bench: what each millisecond costs in accuracy, for any number of exported files."""

import json
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import asdict
from pathlib import Path
from typing import Any

import click

from fer_runtime.console import run


@click.command(epilog="Example: fer-bench small.onnx small.int8.onnx --data fer2013.zip")
@click.argument("models", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option(
    "--data",
    type=click.Path(path_type=Path),
    metavar="DATA",
    help="Labelled faces to score each file on: validation split, else test, else all.",
)
@click.option("--threads", type=click.IntRange(1, 64), default=1, show_default=True, metavar="N")
@click.option(
    "--json", "json_file", type=click.Path(path_type=Path), metavar="FILE", help="Write all figures as JSON too."
)
@click.version_option(package_name="fer-edge")
def cli(models: tuple[Path, ...], data: Path | None, threads: int, json_file: Path | None) -> None:
    """Time MODELS (files of fer-export) at batch 1 and score them.

    Each file runs in a process of its own; blocks of calls are interleaved in random order, so that a slow spell of the
    machine meets all files alike. Ratios are against the first file.
    """
    from rich.console import Console
    from rich.progress import Progress

    from fer_benchmarks import accuracy, latency
    from fer_runtime import machine
    from fer_runtime.files import refuse_same, written_whole
    from fer_runtime.session import Classifier

    refuse_same([json_file], [*models, data])
    names = [model.name for model in models]
    if len(set(names)) < len(names):
        names = [str(model) for model in models]
    classifiers = [Classifier(model, threads) for model in models]
    split, faces, notes = accuracy.faces_for(classifiers, data) if data else (None, [], ())
    for note in notes:
        click.echo(f"note: {note}", err=True)
    conditions = machine.describe() | {"threads": threads, "batch": 1}
    with written_whole(json_file) if json_file else nullcontext() as beside:
        console = Console(stderr=True)
        with Progress(console=console, transient=True, disable=not console.is_terminal) as progress:
            task = progress.add_task("timing", total=latency.ROUNDS)
            timings = latency.measure(list(models), threads, lambda: progress.advance(task))
            progress.add_task("scoring", total=None)
            scores = [accuracy.measure(*pair) for pair in zip(classifiers, faces, strict=False)]
        rows: list[dict[str, Any]] = []
        for index, (model, classifier, timing) in enumerate(zip(models, classifiers, timings, strict=True)):
            manifest = classifier.manifest
            rows.append(
                {
                    "file": names[index],
                    "bytes": model.stat().st_size,
                    "precision": manifest.precision,
                    "parameters": manifest.parameters,
                    "macs": manifest.macs,
                    "latency": asdict(timing),
                    "ratio": timing.p50 / timings[0].p50,
                    "scores": scores[index].plain() if scores else None,
                }
            )
        report = {"conditions": conditions, "split": split, "models": rows}
        if beside:
            beside.write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")
    _print_table(report)


def _print_table(report: dict[str, Any]) -> None:
    """A column a file: the rows fit any terminal, and more files than fit are rare."""
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    conditions, rows = report["conditions"], report["models"]
    table = Table(title=f"batch 1, threads: {conditions['threads']}, {rows[0]['latency']['n']} calls a file")
    table.add_column("")
    for row in rows:
        table.add_column(escape(row["file"]), justify="right", overflow="fold")
    figures: dict[str, Callable[[dict[str, Any]], str]] = {
        "p50 ms": lambda row: f"{row['latency']['p50']:.3f}",
        "p95 ms": lambda row: f"{row['latency']['p95']:.3f}",
        "p99 ms": lambda row: f"{row['latency']['p99']:.3f}",
        "medians of blocks": lambda row: "-".join(f"{median:.3f}" for median in row["latency"]["spread"]),
        "p50 / first file's": lambda row: f"{row['ratio']:.2f}",
        "load ms": lambda row: f"{row['latency']['load_ms']:.0f}",
        "first call ms": lambda row: f"{row['latency']['first_ms']:.2f}",
        "peak memory": lambda row: f"{row['latency']['peak_bytes'] / 2**20:.0f} MiB",
        "file size": lambda row: f"{row['bytes'] / 1e6:.2f} MB",
        "MMAC a face": lambda row: f"{row['macs'] / 1e6:.1f}",
    }
    if report["split"]:
        figures["accuracy"] = lambda row: f"{row['scores']['accuracy']:.2%}"
        figures["  95 % interval"] = lambda row: f"+- {row['scores']['interval']:.2%}"
        figures["macro-F1"] = lambda row: f"{row['scores']['macro_f1']:.3f}"
    for name, figure in figures.items():
        table.add_row(name, *(figure(row) for row in rows))
    Console().print(table)
    about = f"{conditions['cpu']}, {conditions['cores']} cores, onnxruntime {conditions['onnxruntime']}"
    scored = f"; accuracy on {rows[0]['scores']['n']} faces ({report['split']})" if report["split"] else ""
    click.echo(about + scored)


def main() -> None:
    """Entry point of fer-bench."""
    run(cli, "bench")
