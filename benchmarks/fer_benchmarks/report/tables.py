"""The report as tables of words, for the terminal, for Markdown and for the page."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from fer_benchmarks.report.ranking import run_of, settings, shown

Row = dict[str, Any]
Run = dict[str, Any]
NONE = "-"


@dataclass(frozen=True)
class Table:
    """rows: as many cells as header, the first two of each being its number and its name."""

    title: str
    header: list[str]
    rows: list[list[str]]


def tables(report: dict[str, Any]) -> list[Table]:
    """All that there is something to show in."""
    found = [_summary(report), _latency(report), _cost(report)]
    found += [_settings(report)] if len(settings(report)) > 1 else []
    found += [_accuracy(report)] if any(row["scores"] for row in report["models"]) else []
    found += [_robustness(report)] if any(row["robust"] for row in report["models"]) else []
    return found


def markdown(report: dict[str, Any]) -> str:
    """Tables, verdict and conditions as Markdown."""
    from fer_benchmarks.report import ranking

    parts = []
    for table in tables(report):
        head = [_cells(table.header), "|---|---|" + "---:|" * (len(table.header) - 2)]
        parts.append(f"**{table.title}**\n\n" + "\n".join([*head, *map(_cells, table.rows)]))
    lines = [*ranking.lines(report), *(f"warning: {text}" for text in report["warnings"])]
    parts.append("\n".join(f"- {line}" for line in [*lines, *conditions(report)]))
    return "\n\n".join(parts) + "\n"


def conditions(report: dict[str, Any]) -> list[str]:
    """Machine, versions, date and command; the self-check; where other rows come from."""
    facts = report["conditions"]
    machine = f"{facts['cpu']}, {facts['cores']} cores, {facts['architecture']}, {facts['system']}"
    machine += ", virtual machine" if facts.get("virtual") else ""
    instructions = ", ".join(facts.get("int8_instructions", [])) or "none known"
    versions = ", ".join(f"{name} {facts[name]}" for name in ("onnxruntime", "numpy", "opencv", "python"))
    found = [
        f"machine: {machine}; for int8: {instructions}; governor {facts.get('governor') or 'not told'}; "
        f"load before {facts.get('load_before')}",
        f"versions: {versions}; measured {report['date']}",
        f"command: `{report['command']}`",
    ]
    found += [
        f"self-check (threads {check['threads']}, batch {check['batch']}): the first file against itself "
        f"{check['ratio']:.3f} ({check['interval'][0]:.3f} to {check['interval'][1]:.3f}), "
        f"{'equal' if check['ok'] else 'not equal'}"
        for check in report["self_check"]
        if check["ratio"]
    ]
    if data := report["data"]:
        found.append(f"accuracy: {data['n']:,} faces of {data['name']} ({data['split']})")
    found += [f"[{other['origin']}]: {other['cpu']}, measured {other['date']}" for other in report["joined"]]
    return found


def _summary(report: dict[str, Any]) -> Table:
    threads, batch = report["verdict"]["threads"], report["verdict"]["batch"]
    numbers = {shown(row): at for at, row in enumerate(report["models"], 1)}
    place: dict[str, str] = {}
    for part in report["verdict"]["fronts"]:
        place |= dict.fromkeys(part["front"], "front")
        place |= {name: f"by {numbers[by]}" for name, by in part["dominated"].items()}

    def cells(row: Row, run: Run | None) -> list[str]:
        if not run:
            return ["failed" if row["failed"] else NONE, *[NONE] * 5]
        low, high = run["tight"]["intervals"]["p50"]
        scores = row["scores"]
        right = f"{scores['accuracy']:.2%} ± {100 * scores['interval']:.2f}" if scores else NONE
        times = NONE if row["origin"] or not run["ratio"] else f"{run['ratio'][0]:.2f}"
        return [
            f"{run['tight']['p50']:.3f}", f"{low:.3f} to {high:.3f}", times, right,
            f"{scores['macro_f1']:.3f}" if scores else NONE, place.get(shown(row), NONE),
        ]  # fmt: skip

    header = ["ms, p50", "95 %", "x first", "accuracy", "macro-F1", "front"]
    return _table(report, f"Latency and accuracy: threads {threads}, batch {batch}", header, cells)


def _latency(report: dict[str, Any]) -> Table:
    pace = report["settings"]["pace"]

    def cells(_: Row, run: Run | None) -> list[str]:
        if not run:
            return [NONE] * (8 if pace else 5)
        tight = [_ms(run["tight"][f"p{p}"]) for p in (50, 90, 95, 99)]
        paced = [_ms(run["paced"][f"p{p}"]) if run["paced"] else NONE for p in (50, 95)]
        more = [*paced, _ms(run["paced_cpu_ms"])] if pace else []
        return [*tight, _ms(run["cpu_ms"]), *more]

    header = ["p50", "p90", "p95", "p99", "CPU", *(["paced p50", "paced p95", "paced CPU"] if pace else [])]
    about = f", and at {pace:g} calls a second (paced)" if pace else ""
    return _table(report, f"Milliseconds a call, back to back{about}", header, cells)


def _cost(report: dict[str, Any]) -> Table:
    energy = any(run["joules"] for row in report["models"] for run in row["runs"])

    def cells(row: Row, run: Run | None) -> list[str]:
        size = f"{row['bytes'] / 1e6:.2f}"
        macs = f"{row['macs'] / 1e6:.1f}" if row["macs"] else NONE
        if not run:
            return [size, macs, *[NONE] * (6 if energy else 5)]
        memory = f"{run['peak_bytes'] / 2**20:.0f}" if run["peak_bytes"] else NONE
        share = f"{run['peak_share']:.0%}" if run["peak_share"] else NONE
        joules = [f"{1e3 * run['joules']:.3f}" if run["joules"] else NONE] if energy else []
        ready = [f"{run['start_ms']:.0f}", f"{run['load_ms']:.1f}", f"{run['first_ms']:.2f}"]
        return [size, macs, share, memory, *ready, *joules]

    header = ["MB", "MMAC", "of peak", "MiB RAM", "start ms", "load ms", "first ms", *(["mJ"] if energy else [])]
    return _table(report, "What it costs", header, cells)


def _settings(report: dict[str, Any]) -> Table:
    """p50 in every setting, of a call with all its faces."""
    all_settings = settings(report)

    def cells(row: Row, _: Run | None) -> list[str]:
        runs = [run_of(row, *setting) for setting in all_settings]
        return [_ms(run["tight"]["p50"]) if run else NONE for run in runs]

    header = [f"{threads} thr., batch {batch}" for threads, batch in all_settings]
    return _table(report, "Milliseconds a call by threads and batch, p50", header, cells)


def _accuracy(report: dict[str, Any]) -> Table:
    rows = report["models"]
    pairs = {(pair["a"], pair["b"]): pair for pair in report["pairs"]}

    def cells(row: Row, _: Run | None) -> list[str]:
        scores = row["scores"]
        if not scores:
            return [NONE] * 7
        pair = None if row["origin"] else pairs.get((rows[0]["name"], row["name"]))
        low, high = scores["bootstrap"]["macro_f1"]
        return [
            f"{scores['accuracy']:.2%} ± {100 * scores['interval']:.2f}",
            f"{scores['macro_f1']:.3f}",
            f"{low:.3f} to {high:.3f}",
            f"{scores['worst']} {scores['recall'][scores['worst']]:.0%}",
            f"{scores['ece']:.1%}",
            f"{-100 * pair['difference']:+.2f}" if pair else NONE,
            f"{pair['p']:.2g}" if pair else NONE,
        ]

    header = ["accuracy", "macro-F1", "95 %", "worst class", "ECE", "Δ first", "p"]
    return _table(report, "Accuracy; Δ: points over the first file, p: McNemar's", header, cells)


def _robustness(report: dict[str, Any]) -> Table:
    kinds = next(list(row["robust"]["accuracy"]) for row in report["models"] if row["robust"])

    def cells(row: Row, _: Run | None) -> list[str]:
        if not row["robust"]:
            return [NONE] * (2 + len(kinds))
        found = row["robust"]["accuracy"]
        means = [f"{100 * sum(found[kind]) / len(found[kind]):.1f}" if kind in found else NONE for kind in kinds]
        return [f"{100 * row['robust']['clean']:.1f}", f"{100 * row['robust']['mean']:.1f}", *means]

    n = next(row["robust"]["n"] for row in report["models"] if row["robust"])
    title = f"Accuracy in % under corruption, means of 5 severities, {n:,} faces"
    return _table(report, title, ["clean", "mean", *kinds], cells)


def _table(
    report: dict[str, Any], title: str, header: list[str], cells: Callable[[Row, Run | None], list[str]]
) -> Table:
    threads, batch = report["verdict"]["threads"], report["verdict"]["batch"]
    rows = [
        [str(number), shown(row), *cells(row, run_of(row, threads, batch))]
        for number, row in enumerate(report["models"], 1)
    ]
    return Table(title, ["#", "file", *header], rows)


def _ms(value: float | None) -> str:
    return NONE if value is None else f"{value:.3f}"


def _cells(cells: list[str]) -> str:
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"
