"""One whole comparison: times, the machine's peak, a look at its noise, scores; a plain report for JSON."""

import tempfile
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fer_benchmarks.classifiers import specs
from fer_benchmarks.classifiers.specs import Entrant
from fer_benchmarks.measure import environment, latency, scoring, statistics
from fer_benchmarks.measure.accuracy import Data
from fer_benchmarks.measure.energy import find_meter
from fer_benchmarks.measure.latency import Setting, Timed
from fer_benchmarks.measure.scoring import Say
from fer_benchmarks.measure.statistics import Times
from fer_benchmarks.report.baseline import SCHEMA
from fer_runtime.model import peak

RESOLUTION = 0.02  # two processes of one file differ by so much, as their memory lies differently
WIDEST = 0.1  # a ratio that is known no better says nothing
CURVE = np.linspace(0, 100, 101)  # percentiles that draw the distribution


@dataclass(frozen=True)
class Wish:
    """entrants: the first is what ratios are of; settings: threads and batches; data: to score on, with its path."""

    entrants: list[Entrant]
    settings: list[Setting]
    data: Data | None
    data_path: Path | None
    robust: bool


def measure(wish: Wish, say: Say) -> dict[str, Any]:
    """Do it all. Raises FerError when one of our processes dies."""
    load_before, before = environment.load(), environment.now()
    meter = find_meter()
    with tempfile.TemporaryDirectory() as folder:
        scratch = Path(folder)
        rows = [_row(entrant) for entrant in wish.entrants]
        checks, peaks = [], []
        for setting in wish.settings:
            say(f"timing: threads {setting.threads}, batch {setting.batch}", setting.steps)
            large = _large_convolutions(scratch)
            twin = replace(wish.entrants[0], name="the first file again")
            timed = latency.measure([*wish.entrants, twin], large, setting, meter, lambda: say("", 1))
            times, again, best = timed[: len(rows)], timed[len(rows)], timed[len(rows) + 1 :]
            peak_ms = _peak_ms(best)
            for row, found in zip(rows, times, strict=True):
                _add_run(row, setting, found, times[0], peak_ms)
            checks.append(_self_check(setting, times[0], again))
            peaks.append({"threads": setting.threads, "batch": setting.batch} | _rates(peak_ms))
        if wish.data:
            threads = wish.settings[0].threads
            scoring.score(wish.entrants, rows, wish.data, threads, wish.robust, scratch, say)
    facts, warnings = environment.describe(before, environment.now())
    busy = environment.busy(load_before)
    return {
        "schema": SCHEMA,
        "tool": "fer-bench",
        "date": datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
        "conditions": facts | {"load_before": load_before, "energy": meter.source if meter else None},
        "settings": {
            "seconds": wish.settings[0].seconds,
            "pace": wish.settings[0].pace,
            "block_seconds": wish.settings[0].block_s,
            "crop": "48x48 grey, generated; preparing it for the classifier is timed too",
        },
        "warnings": [*([busy] if busy else []), *warnings, *_cold(rows), *_noisy(checks)],
        "self_check": checks,
        "peak": peaks,
        "data": wish.data.plain(wish.data_path) if wish.data and wish.data_path else None,
        "models": rows,
        "pairs": scoring.pairs(rows),
    }


def _row(entrant: Entrant) -> dict[str, Any]:
    return {
        "name": entrant.name,
        "engine": entrant.engine,
        "origin": None,
        "failed": None,
        "labels": list(entrant.labels),
        **entrant.facts,
        "runs": [],
        "scores": None,
        "robust": None,
    }


def _add_run(row: dict[str, Any], setting: Setting, found: Timed, first: Timed, peak_ms: dict[str, float]) -> None:
    """One setting's figures, or why there are none."""
    if found.failed:
        row["failed"] = row["failed"] or found.failed
        return
    tight = _figures(found.tight)
    best = peak_ms["int8" if row["precision"] == "int8" else "fp32"]
    row["runs"].append(
        {
            "threads": setting.threads,
            "batch": setting.batch,
            "start_ms": found.start_ms,
            "load_ms": found.load_ms,
            "first_ms": found.first_ms,
            "warm_up": found.warm_up,
            "warm": found.warm,
            "tight": tight,
            "paced": None if found.paced is None else _figures(found.paced),
            "cpu_ms": found.cpu_ms,
            "paced_cpu_ms": found.paced_cpu_ms,
            "peak_bytes": found.peak_bytes,
            "joules": found.joules,
            "peak_share": peak.share(row["macs"] * setting.batch, tight["p50"], best) if row["macs"] else None,
            "ratio": None if first.failed else list(statistics.ratio(_medians(found.tight), _medians(first.tight))),
            "blocks": [round(median, 5) for median in _medians(found.tight).tolist()],
        }
    )


def _figures(times: Times) -> dict[str, Any]:
    """Percentiles with their intervals; p90_mlperf: by early stopping; curve: percentiles 0 to 100.

    In ms and not rounded: a rounded end can lie on the wrong side of its percentile.
    """
    return {
        **statistics.percentiles(times),
        "intervals": {name: list(ends) for name, ends in statistics.intervals(times).items()},
        "p90_mlperf": statistics.early_stopping(times, 0.9),
        "n": times.size,
        "seconds": float(times.sum() / 1e3),
        "curve": np.percentile(times, CURVE).tolist(),
    }


def _medians(times: Times) -> NDArray[np.float64]:
    medians: NDArray[np.float64] = np.median(times, axis=1)
    return medians


def _large_convolutions(scratch: Path) -> list[Entrant]:
    found = []
    for precision in ("fp32", "int8"):
        file = scratch / f"peak.{precision}.onnx"
        file.write_bytes(peak.large_convolution(precision))
        found.append(specs.of_peak(file, precision))
    return found


def _peak_ms(best: list[Timed]) -> dict[str, float]:
    """The large convolutions' fastest calls, by precision."""
    return {name: float(timed.tight.min()) for name, timed in zip(("fp32", "int8"), best, strict=True)}


def _rates(peak_ms: dict[str, float]) -> dict[str, float]:
    """10^9 multiply-adds a second of the large convolutions, at their fastest."""
    return {f"{precision}_gmacs": peak.MACS / ms / 1e6 for precision, ms in peak_ms.items()}


def _self_check(setting: Setting, first: Timed, again: Timed) -> dict[str, Any]:
    """The same file twice must come out equal: 1 within the interval of their ratio, give or take RESOLUTION.

    noise: what a difference between two files must exceed to be one.
    """
    check: dict[str, Any] = {"threads": setting.threads, "batch": setting.batch}
    if first.failed or again.failed:
        return check | {"ratio": None, "interval": None, "noise": RESOLUTION, "ok": True}
    middle, low, high = statistics.ratio(_medians(again.tight), _medians(first.tight))
    equal = low / (1 + RESOLUTION) <= 1 <= high * (1 + RESOLUTION)
    return check | {
        "ratio": middle,
        "interval": [low, high],
        "noise": max(RESOLUTION, high - 1, 1 - low),
        "ok": equal and high - low <= WIDEST,
    }


def _cold(rows: list[dict[str, Any]]) -> list[str]:
    return [
        f"{row['name']}: calls still got faster after {run['warm_up']} of them" for row in rows for run in row["runs"]
        if not run["warm"]
    ]  # fmt: skip


def _noisy(checks: list[dict[str, Any]]) -> list[str]:
    return [
        f"too noisy: the first file took {check['interval'][0]:.3f} to {check['interval'][1]:.3f} of its own time "
        f"(threads {check['threads']}, batch {check['batch']})"
        for check in checks
        if not check["ok"]
    ]
