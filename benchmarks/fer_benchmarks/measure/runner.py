"""One whole comparison: times, the machine's peak, a check of its noise, scores; all into one report."""

import tempfile
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from fer_benchmarks.classifiers import specs
from fer_benchmarks.classifiers.specs import ModelSpec
from fer_benchmarks.measure import environment, latency, scoring, statistics
from fer_benchmarks.measure.accuracy import Data
from fer_benchmarks.measure.energy import find_meter
from fer_benchmarks.measure.latency import TimingConfig, Timings
from fer_benchmarks.measure.scoring import Progress
from fer_benchmarks.measure.statistics import Times
from fer_benchmarks.results import Latency, ModelResult, Peak, Report, Run, SelfCheck, Settings
from fer_runtime.model import peak

RESOLUTION = 0.02  # two processes of one file differ by so much, as their memory lies differently
MAX_INTERVAL = 0.1  # a ratio that is known no better says nothing
CURVE = np.linspace(0, 100, 101)  # percentiles that draw the distribution
PRECISIONS = ("fp32", "int8")  # of the large convolutions


@dataclass(frozen=True)
class BenchmarkOptions:
    """What to measure."""

    specs: list[ModelSpec]
    """The models under test; ratios are to the first."""
    configs: list[TimingConfig]
    """One per setting of threads and batch."""
    data: Data | None
    """Faces to score on."""
    robust: bool
    """Score under corruption too."""


def measure(options: BenchmarkOptions, progress: Progress) -> Report:
    """Do it all. Raises FerError when one of our processes dies."""
    before = environment.now()
    meter = find_meter()
    first = options.configs[0]
    results = [_result(spec) for spec in options.specs]
    checks, peaks = [], []
    with tempfile.TemporaryDirectory() as folder:
        scratch = Path(folder)
        large = _large_convolutions(scratch)
        for config in options.configs:
            progress.stage(f"timing: threads {config.threads}, batch {config.batch}", config.steps)
            twin = replace(options.specs[0], name="the first file again")
            timings = latency.measure([*options.specs, twin], large, config, meter, progress.advance)
            times, again, best = timings[: len(results)], timings[len(results)], timings[len(results) + 1 :]
            peak_ms = fastest_ms(best)
            for result, found in zip(results, times, strict=True):
                add_run(result, config, found, times[0], peak_ms)
            checks.append(self_check(config, times[0], again))
            peaks.append(_peak(config, peak_ms))
        if options.data:
            scoring.score(options.specs, results, options.data, first.threads, options.robust, scratch, progress)
    conditions = environment.describe(before, environment.now(), meter.source if meter else None)
    return Report(
        date=datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
        environment=conditions,
        settings=Settings(
            first.duration_s,
            first.pace_hz,
            first.block_s,
            "48x48 grey, generated; preparing it for the model is timed too",
        ),
        warnings=[*environment.warnings(conditions), *_cold(results), *_noisy(checks)],
        self_check=checks,
        peak=peaks,
        data=options.data.facts() if options.data else None,
        models=results,
        paired_tests=scoring.paired_tests(results),
    )


def _result(spec: ModelSpec) -> ModelResult:
    return ModelResult(
        name=spec.name, engine=spec.engine, origin=None, error=None, labels=list(spec.labels), **asdict(spec.facts)
    )


def add_run(
    result: ModelResult, config: TimingConfig, found: Timings, first: Timings, peak_ms: dict[str, float]
) -> None:
    """Add one setting's run, or why there is none. first: the first model's timings; peak_ms: as `fastest_ms`."""
    if found.error:
        result.error = result.error or found.error
        return
    back_to_back = latency_of(found.back_to_back)
    best_ms = peak_ms["int8" if result.precision == "int8" else "fp32"]
    medians = _medians(found.back_to_back)
    result.runs.append(
        Run(
            threads=config.threads,
            batch=config.batch,
            start_ms=found.start_ms,
            load_ms=found.load_ms,
            first_ms=found.first_ms,
            warmup_calls=found.warmup_calls,
            warmed_up=found.warmed_up,
            back_to_back=back_to_back,
            paced=None if found.paced is None else latency_of(found.paced),
            cpu_ms=found.cpu_ms,
            paced_cpu_ms=found.paced_cpu_ms,
            peak_memory_bytes=found.peak_memory_bytes,
            energy_j=found.energy_j,
            peak_share=peak.share(result.macs * config.batch, back_to_back.p50, best_ms) if result.macs else None,
            ratio=None if first.error else statistics.ratio(medians, _medians(first.back_to_back)),
            block_medians_ms=[round(median, 5) for median in medians.tolist()],
        )
    )


def latency_of(times: Times) -> Latency:
    """The figures of times [blocks, calls], ms."""
    found = statistics.percentiles(times)
    return Latency(
        p50=float(np.median(times)),
        p90=found["p90"],
        p95=found["p95"],
        p99=found["p99"],
        intervals=statistics.intervals(times),
        p90_mlperf=statistics.early_stopping(times, 0.9),
        calls=times.size,
        total_s=float(times.sum() / 1e3),
        percentiles=np.percentile(times, CURVE).tolist(),
    )


def _medians(times: Times) -> NDArray[np.float64]:
    medians: NDArray[np.float64] = np.median(times, axis=1)
    return medians


def _large_convolutions(scratch: Path) -> list[ModelSpec]:
    found = []
    for precision in PRECISIONS:
        file = scratch / f"peak.{precision}.onnx"
        file.write_bytes(peak.large_convolution(precision))
        found.append(specs.of_peak(file, precision))
    return found


def fastest_ms(best: list[Timings]) -> dict[str, float]:
    """The large convolutions' fastest calls, by precision."""
    return {name: float(found.back_to_back.min()) for name, found in zip(PRECISIONS, best, strict=True)}


def _peak(config: TimingConfig, peak_ms: dict[str, float]) -> Peak:
    fp32, int8 = (peak.MACS / peak_ms[precision] / 1e6 for precision in PRECISIONS)
    return Peak(config.threads, config.batch, fp32, int8)


def self_check(config: TimingConfig, first: Timings, again: Timings) -> SelfCheck:
    """The same file twice must come out equal: 1 within the interval of their ratio, give or take RESOLUTION."""
    if first.error or again.error:
        return SelfCheck(config.threads, config.batch, ratio=None, interval=None, noise=RESOLUTION, ok=True)
    middle, low, high = statistics.ratio(_medians(again.back_to_back), _medians(first.back_to_back))
    equal = low / (1 + RESOLUTION) <= 1 <= high * (1 + RESOLUTION)
    noise = max(RESOLUTION, high - 1, 1 - low)
    return SelfCheck(config.threads, config.batch, middle, (low, high), noise, equal and high - low <= MAX_INTERVAL)


def _cold(results: list[ModelResult]) -> list[str]:
    return [
        f"{result.name}: calls still got faster after {run.warmup_calls} of them"
        for result in results
        for run in result.runs
        if not run.warmed_up
    ]


def _noisy(checks: list[SelfCheck]) -> list[str]:
    return [
        f"too noisy: the first file took {check.interval[0]:.3f} to {check.interval[1]:.3f} of its own time "
        f"(threads {check.threads}, batch {check.batch})"
        for check in checks
        if check.interval and not check.ok
    ]
