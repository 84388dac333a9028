"""The result of an export: the typed report, its JSON, and tables for the terminal."""

import json
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

from fer_export import gates
from fer_export.candidate import Candidate
from fer_export.convert import Exported, ExportOptions
from fer_export.quantization.accuracy_budget import Search
from fer_export.validation import parity, speedup
from fer_runtime.data.metrics import Scores
from fer_runtime.system import host
from fer_runtime.system.host import Host

if TYPE_CHECKING:
    from rich.table import Table

SCHEMA = 2


@dataclass(frozen=True)
class Disagreement:
    """Faces to which PyTorch and the file give two labels."""

    pytorch: str
    file: str
    faces: int


@dataclass(frozen=True)
class TimingReport:
    """Of one precision, one face per call."""

    p50_ms: float
    min_ms: float
    """The fastest call."""
    speedup: float
    """fp32's time over this one's."""
    speedup_interval: tuple[float, float]


@dataclass(frozen=True)
class FileReport:
    """One precision, compared with PyTorch."""

    bytes: int
    max_difference: float
    """Largest |delta logit|."""
    max_relative_difference: float
    """Largest |delta logit| over max(1, |logit|)."""
    setting: str
    """In which that was."""
    max_relative_difference_allowed: float | None
    agreement: float
    """Share of the faces with the same top-1."""
    disagreements: list[Disagreement]
    """The most frequent first."""
    scores: Scores | None
    """On labelled faces."""
    quantization: dict[str, object]
    """int8's recipe, as the manifest has it."""
    timing: TimingReport | None


@dataclass(frozen=True)
class Limits:
    """What the gates allow."""

    max_drop: float
    """Share of accuracy that int8 may lose."""
    min_agreement: float
    min_speedup: float | None


@dataclass(frozen=True)
class TrialReport:
    """One int8 network on the way to one that fits."""

    calibration: str
    in_fp32: list[str]
    """What went back to fp32, in this order."""
    accuracy: float
    drop: float
    drop_interval: float
    agreement: float


@dataclass(frozen=True)
class SiteSensitivity:
    """What int8 does to the logits at one site alone."""

    site: str
    kind: str
    mean_difference: float
    """Of the logits."""


@dataclass(frozen=True)
class SearchReport:
    """How int8 was made to fit."""

    trials: list[TrialReport]
    sensitivity: list[SiteSensitivity]


@dataclass(frozen=True)
class TimingEnvironment(Host):
    """Where and how it was timed."""

    threads: int
    batch: int


@dataclass(frozen=True)
class ExportReport:
    """All of it."""

    schema: int
    precision: str
    """Of the file that was written."""
    requested: str
    compared_on: str
    faces: int
    """How many were compared."""
    parameters: int
    macs: int
    """Multiply-adds per face."""
    checkpoint_bytes: int
    pytorch: Scores | None
    """PyTorch's, on labelled faces."""
    files: dict[str, FileReport]
    """By precision."""
    limits: Limits
    int8_search: SearchReport | None
    """None where no labelled faces were given."""
    environment: TimingEnvironment | None
    """None where nothing was timed."""
    int8_peak_share: float | None
    """Of the CPU's peak: fer_runtime.model.peak."""
    notes: list[str]

    def to_json(self) -> str:
        """The report as text."""
        return json.dumps(asdict(self), indent=2) + "\n"


def report(exported: Exported, options: ExportOptions, compared_on: str, checkpoint_bytes: int) -> ExportReport:
    """The report of an export. compared_on: "generated images" or what the faces are."""
    manifest = exported.file.manifest
    peak_share = speedup.peak_share(exported.timings, manifest.macs)
    timed_on = TimingEnvironment(**asdict(host.describe()), threads=options.threads, batch=1)
    return ExportReport(
        schema=SCHEMA,
        precision=exported.chosen,
        requested=options.precision,
        compared_on=compared_on,
        faces=exported.file.comparison.faces,
        parameters=manifest.parameters,
        macs=manifest.macs,
        checkpoint_bytes=checkpoint_bytes,
        pytorch=exported.scores.rounded() if exported.scores else None,
        files={name: _file(each, exported) for name, each in exported.candidates.items()},
        limits=Limits(options.max_drop, gates.MIN_AGREEMENT, options.min_speedup),
        int8_search=_search(exported.candidates["int8"].search) if "int8" in exported.candidates else None,
        environment=timed_on if exported.timings else None,
        int8_peak_share=None if peak_share is None else round(peak_share, 4),
        notes=list(exported.notes),
    )


