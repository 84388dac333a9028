"""What an export came to: plain data for JSON, and tables for the terminal."""

from dataclasses import asdict
from typing import Any

from fer_export import gates
from fer_export.candidate import Candidate
from fer_export.convert import Exported, ExportOptions
from fer_export.quantization.accuracy_budget import Search
from fer_export.validation import parity, speedup
from fer_export.validation.speedup import Timing
from fer_runtime.system import host

SCHEMA = 2


def plain(exported: Exported, options: ExportOptions, compared_on: str, checkpoint_bytes: int) -> dict[str, Any]:
    """The report as JSON holds it. compared_on: "generated images" or what the faces are."""
    manifest = exported.file.manifest
    files = {name: _file(each, exported) for name, each in exported.candidates.items()}
    return {
        "schema": SCHEMA,
        "precision": exported.chosen,
        "requested": options.precision,
        "compared_on": compared_on,
        "faces": exported.file.comparison.faces,
        "parameters": manifest.parameters,
        "macs": manifest.macs,
        "checkpoint_bytes": checkpoint_bytes,
        "pytorch": exported.scores.plain() if exported.scores else None,
        "files": files,
        "limits": {
            "max_drop": options.max_drop,
            "min_agreement": gates.MIN_AGREEMENT,
            "min_speedup": options.min_speedup,
        },
        "int8_search": _search(exported.candidates["int8"].search) if "int8" in exported.candidates else None,
        "environment": asdict(host.describe()) | {"threads": options.threads, "batch": 1} if exported.timings else None,
        "int8_peak_share": _rounded(speedup.peak_share(exported.timings, manifest.macs)),
        "notes": list(exported.notes),
    }


def _file(candidate: Candidate, exported: Exported) -> dict[str, Any]:
    precision, comparison = candidate.manifest.precision, candidate.comparison
    timing = exported.timings.get(precision)
    pairs = parity.disagreements(exported.expected, comparison.logits, candidate.manifest.labels)
    return {
        "bytes": len(candidate.file),
        "max_difference": comparison.max_difference,
        "max_relative_difference": comparison.max_relative_difference,
        "setting": comparison.setting,
        "max_relative_difference_allowed": gates.MAX_DIFFERENCE.get(precision),
        "agreement": comparison.agreement,
        "disagreements": [{"pytorch": a, "file": b, "faces": n} for a, b, n in pairs],
        "scores": candidate.scores.plain() if candidate.scores else None,
        "quantization": candidate.manifest.quantization,
        "timing": _timing(timing) if timing else None,
    }


def _timing(timing: Timing) -> dict[str, Any]:
    return {
        "p50_ms": timing.p50,
        "min_ms": timing.fastest,
        "speedup": timing.ratio,
        "speedup_interval": list(timing.interval),
    }


def _search(search: Search | None) -> dict[str, Any] | None:
    """None where no labelled faces were given: not measured."""
    if search is None:
        return None
    trials = [
        {
            "calibration": trial.build.calibration,
            "in_fp32": list(trial.reverted),
            "accuracy": round(trial.accuracy, 5),
            "drop": round(trial.drop, 5),
            "drop_interval": round(trial.interval, 5),
            "agreement": round(trial.agreement, 5),
        }
        for trial in search.trials
    ]
    sites = [{"site": e.site, "kind": e.kind, "mean_difference": round(e.error, 6)} for e in search.sensitivities]
    return {"trials": trials, "sensitivity": sites}


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 4)


def show(report: dict[str, Any]) -> None:
    """Print the tables: the files beside PyTorch, and how int8 was made to fit."""
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    files: dict[str, dict[str, Any]] = report["files"]
    console = Console()
    table = Table(title=escape(f"against PyTorch, on {report['faces']} {report['compared_on']}"))
    for column in ("", "PyTorch", *(f"{name} *" if name == report["precision"] else name for name in files)):
        table.add_column(column, justify="right" if column else "left")
    bounds = [each["max_relative_difference_allowed"] for each in files.values()]
    rows: list[tuple[str, str, list[str]]] = [
        ("largest |delta logit|", "", [f"{each['max_difference']:.1e}" for each in files.values()]),
        ("  over max(1, |logit|)", "", [f"{each['max_relative_difference']:.1e}" for each in files.values()]),
        ("    at most", "", [f"{bound:g}" if bound else "" for bound in bounds]),
        ("same top-1", "", [f"{each['agreement']:.2%}" for each in files.values()]),
    ]
    for name in ("accuracy", "macro_f1") if report["pytorch"] else ():
        found = [f"{each['scores'][name]:.2%}" for each in files.values()]
        rows.append((name.replace("_", "-"), f"{report['pytorch'][name]:.2%}", found))
    if not report["pytorch"] and "int8" in files:
        rows.append(("accuracy", "", ["not measured" if name == "int8" else "" for name in files]))
    timings = [each["timing"] for each in files.values()]
    if all(timings):
        rows.append(("p50 ms", "", [f"{each['p50_ms']:.3f}" for each in timings]))
        spans = [
            f"{each['speedup']:.2f} ({each['speedup_interval'][0]:.2f}-{each['speedup_interval'][1]:.2f})"
            for each in timings
        ]
        rows.append(("times as fast as fp32", "", spans))
    sizes = [f"{each['bytes'] / 1e6:.2f} MB" for each in files.values()]
    rows.append(("file size", f"{report['checkpoint_bytes'] / 1e6:.2f} MB", sizes))
    for name, torch_side, found in rows:
        table.add_row(name, torch_side, *found)
    console.print(table)
    if report["int8_search"]:
        console.print(_search_table(report))
    if report["int8_peak_share"]:
        console.print(
            f"int8 reaches {report['int8_peak_share']:.0%} of what a large int8 convolution does in the same run",
            highlight=False,
        )


def _search_table(report: dict[str, Any]) -> Any:
    from rich.table import Table

    table = Table(
        title=f"int8: at most {100 * report['limits']['max_drop']:g} points lost, {gates.MIN_AGREEMENT:.0%} same top-1"
    )
    table.add_column("ranges")
    table.add_column("back in fp32", overflow="fold")
    for column in ("accuracy", "points lost", "same top-1"):
        table.add_column(column, justify="right")
    for trial in report["int8_search"]["trials"]:
        lost = f"{100 * trial['drop']:.2f} +- {100 * trial['drop_interval']:.2f}"
        back = trial["in_fp32"][-1] if trial["in_fp32"] else ""
        table.add_row(
            trial["calibration"],
            f"+ {back}" if back else "",
            f"{trial['accuracy']:.2%}",
            lost,
            f"{trial['agreement']:.2%}",
        )
    return table
