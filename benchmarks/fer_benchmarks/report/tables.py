"""The report as tables of text, for the terminal, for Markdown and for the page."""

from collections.abc import Callable
from dataclasses import dataclass

from fer_benchmarks.report import ranking
from fer_benchmarks.results import PERCENTILES, ModelResult, Report, Run

NONE = "-"


@dataclass(frozen=True)
class Table:
    """Cells of text."""

    title: str
    header: list[str]
    rows: list[list[str]]
    """As many cells each as the header, the first two its number and the model's name."""


def tables(report: Report) -> list[Table]:
    """All tables that are not empty."""
    found = [_summary(report), _latency(report), _cost(report)]
    found += [_settings(report)] if len(report.run_settings()) > 1 else []
    found += [_accuracy(report)] if any(model.scores for model in report.models) else []
    found += [_robustness(report)] if any(model.robustness for model in report.models) else []
    return found


def markdown(report: Report) -> str:
    """Tables, ranking and conditions as Markdown."""
    parts = []
    for table in tables(report):
        head = [_cells(table.header), "|---|---|" + "---:|" * (len(table.header) - 2)]
        parts.append(f"**{table.title}**\n\n" + "\n".join([*head, *map(_cells, table.rows)]))
    lines = [*ranking.lines(report), *(f"warning: {text}" for text in report.warnings)]
    parts.append("\n".join(f"- {line}" for line in [*lines, *conditions(report)]))
    return "\n\n".join(parts) + "\n"


def conditions(report: Report) -> list[str]:
    """Machine, versions, date and command; the self-check; where other models come from."""
    facts = report.environment
    machine = f"{facts.cpu}, {facts.cores} cores, {facts.architecture}, {facts.system}"
    machine += ", virtual machine" if facts.virtual else ""
    instructions = ", ".join(facts.int8_instructions) or "none known"
    versions = f"onnxruntime {facts.onnxruntime}, numpy {facts.numpy}, opencv {facts.opencv}, python {facts.python}"
    found = [
        f"machine: {machine}; for int8: {instructions}; governor {facts.governor or 'unknown'}; "
        f"load before {facts.load_before}",
        f"versions: {versions}; measured {report.date}",
        f"command: `{report.command}`",
    ]
    found += [
        f"self-check (threads {check.threads}, batch {check.batch}): the first file against itself "
        f"{check.ratio:.3f} ({check.interval[0]:.3f} to {check.interval[1]:.3f}), "
        f"{'equal' if check.ok else 'not equal'}"
        for check in report.self_check
        if check.ratio and check.interval
    ]
    if data := report.data:
        found.append(f"accuracy: {data.n:,} faces of {data.name} ({data.split})")
    found += [f"[{other.origin}]: {other.cpu}, measured {other.date}" for other in report.joined]
    return found


def _summary(report: Report) -> Table:
    numbers = {model.title: at for at, model in enumerate(report.models, 1)}
    place: dict[str, str] = {}
    for part in report.ranking.fronts:
        place |= dict.fromkeys(part.front, "front")
        place |= {name: f"by {numbers[by]}" for name, by in part.dominated.items()}

    def cells(model: ModelResult, run: Run | None) -> list[str]:
        if not run:
            return ["failed" if model.error else NONE, *[NONE] * 5]
        low, high = run.back_to_back.intervals["p50"]
        return [
            f"{run.back_to_back.p50:.3f}",
            f"{low:.3f} to {high:.3f}",
            NONE if model.origin or not run.ratio else f"{run.ratio[0]:.2f}",
            _accuracy_cell(model),
            f"{model.scores.macro_f1:.3f}" if model.scores else NONE,
            place.get(model.title, NONE),
        ]

    header = ["ms, p50", "95 %", "x first", "accuracy", "macro-F1", "front"]
    setting = f"threads {report.ranking.threads}, batch {report.ranking.batch}"
    return _table(report, f"Latency and accuracy: {setting}", header, cells)


def _latency(report: Report) -> Table:
    pace = report.settings.pace_hz

    def cells(_: ModelResult, run: Run | None) -> list[str]:
        if not run:
            return [NONE] * (8 if pace else 5)
        times = [_ms(getattr(run.back_to_back, name)) for name in PERCENTILES]
        paced = [_ms(run.paced.p50), _ms(run.paced.p95)] if run.paced else [NONE, NONE]
        return [*times, _ms(run.cpu_ms), *([*paced, _ms(run.paced_cpu_ms)] if pace else [])]

    header = [*PERCENTILES, "CPU", *(["paced p50", "paced p95", "paced CPU"] if pace else [])]
    about = f", and at {pace:g} calls per second (paced)" if pace else ""
    return _table(report, f"Milliseconds per call, back to back{about}", header, cells)


