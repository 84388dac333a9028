"""The report of fer-bench as typed data: what its JSON holds, written and read here alone.

Milliseconds, shares of 1, and None (null in JSON) for what is unknown, unless a field says otherwise. SCHEMA rises when
a field changes its name or its meaning; docs/reference/json.md lists the fields and what earlier schemas called them.
"""

import base64
import json
from dataclasses import asdict, dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from fer_runtime.data.metrics import Scores
from fer_runtime.errors import FerError
from fer_runtime.files import write_text
from fer_runtime.records import from_plain
from fer_runtime.system.host import Machine

SCHEMA = 3
TOOL = "fer-bench"
WEB = "web"  # the engine onnxruntime-web, in a browser
REPEATED = ("cv2", WEB)  # engines in which a file runs once more: what it predicts is known already
PERCENTILES = ("p50", "p90", "p95", "p99")

Interval = tuple[float, float]  # low and high end, of 95 %


@dataclass(frozen=True)
class Latency:
    """Times of the calls of one run. Not rounded: a rounded end can lie on the wrong side of its percentile."""

    p50: float
    """Median call, ms."""
    p90: float | None
    """ms; None, as for the next two, where there are fewer calls than MLPerf's early stopping takes."""
    p95: float | None
    """ms."""
    p99: float | None
    """ms."""
    intervals: dict[str, Interval]
    """Of each percentile by its name, ms."""
    p90_mlperf: float | None
    """ms, at 99 % confidence no less than the true p90: MLPerf's early stopping."""
    calls: int
    """How many were timed."""
    total_s: float
    """Seconds that they took together."""
    percentiles: list[float]
    """The whole distribution: percentiles 0 to 100, ms."""


@dataclass(frozen=True)
class Run:
    """One model's times and cost in one setting of threads and batch; a call is one batch."""

    threads: int
    """Intra-op threads of the engine."""
    batch: int
    """Faces per call."""
    start_ms: float | None
    """From the start of the process to its first result."""
    load_ms: float
    """Of that, loading the model."""
    first_ms: float | None
    """Of that, the first call."""
    warmup_calls: int
    """Calls until they stopped getting faster."""
    warmed_up: bool
    """Whether they did."""
    back_to_back: Latency
    """Call after call."""
    paced: Latency | None
    """At a camera's pace; None where that was not asked for."""
    cpu_ms: float | None
    """Processor time per call, back to back."""
    paced_cpu_ms: float | None
    """Processor time per call at the camera's pace."""
    peak_memory_bytes: int | None
    """Largest resident memory of the process."""
    energy_j: float | None
    """Joules per call, of the whole processor or board."""
    peak_share: float | None
    """Multiply-adds per second, as a share of a large convolution's at its fastest."""
    ratio: tuple[float, float, float] | None
    """To the first model's time: the median of the rounds, and its interval."""
    block_medians_ms: list[float]
    """Median call of each block, back to back."""


@dataclass(frozen=True)
class ModelScores(Scores):
    """Accuracy on the labelled faces: what `fer-train evaluate` writes, and more."""

    bootstrap: dict[str, Interval]
    """Intervals of "accuracy" and "macro_f1"."""
    worst_class: str
    """The class with the lowest recall."""
    ece: float
    """Expected calibration error, 15 bins."""
    correct: str
    """One bit per face, whether it is classified correctly, packed, in base64: for paired tests later."""
    missed: list[int] | None = None
    """Photos of each class in which no face was found, with --photos."""
    with_missed: dict[str, float] | None = None
    """"accuracy" and "macro_recall" with these as wrong."""

    def correct_faces(self) -> NDArray[np.bool_]:
        """`correct` as bool [n]. Raises ValueError for bits that do not fit."""
        bits = np.unpackbits(np.frombuffer(base64.b64decode(self.correct), np.uint8))
        if not 0 <= len(bits) - self.n < 8:
            raise ValueError("`correct` does not have one bit per face")
        return bits[: self.n].astype(bool)


def packed(correct: NDArray[np.bool_]) -> str:
    """bool [n] as `ModelScores.correct` holds it."""
    return base64.b64encode(np.packbits(correct).tobytes()).decode()


@dataclass(frozen=True)
class Robustness:
    """Accuracy under corruption, on a stratified part of the faces."""

    n: int
    """Faces."""
    clean_accuracy: float
    """Of the same faces without corruption."""
    mean_accuracy: float
    """Over all corruptions and severities."""
    accuracy: dict[str, list[float]]
    """By corruption, one value per severity."""


@dataclass
class ModelResult:
    """One model under test: a file in one engine."""

    name: str
    engine: str
    origin: str | None
    """The report that it was joined from; None for this run."""
    error: str | None
    """Why it has no figures."""
    labels: list[str]
    """In the order of its outputs."""
    file_bytes: int
    sha256: str
    """Of the file."""
    precision: str | None
    parameters: int | None
    macs: int | None
    """Multiply-adds per face."""
    runs: list[Run] = field(default_factory=list)
    """One per setting."""
    scores: ModelScores | None = None
    robustness: Robustness | None = None

    @property
    def title(self) -> str:
        """Its name, with the report that it comes from if that is another one."""
        return f"{self.name} [{self.origin}]" if self.origin else self.name

    def run(self, threads: int, batch: int) -> Run | None:
        """Its run in this setting."""
        return next((run for run in self.runs if (run.threads, run.batch) == (threads, batch)), None)


