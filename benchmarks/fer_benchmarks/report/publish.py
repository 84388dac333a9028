"""The published tables, written from the JSON of their run: `python -m fer_benchmarks.report.publish docs/bench.json`.

README.md and docs/benchmarks.md hold them between two comments; a test checks that they are what the JSON says.
"""

from pathlib import Path
from typing import Any

import click

from fer_benchmarks.report import baseline, tables
from fer_benchmarks.report.ranking import run_of
from fer_runtime.cli.entry import run
from fer_runtime.errors import FerError
from fer_runtime.files import write_text

BEGIN, END = "<!-- figures: begin -->\n", "<!-- figures: end -->\n"


def readme(report: dict[str, Any]) -> str:
    """The table of the README: what runs in onnxruntime, and the peers in their own engines."""
    pace = report["settings"]["pace"]
    head = ["model", "MMAC", "parameters", "precision", "PublicTest accuracy", "macro-F1", "ms, p50", f"at {pace:g} Hz"]
    lines = [f"| {' | '.join([*head, 'file'])} |", "|---" * (len(head) + 1) + "|"]
    for row in report["models"]:
        figures = run_of(row, report["verdict"]["threads"], report["verdict"]["batch"])
        if row["engine"] == "cv2" or not figures or not row["scores"]:
            continue
        cells = [
            row["name"].split(".")[0] if row["name"].endswith(".onnx") else row["name"],
            f"{row['macs'] / 1e6:.1f}",
            f"{row['parameters']:,}",
            row["precision"],
            f"{100 * row['scores']['accuracy']:.2f} %",
            f"{row['scores']['macro_f1']:.3f}",
            f"{figures['tight']['p50']:.3f}",
            f"{figures['paced']['p50']:.3f}" if figures["paced"] else "-",
            f"{row['bytes'] / 1e6:.2f} MB",
        ]
        lines.append(f"| {' | '.join(cells)} |")
    facts, data = report["conditions"], report["data"]
    half = max(row["scores"]["interval"] for row in report["models"] if row["scores"])
    about = (
        f"Measured {report['date']} in one interleaved run on one of {facts['cores']} cores of an {facts['cpu']} "
        f"({', '.join(facts['int8_instructions'])}), onnxruntime {facts['onnxruntime']}, batch 1: from a 48x48 crop to "
        f"probabilities, back to back and at {pace:g} calls a second. Accuracy: n = {data['n']:,}, "
        f"+- {100 * half:.1f} points (95 %)."
    )
    about += "".join(f" Warning: {text}." for text in report["warnings"])
    return "\n".join([*lines, "", about]) + "\n"


def filled(text: str, content: str, path: Path) -> str:
    """The text with `content` between its two comments. Raises FerError where it has none."""
    before, begin, rest = text.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise FerError(f"{path} has no place for the figures: expected the lines {BEGIN.strip()} and {END.strip()}")
    return f"{before}{begin}{content}{end}{after}"


@click.command()
@click.argument("report", type=click.Path(path_type=Path))
@click.option("--root", type=click.Path(path_type=Path), default=Path(), help="Of the repository.")
def cli(report: Path, root: Path) -> None:
    """Write REPORT's tables into README.md and docs/benchmarks.md."""
    plain = baseline.read(report)
    for name, content in (("README.md", readme(plain)), ("docs/benchmarks.md", tables.markdown(plain))):
        path = root / name
        write_text(path, filled(path.read_text(encoding="utf-8"), content, path))


if __name__ == "__main__":
    run(cli, "bench")