def _cost(report: Report) -> Table:
    energy = any(run.energy_j for model in report.models for run in model.runs)

    def cells(model: ModelResult, run: Run | None) -> list[str]:
        size = f"{model.file_bytes / 1e6:.2f}"
        macs = f"{model.macs / 1e6:.1f}" if model.macs else NONE
        if not run:
            return [size, macs, *[NONE] * (6 if energy else 5)]
        memory = f"{run.peak_memory_bytes / 2**20:.0f}" if run.peak_memory_bytes else NONE
        share = f"{run.peak_share:.0%}" if run.peak_share else NONE
        joules = [f"{1e3 * run.energy_j:.3f}" if run.energy_j else NONE] if energy else []
        ready = [_number(run.start_ms, 0), _number(run.load_ms, 1), _number(run.first_ms, 2)]
        return [size, macs, share, memory, *ready, *joules]

    header = ["MB", "MMAC", "of peak", "MiB RAM", "start ms", "load ms", "first ms", *(["mJ"] if energy else [])]
    return _table(report, "Size and cost", header, cells)


def _settings(report: Report) -> Table:
    """p50 in every setting, of a call with all its faces."""
    settings = report.run_settings()

    def cells(model: ModelResult, _: Run | None) -> list[str]:
        runs = [model.run(threads, batch) for threads, batch in settings]
        return [_ms(run.back_to_back.p50) if run else NONE for run in runs]

    header = [f"{threads} thr., batch {batch}" for threads, batch in settings]
    return _table(report, "Milliseconds per call by threads and batch, p50", header, cells)


def _accuracy(report: Report) -> Table:
    first = report.models[0].name
    tests = {test.b: test for test in report.paired_tests if test.a == first}
    photos = any(model.scores and model.scores.with_missed for model in report.models)

    def cells(model: ModelResult, _: Run | None) -> list[str]:
        scores = model.scores
        if not scores:
            return [NONE] * len(header)
        whole = scores.with_missed
        paired = None if model.origin else tests.get(model.name)
        low, high = scores.bootstrap["macro_f1"]
        return [
            _accuracy_cell(model),
            f"{scores.macro_f1:.3f}",
            f"{low:.3f} to {high:.3f}",
            f"{scores.worst_class} {scores.recall[scores.worst_class]:.0%}",
            f"{scores.ece:.1%}",
            f"{-100 * paired.difference:+.2f}" if paired else NONE,
            f"{paired.p_value:.2g}" if paired else NONE,
            *([f"{whole[name]:.2%}" if whole else NONE for name in ("accuracy", "macro_recall")] if photos else []),
        ]

    header = ["accuracy", "macro-F1", "95 %", "worst class", "ECE", "Δ first", "p"]
    header += ["of all photos", "macro recall"] if photos else []
    return _table(report, "Accuracy; Δ: points over the first file, p: McNemar's", header, cells)


def _robustness(report: Report) -> Table:
    measured = [model.robustness for model in report.models if model.robustness]
    kinds = list(measured[0].accuracy)

    def cells(model: ModelResult, _: Run | None) -> list[str]:
        found = model.robustness
        if not found:
            return [NONE] * (2 + len(kinds))
        means = [_percent(found.accuracy[kind]) if kind in found.accuracy else NONE for kind in kinds]
        return [_percent([found.clean_accuracy]), _percent([found.mean_accuracy]), *means]

    title = f"Accuracy in % under corruption, means of 5 severities, {measured[0].n:,} faces"
    return _table(report, title, ["clean", "mean", *kinds], cells)


def _table(
    report: Report, title: str, header: list[str], cells: Callable[[ModelResult, Run | None], list[str]]
) -> Table:
    ranked = report.ranking
    rows = [
        [str(number), model.title, *cells(model, model.run(ranked.threads, ranked.batch))]
        for number, model in enumerate(report.models, 1)
    ]
    return Table(title, ["#", "file", *header], rows)


def _accuracy_cell(model: ModelResult) -> str:
    return f"{model.scores.accuracy:.2%} ± {100 * model.scores.interval:.2f}" if model.scores else NONE


def _percent(shares: list[float]) -> str:
    return f"{100 * sum(shares) / len(shares):.1f}"


def _ms(value: float | None) -> str:
    return _number(value, 3)


def _number(value: float | None, digits: int) -> str:
    return NONE if value is None else f"{value:.{digits}f}"


def _cells(cells: list[str]) -> str:
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"
