"""The published tables, written from the JSON of their run: `python -m fer_benchmarks.report.publish docs/bench.json`.

README.md and docs/benchmarks.md hold them between two comments; a test checks that they hold the figures of the JSON.
"""

from pathlib import Path

import click

from fer_benchmarks import results
from fer_benchmarks.report import tables
from fer_benchmarks.results import REPEATED, Report
from fer_runtime.cli.entry import run
from fer_runtime.cli.options import FILE
from fer_runtime.errors import FerError
from fer_runtime.files import write_text

BEGIN, END = "<!-- figures: begin -->\n", "<!-- figures: end -->\n"


def readme(report: Report) -> str:
    """The table of the README: what runs in onnxruntime, and the peers in their own engines. Raises FerError."""
    pace, scored = report.settings.pace_hz, [model.scores for model in report.models if model.scores]
    if pace is None or not scored:
        raise FerError("the README shows accuracies and paced times: run fer-bench with --data and --pace")
    head = ["model", "MMAC", "parameters", "precision", "PublicTest accuracy", "macro-F1", "ms, p50", f"at {pace:g} Hz"]
    lines = [f"| {' | '.join([*head, 'file'])} |", "|---" * (len(head) + 1) + "|"]
    for model in report.models:
        run = model.run(report.ranking.threads, report.ranking.batch)
        if model.engine in REPEATED or not run or not model.scores:
            continue
        cells = [
            model.name.split(".")[0] if model.name.endswith(".onnx") else model.name,
            f"{model.macs / 1e6:.1f}" if model.macs else "-",
            f"{model.parameters:,}" if model.parameters else "-",
            model.precision or "-",
            f"{100 * model.scores.accuracy:.2f} %",
            f"{model.scores.macro_f1:.3f}",
            f"{run.back_to_back.p50:.3f}",
            f"{run.paced.p50:.3f}" if run.paced else "-",
            f"{model.file_bytes / 1e6:.2f} MB",
        ]
        lines.append(f"| {' | '.join(cells)} |")
    facts = report.environment
    half, n = max(scores.interval for scores in scored), scored[0].n
    about = (
        f"Measured {report.date} in one interleaved run on one of {facts.cores} cores of an {facts.cpu} "
        f"({', '.join(facts.int8_instructions)}), onnxruntime {facts.onnxruntime}, batch 1: from a 48x48 crop to "
        f"probabilities, back to back and at {pace:g} calls per second. Accuracy: n = {n:,}, "
        f"+- {100 * half:.1f} points (95 %)."
    )
    about += "".join(f" Warning: {text}." for text in report.warnings)
    return "\n".join([*lines, "", about]) + "\n"


def filled(text: str, content: str, path: Path) -> str:
    """The text with `content` between its two comments. Raises FerError where it has none."""
    before, begin, rest = text.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise FerError(f"{path} has no place for the figures: expected the lines {BEGIN.strip()} and {END.strip()}")
    return f"{before}{begin}{content}{end}{after}"


@click.command()
@click.argument("report", type=FILE)
@click.option("--root", type=FILE, default=Path(), help="Of the repository.")
def cli(report: Path, root: Path) -> None:
    """Write REPORT's tables into README.md and docs/benchmarks.md."""
    figures = results.read(report)
    for name, content in (("README.md", readme(figures)), ("docs/benchmarks.md", tables.markdown(figures))):
        path = root / name
        write_text(path, filled(path.read_text(encoding="utf-8"), content, path))


if __name__ == "__main__":
    run(cli, "bench")