def _file(candidate: Candidate, exported: Exported) -> FileReport:
    precision, comparison = candidate.manifest.precision, candidate.comparison
    timing = exported.timings.get(precision)
    pairs = parity.disagreements(exported.expected, comparison.logits, candidate.manifest.labels)
    return FileReport(
        bytes=len(candidate.file),
        max_difference=comparison.max_difference,
        max_relative_difference=comparison.max_relative_difference,
        setting=comparison.setting,
        max_relative_difference_allowed=gates.MAX_DIFFERENCE.get(precision),
        agreement=comparison.agreement,
        disagreements=[Disagreement(*pair) for pair in pairs],
        scores=candidate.scores.rounded() if candidate.scores else None,
        quantization=candidate.manifest.quantization,
        timing=TimingReport(timing.p50, timing.fastest, timing.ratio, timing.interval) if timing else None,
    )


def _search(search: Search | None) -> SearchReport | None:
    if search is None:
        return None
    trials = [
        TrialReport(
            calibration=trial.build.calibration,
            in_fp32=list(trial.reverted),
            accuracy=round(trial.accuracy, 5),
            drop=round(trial.drop, 5),
            drop_interval=round(trial.interval, 5),
            agreement=round(trial.agreement, 5),
        )
        for trial in search.trials
    ]
    sites = [SiteSensitivity(each.site, each.kind, round(each.error, 6)) for each in search.sensitivities]
    return SearchReport(trials, sites)


def show(found: ExportReport) -> None:
    """Print the tables: the files beside PyTorch, and how int8 was made to fit."""
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    files = list(found.files.values())
    console = Console()
    table = Table(title=escape(f"against PyTorch, on {found.faces} {found.compared_on}"))
    for column in ("", "PyTorch", *(f"{name} *" if name == found.precision else name for name in found.files)):
        table.add_column(column, justify="right" if column else "left")
    bounds = [each.max_relative_difference_allowed for each in files]
    rows = [
        ("largest |delta logit|", "", [f"{each.max_difference:.1e}" for each in files]),
        ("  over max(1, |logit|)", "", [f"{each.max_relative_difference:.1e}" for each in files]),
        ("    at most", "", [f"{bound:g}" if bound else "" for bound in bounds]),
        ("same top-1", "", [f"{each.agreement:.2%}" for each in files]),
    ]
    if found.pytorch:
        scores = [each.scores for each in files if each.scores]
        rows.append(("accuracy", f"{found.pytorch.accuracy:.2%}", [f"{each.accuracy:.2%}" for each in scores]))
        rows.append(("macro-f1", f"{found.pytorch.macro_f1:.2%}", [f"{each.macro_f1:.2%}" for each in scores]))
    elif "int8" in found.files:
        rows.append(("accuracy", "", ["not measured" if name == "int8" else "" for name in found.files]))
    timings = [each.timing for each in files if each.timing]
    if len(timings) == len(files):
        rows.append(("p50 ms", "", [f"{each.p50_ms:.3f}" for each in timings]))
        spans = ["{:.2f} ({:.2f}-{:.2f})".format(each.speedup, *each.speedup_interval) for each in timings]
        rows.append(("times as fast as fp32", "", spans))
    sizes = [f"{each.bytes / 1e6:.2f} MB" for each in files]
    rows.append(("file size", f"{found.checkpoint_bytes / 1e6:.2f} MB", sizes))
    for name, torch_side, cells in rows:
        table.add_row(name, torch_side, *cells)
    console.print(table)
    if found.int8_search:
        console.print(_search_table(found.int8_search, found.limits))
    if found.int8_peak_share:
        console.print(
            f"int8 reaches {found.int8_peak_share:.0%} of what a large int8 convolution does in the same run",
            highlight=False,
        )


def _search_table(search: SearchReport, limits: Limits) -> "Table":
    from rich.table import Table

    table = Table(
        title=f"int8: at most {100 * limits.max_drop:g} points lost, {limits.min_agreement:.0%} same top-1"
    )  # fmt: skip
    table.add_column("ranges")
    table.add_column("back in fp32", overflow="fold")
    for column in ("accuracy", "points lost", "same top-1"):
        table.add_column(column, justify="right")
    for trial in search.trials:
        lost = f"{100 * trial.drop:.2f} +- {100 * trial.drop_interval:.2f}"
        back = f"+ {trial.in_fp32[-1]}" if trial.in_fp32 else ""
        table.add_row(trial.calibration, back, f"{trial.accuracy:.2%}", lost, f"{trial.agreement:.2%}")
    return table
