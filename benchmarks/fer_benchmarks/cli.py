"""fer-bench: what each millisecond costs in accuracy, for any number of exported files."""

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import click
from fer_runtime.console import run


@click.command(epilog="Example: fer-bench small.onnx small.int8.onnx --data fer2013.zip")
@click.argument("models", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option("--data", type=click.Path(path_type=Path), metavar="DATA",
              help="Labelled faces to score each file on: validation split, else test, else all.")
@click.option("--threads", type=click.IntRange(min=1), default=1, show_default=True, metavar="N")
@click.option("--json", "json_file", type=click.Path(path_type=Path), metavar="FILE", help="Write all figures as JSON too.")
@click.version_option(package_name="fer-edge")
def cli(models: tuple[Path, ...], data: Path | None, threads: int, json_file: Path | None) -> None:
    """Time MODELS (files of fer-export) at batch 1 and score them.

    Each file runs in a process of its own; blocks of calls are interleaved in random order, so that a slow spell of the
    machine meets all files alike. Ratios are against the first file.
    """
    from fer_runtime.files import write_text
    from fer_runtime.session import Classifier
    from rich.console import Console
    from rich.progress import Progress

    from fer_benchmarks import accuracy, latency, machine

    classifiers = [Classifier(model, threads) for model in models]
    conditions = machine.describe() | {"threads": threads, "batch": 1}
    with Progress(console=Console(stderr=True), transient=True) as progress:
        task = progress.add_task("timing", total=latency.ROUNDS)
        timings = latency.measure(list(models), threads, lambda: progress.advance(task))
        split, scores = None, None
        if data:
            progress.add_task("scoring", total=None)
            split, scores = accuracy.measure(classifiers, data)
    rows: list[dict[str, Any]] = []
    for index, (model, classifier, timing) in enumerate(zip(models, classifiers, timings, strict=True)):
        manifest = classifier.manifest
        rows.append({
            "file": model.name, "bytes": model.stat().st_size, "precision": manifest.precision, "macs": manifest.macs,
            "latency": asdict(timing), "ratio": timing.p50 / timings[0].p50,
            "scores": scores[index].plain() if scores else None,
        })
    report = {"conditions": conditions, "split": split, "models": rows}
    if json_file:
        write_text(json_file, json.dumps(report, indent=2) + "\n")
    _print_table(report)


def _print_table(report: dict[str, Any]) -> None:
    from rich.console import Console
    from rich.table import Table

    conditions = report["conditions"]
    table = Table(title=f"batch 1, {conditions['threads']} thread(s), n = {report['models'][0]['latency']['n']} calls a file")
    columns = ["file", "p50 ms", "p95", "p99", "blocks", "ratio", "load ms", "memory", "size"]
    for column in columns + (["accuracy", "macro-F1"] if report["split"] else []):
        table.add_column(column, justify="left" if column == "file" else "right", overflow="fold")
    for row in report["models"]:
        timing, scores = row["latency"], row["scores"]
        cells = [
            row["file"], f"{timing['p50']:.3f}", f"{timing['p95']:.3f}", f"{timing['p99']:.3f}",
            f"{timing['spread'][0]:.3f}-{timing['spread'][1]:.3f}", f"{row['ratio']:.2f}", f"{timing['load_ms']:.0f}",
            f"{timing['peak_bytes'] / 2**20:.0f} MiB", f"{row['bytes'] / 1e6:.2f} MB",
        ]
        if scores:
            cells += [f"{scores['accuracy']:.2%} +- {scores['interval']:.1%}", f"{scores['macro_f1']:.3f}"]
        table.add_row(*cells)
    console = Console()
    # Without a terminal the width would be 80 columns, and the table cut.
    console.print(table, width=None if console.is_terminal else 140)
    about = f"{conditions['cpu']}, {conditions['cores']} cores, onnxruntime {conditions['onnxruntime']}"
    scored = f"; accuracy on {report['models'][0]['scores']['n']} faces ({report['split']})" if report["split"] else ""
    click.echo(f"{about}; blocks: least and largest median of a block{scored}")


def main() -> None:
    """Entry point of fer-bench."""
    run(cli, "bench")
