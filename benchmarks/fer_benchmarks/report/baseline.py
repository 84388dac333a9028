"""A report compared with an earlier one, and reports of other runs added to it."""

from pathlib import Path

from fer_benchmarks import results
from fer_benchmarks.measure.statistics import mcnemar
from fer_benchmarks.report import device_panel
from fer_benchmarks.results import Change, JoinedReport, ModelResult, Report

MAX_REPEAT = 0.05  # what two runs of one file on one machine may differ by
SIGNIFICANT = 0.05  # p below it is no chance
SAME_MACHINE = ("cpu", "architecture", "cores")
SAME_FACES = ("fingerprint", "split", "n")


def read_earlier(path: Path) -> Report:
    """A report of an earlier run, or what the page in a browser copied. Raises FerError."""
    return device_panel.read(path) or results.read(path)


def read_joined(path: Path) -> Report:
    """An earlier report whose models say where they come from. Raises FerError."""
    report = read_earlier(path)
    for model in report.models:
        model.origin = model.origin or path.stem
    return report


def join(report: Report, others: list[Report]) -> None:
    """Add the models of others to the report."""
    for other in others:
        report.models += other.models
        origin = next((model.origin for model in other.models if model.origin), "")
        report.joined.append(JoinedReport(origin, other.environment.cpu, other.date))


def compare(report: Report, baseline: Report) -> list[Change]:
    """Every figure that both have, latencies only where the machine is the same, and accuracies where the faces are."""
    earlier = {model.name: model for model in baseline.models if model.origin is None}
    changes = []
    same_machine = _agree(report.environment, baseline.environment, SAME_MACHINE)
    if not same_machine:
        changes.append(Change("the baseline is of another machine: times are not compared", False))
    same_faces = bool(report.data and baseline.data) and _agree(report.data, baseline.data, SAME_FACES)
    if report.data and not same_faces:
        changes.append(Change("the baseline has no scores on these faces: accuracies are not compared", False))
    noise = max([MAX_REPEAT, *(check.noise for each in (report, baseline) for check in each.self_check)])
    for now in (model for model in report.models if model.origin is None):
        then = earlier.get(now.name)
        if then is None or now.error or then.error:
            changes.append(Change(f"{now.name}: not in the baseline, or failed there", False))
            continue
        changes += _times(now, then, noise) if same_machine else []
        changes += _scores(now, then) if same_faces else []
    return changes


def _agree(a: object, b: object, names: tuple[str, ...]) -> bool:
    return all(getattr(a, name) == getattr(b, name) for name in names)


def _times(now: ModelResult, then: ModelResult, noise: float) -> list[Change]:
    """p50 in each setting that both have: a regression where the intervals are farther apart than noise."""
    changes = []
    for run in now.runs:
        earlier = then.run(run.threads, run.batch)
        if earlier is None:
            continue
        new, old = run.back_to_back, earlier.back_to_back
        slower = new.intervals["p50"][0] / old.intervals["p50"][1] > 1 + noise
        faster = new.intervals["p50"][1] / old.intervals["p50"][0] < 1 / (1 + noise)
        word = "slower" if slower else "faster" if faster else "the same within the noise"
        where = f"threads {run.threads}, batch {run.batch}"
        changes.append(Change(f"{now.name}, {where}: p50 {old.p50:.3f} -> {new.p50:.3f} ms, {word}", slower))
    return changes


def _scores(now: ModelResult, then: ModelResult) -> list[Change]:
    """Accuracy on the same faces, paired."""
    if not now.scores or not then.scores or now.scores.n != then.scores.n:
        return []
    paired = mcnemar(now.scores.correct_faces(), then.scores.correct_faces())
    word = "the same within chance" if paired.p >= SIGNIFICANT else "worse" if paired.difference < 0 else "better"
    before_and_after = f"{then.scores.accuracy:.2%} -> {now.scores.accuracy:.2%}"
    text = f"{now.name}: accuracy {before_and_after}, {word} (McNemar p {paired.p:.2g})"
    return [Change(text, word == "worse")]
