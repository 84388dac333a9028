"""What the page in a browser copies from its panel "About this device", as a report of one model and one run."""

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from fer_benchmarks.measure.runner import latency_of
from fer_benchmarks.results import WEB, Environment, ModelResult, Report, Run, Settings
from fer_runtime.errors import FerError
from fer_runtime.records import from_plain

TOOL, SCHEMA = "fer-edge page", 1
BLOCKS, MIN_CALLS = 10, 50  # parts of the calls, which are resampled for intervals; fewer calls tell nothing
UNKNOWN = "unknown"


@dataclass(frozen=True)
class Panel:
    """Of its JSON what a report has a place for: docs/reference/json.md."""

    date: str
    file: str
    sha256: str
    file_bytes: int
    precision: str
    parameters: int
    macs: int
    labels: list[str]
    load_ms: float
    threads: int
    hardware_concurrency: int
    user_agent: str
    times_ms: list[float]
    """Single calls with one face, back to back."""


def read(path: Path) -> Report | None:
    """The report, or None for a file that is no copy of the panel. Raises FerError for one that cannot be used."""
    try:
        plain = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return None
    if not isinstance(plain, dict) or plain.get("tool") != TOOL:
        return None
    if plain.get("schema") != SCHEMA:
        raise FerError(f"{path} has schema {plain.get('schema')!r}, expected {SCHEMA}: copy it again from a newer page")
    try:
        panel = from_plain(Panel, plain)
    except ValueError as error:
        raise FerError(f"{path} is no whole copy of the page's panel ({error}): copy it again") from error
    if len(panel.times_ms) < MIN_CALLS or min(panel.times_ms) <= 0:
        raise FerError(
            f"{path} has {len(panel.times_ms)} times, expected {MIN_CALLS} above 0: copy it again, which measures them"
        )
    return _report(panel)


def _report(panel: Panel) -> Report:
    calls = len(panel.times_ms) // BLOCKS
    times = np.array(panel.times_ms[: BLOCKS * calls]).reshape(BLOCKS, calls)
    run = Run(
        threads=panel.threads, batch=1, start_ms=None, load_ms=panel.load_ms, first_ms=None, warmup_calls=0,
        warmed_up=True, back_to_back=latency_of(times), paced=None, cpu_ms=None, paced_cpu_ms=None,
        peak_memory_bytes=None, energy_j=None, peak_share=None, ratio=None,
        block_medians_ms=np.median(times, axis=1).tolist(),
    )  # fmt: skip
    model = ModelResult(
        f"{panel.file} ({WEB})", WEB, None, None, panel.labels, panel.file_bytes, panel.sha256, panel.precision,
        panel.parameters, panel.macs, [run],
    )  # fmt: skip
    return Report(
        date=panel.date, environment=_environment(panel), warnings=[], self_check=[], peak=[], data=None,
        settings=Settings(sum(panel.times_ms) / 1e3, None, float(times.sum()) / 1e3 / BLOCKS, "one face, in the page"),
        models=[model], paired_tests=[],
    )  # fmt: skip


def _environment(panel: Panel) -> Environment:
    """A browser tells its name and the number of cores."""
    return Environment(
        cpu=panel.user_agent, architecture=UNKNOWN, cores=panel.hardware_concurrency, int8_instructions=[],
        system=UNKNOWN, python=UNKNOWN, onnxruntime=UNKNOWN, numpy=UNKNOWN, opencv=UNKNOWN, governor=None,
        virtual=False, clock_mhz=(None, None), temperature_c=(None, None), throttled=None, stolen_share=0.0,
        load_before=None, load_after=None, energy_source=None,
    )  # fmt: skip
