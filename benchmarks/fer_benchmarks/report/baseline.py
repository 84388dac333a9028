"""Results of earlier runs and of other machines: read, joined with this run's, or held against them."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fer_benchmarks.measure import accuracy
from fer_benchmarks.measure.statistics import mcnemar
from fer_runtime.errors import FerError

SCHEMA = 2
REPEATS = 0.05  # what two runs of one file on one machine may differ by
SURE = 0.05  # p below it is no chance
SAME_MACHINE = ("cpu", "architecture", "cores")


@dataclass(frozen=True)
class Change:
    """One figure against the baseline's, in words. regressed: it is worse, beyond the noise."""

    text: str
    regressed: bool


def read(path: Path) -> dict[str, Any]:
    """A report of fer-bench. Raises FerError for anything else."""
    try:
        plain = json.loads(path.read_text(encoding="utf-8"))
        if plain["schema"] != SCHEMA or plain["tool"] != "fer-bench":
            raise FerError(
                f"{path} has schema {plain['schema']!r}, expected {SCHEMA}: measure again with this fer-bench"
            )
        _look_at(plain)
    except OSError as error:
        raise FerError(f"cannot read {path}: {error.strerror}") from error
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise FerError(f"{path} is no result of fer-bench ({error!r}): expected what its --json wrote") from error
    report: dict[str, Any] = plain
    return report


def joined_report(path: Path) -> dict[str, Any]:
    """An earlier report whose rows say where they come from. Raises FerError."""
    report = read(path)
    for row in report["models"]:
        row["origin"] = row["origin"] or path.stem
    return report


def compare(report: dict[str, Any], baseline: dict[str, Any]) -> list[Change]:
    """Every figure that both have, latencies only where the machine is the same, and accuracies where the faces are."""
    old_rows = {row["name"]: row for row in baseline["models"]}
    changes = []
    same = all(report["conditions"].get(key) == baseline["conditions"].get(key) for key in SAME_MACHINE)
    if not same:
        changes.append(Change("the baseline is of another machine: times are not compared", False))
    faces = bool(report["data"] and baseline["data"]) and all(
        report["data"][key] == baseline["data"][key] for key in ("fingerprint", "split", "n")
    )
    if report["data"] and not faces:
        changes.append(Change("the baseline has no scores on these faces: accuracies are not compared", False))
    noise = max([REPEATS, *(check["noise"] for each in (report, baseline) for check in each["self_check"])])
    for row in report["models"]:
        old = old_rows.get(row["name"])
        if row["origin"] or old is None or row["failed"] or old["failed"]:
            changes += [] if row["origin"] else [Change(f"{row['name']}: not in the baseline, or failed there", False)]
            continue
        changes += _times(row, old, noise) if same else []
        changes += _scores(row, old) if faces else []
    return changes


def _times(row: dict[str, Any], old: dict[str, Any], noise: float) -> list[Change]:
    """p50 in each setting that both have: a regression where even the ends of the intervals are farther than noise."""
    before = {(run["threads"], run["batch"]): run for run in old["runs"]}
    changes = []
    for run in row["runs"]:
        earlier = before.get((run["threads"], run["batch"]))
        if earlier is None:
            continue
        now, then = run["tight"], earlier["tight"]
        slower = now["intervals"]["p50"][0] / then["intervals"]["p50"][1] > 1 + noise
        faster = now["intervals"]["p50"][1] / then["intervals"]["p50"][0] < 1 / (1 + noise)
        word = "slower" if slower else "faster" if faster else "the same within the noise"
        where = f"threads {run['threads']}, batch {run['batch']}"
        text = f"{row['name']}, {where}: p50 {then['p50']:.3f} -> {now['p50']:.3f} ms, {word}"
        changes.append(Change(text, slower))
    return changes


def _scores(row: dict[str, Any], old: dict[str, Any]) -> list[Change]:
    """Accuracy on the same faces, paired."""
    if not row["scores"] or not old["scores"]:
        return []
    paired = mcnemar(accuracy.right(row["scores"]), accuracy.right(old["scores"]))
    word = "the same within chance" if paired.p >= SURE else "worse" if paired.difference < 0 else "better"
    text = (
        f"{row['name']}: accuracy {old['scores']['accuracy']:.2%} -> {row['scores']['accuracy']:.2%}, {word} "
        f"(McNemar p {paired.p:.2g})"
    )
    return [Change(text, word == "worse")]


def _look_at(plain: dict[str, Any]) -> None:
    """Raise KeyError or the like where the report lacks what the tables show."""
    _ = [plain["conditions"]["cpu"], plain["date"], plain["data"], plain["settings"], plain["warnings"]]
    _ = [check["noise"] for check in plain["self_check"]]
    for row in plain["models"]:
        _ = [row[key] for key in ("name", "engine", "origin", "failed", "bytes", "macs", "precision", "parameters")]
        for run in row["runs"]:
            _ = [run["threads"], run["batch"], *(run["tight"][f"p{p}"] for p in (50, 90, 95, 99))]
            _ = [float(end) for end in run["tight"]["intervals"]["p50"]]
            _ = [run[key] for key in ("paced", "ratio", "load_ms", "first_ms", "start_ms", "cpu_ms", "peak_bytes")]
            _ = [run[key] for key in ("peak_share", "joules", "warm_up", "blocks")]
        if row["scores"]:
            _ = [float(row["scores"][key]) for key in ("accuracy", "interval", "macro_f1", "ece")]
            _ = [row["scores"]["recall"][row["scores"]["worst"]], accuracy.right(row["scores"])]
        if row["robust"]:
            _ = [
                row["robust"]["n"],
                float(row["robust"]["clean"]),
                float(row["robust"]["mean"]),
                *row["robust"]["accuracy"].items(),
            ]