@dataclass(frozen=True)
class Environment(Machine):
    """Machine, versions, and what could spoil the figures."""

    virtual: bool
    """Whether it is a virtual machine."""
    clock_mhz: tuple[float | None, float | None]
    """Before and after the run."""
    temperature_c: tuple[float | None, float | None]
    """Before and after the run, degrees Celsius."""
    throttled: bool | None
    """Whether the processor slowed itself down."""
    stolen_share: float
    """Of the processor's time, taken by other machines on the same host."""
    load_before: float | None
    """Processes that wanted a core, over the minute before the run."""
    load_after: float | None
    energy_source: str | None
    """What measured energy."""


@dataclass(frozen=True)
class Settings:
    """How was timed."""

    duration_s: float
    """Of calls per model and setting."""
    pace_hz: float | None
    """Calls per second at the camera's pace."""
    block_s: float
    """Of calls per block."""
    input: str
    """What a call is given."""


@dataclass(frozen=True)
class SelfCheck:
    """The first model timed a second time, as if it were another one."""

    threads: int
    batch: int
    ratio: float | None
    """Of its two times."""
    interval: Interval | None
    """Of the ratio."""
    noise: float
    """What a difference between two models must exceed."""
    ok: bool
    """Whether the two came out equal."""


@dataclass(frozen=True)
class Peak:
    """The large convolution at its fastest: 10^9 multiply-adds per second."""

    threads: int
    batch: int
    fp32_gmacs_per_s: float
    int8_gmacs_per_s: float


@dataclass(frozen=True)
class DataFacts:
    """The labelled faces."""

    name: str
    """Of the file or folder."""
    split: str
    n: int
    """Faces."""
    fingerprint: str
    """SHA-256 of the pixels and labels."""
    notes: list[str]


@dataclass(frozen=True)
class PairedTest:
    """Two models on the same faces: McNemar's exact test."""

    a: str
    b: str
    difference: float
    """Accuracy of a minus that of b."""
    interval: Interval
    p_value: float
    """Two-sided."""
    only_a: int
    """Faces that a alone classifies correctly."""
    only_b: int


@dataclass(frozen=True)
class Front:
    """The Pareto front of one machine's models."""

    origin: str | None
    """The report that they come from; None for this run."""
    front: list[str]
    """By time, fastest first."""
    dominated: dict[str, str]
    """The others, each with a model that is at least as fast and as accurate."""


@dataclass(frozen=True)
class Ranking:
    """Which models are worth their time, in the first setting."""

    threads: int = 1
    batch: int = 1
    fronts: list[Front] = field(default_factory=list)
    """One per machine: times of two machines do not compare."""
    max_ms: float | None = None
    """Asked for: p95 at most this."""
    min_accuracy: float | None = None
    """Asked for: accuracy at least this."""
    recommended: str | None = None
    """None where nothing was asked for, or no model fits."""


@dataclass(frozen=True)
class JoinedReport:
    """Another report whose models were added."""

    origin: str
    cpu: str
    date: str


@dataclass(frozen=True)
class Change:
    """One figure against the baseline's, in words."""

    text: str
    regressed: bool
    """Whether it is worse, beyond the noise."""


@dataclass(kw_only=True)
class Report:
    """One comparison of models."""

    schema: int = SCHEMA
    tool: str = TOOL
    date: str
    """UTC."""
    command: str = ""
    """What was typed, with the names of files alone."""
    environment: Environment
    settings: Settings
    warnings: list[str]
    self_check: list[SelfCheck]
    """One per setting."""
    peak: list[Peak]
    """One per setting."""
    data: DataFacts | None
    models: list[ModelResult]
    paired_tests: list[PairedTest]
    ranking: Ranking = field(default_factory=Ranking)
    joined: list[JoinedReport] = field(default_factory=list)
    baseline: list[Change] = field(default_factory=list)
    """Against an earlier report."""

    def run_settings(self) -> list[tuple[int, int]]:
        """Threads and batch of every setting, in order; the first is the one that is shown first."""
        return list(dict.fromkeys((run.threads, run.batch) for model in self.models for run in model.runs)) or [(1, 1)]


def to_json(report: Report, indent: int | None = None) -> str:
    """The report as text."""
    return json.dumps(asdict(report), indent=indent)


def write(path: Path, report: Report) -> None:
    """Write the report as JSON, whole or not at all. Raises FerError."""
    write_text(path, to_json(report, indent=1) + "\n")


def read(path: Path) -> Report:
    """A report that `write` wrote. Raises FerError for anything else, also for one of another schema."""
    try:
        plain = json.loads(path.read_text(encoding="utf-8"))
        if not isinstance(plain, dict) or plain.get("tool") != TOOL:
            raise ValueError(f"no report of {TOOL}")
        if plain.get("schema") != SCHEMA:
            raise FerError(
                f"{path} has schema {plain.get('schema')!r} and this {TOOL} reads schema {SCHEMA}: measure again; "
                "docs/reference/json.md lists the renamed fields"
            )
        report = from_plain(Report, plain)
        _check(report)
    except OSError as error:
        raise FerError(f"cannot read {path}: {error.strerror}") from error
    except (ValueError, RecursionError) as error:
        raise FerError(f"{path} is no result of {TOOL} ({error}): expected what its --json wrote") from error
    return report


def _check(report: Report) -> None:
    """Raise ValueError for figures that cannot be, which tables and comparisons would stumble over."""
    for model in report.models:
        for run in model.runs:
            for latency in filter(None, (run.back_to_back, run.paced)):
                if not all(latency.intervals.get(name, (0, 0))[0] > 0 for name in PERCENTILES):
                    raise ValueError(f"a time of {model.name} has no interval above 0")
        if model.scores:
            model.scores.correct_faces()
            if model.scores.worst_class not in model.scores.recall or "macro_f1" not in model.scores.bootstrap:
                raise ValueError(f"the scores of {model.name} are incomplete")
        if model.robustness and not all(model.robustness.accuracy.values()):
            raise ValueError(f"a corruption of {model.name} has no accuracy")
