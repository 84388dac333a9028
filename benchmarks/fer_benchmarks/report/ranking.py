"""The ranking: Pareto fronts, which model dominates which, and the recommended one."""

from fer_benchmarks.report.pareto import Point, dominated, recommended
from fer_benchmarks.results import Front, ModelResult, ModelScores, Ranking, Report, Run


def rank(report: Report, max_ms: float | None, min_accuracy: float | None) -> Ranking:
    """Fronts in the first setting, one for each report that the models come from.

    Recommended is one of this run's models, by p95, at the camera's pace where that was timed.
    """
    threads, batch = report.run_settings()[0]
    fronts = []
    for origin in dict.fromkeys(model.origin for model in report.models):
        scored = _scored([model for model in report.models if model.origin == origin], threads, batch)
        points = [Point(model.title, run.back_to_back.p50, scores.accuracy) for model, run, scores in scored]
        beaten = dominated(points)
        front = sorted((point for point in points if point.name not in beaten), key=lambda point: point.ms)
        fronts.append(Front(origin, [point.name for point in front], beaten))
    own = _scored([model for model in report.models if model.origin is None], threads, batch)
    points = [Point(model.title, careful_ms(run), scores.accuracy) for model, run, scores in own]
    asked = max_ms is not None or min_accuracy is not None
    choice = recommended(points, max_ms, min_accuracy) if asked else None
    return Ranking(threads, batch, fronts, max_ms, min_accuracy, choice)


def careful_ms(run: Run) -> float:
    """p95 at the camera's pace, if that was timed, else back to back; p50 where there are too few calls."""
    latency = run.paced or run.back_to_back
    return latency.p50 if latency.p95 is None else latency.p95


def lines(report: Report) -> list[str]:
    """The ranking in sentences, and why models have no figures."""
    ranking = report.ranking
    found = []
    for part in ranking.fronts:
        where = f" of {part.origin}" if part.origin else ""
        if part.front:
            found.append(f"front{where}: {', '.join(part.front)}")
        found += [f"dominated: {name} by {by}, at least as fast and as accurate" for name, by in part.dominated.items()]
    bounds = [f"p95 at most {ranking.max_ms:g} ms"] if ranking.max_ms is not None else []
    bounds += [f"accuracy at least {100 * ranking.min_accuracy:g} %"] if ranking.min_accuracy is not None else []
    if bounds:
        found.append(f"recommended for {' and '.join(bounds)}: {ranking.recommended or 'none of these files'}")
    return found + [model.error for model in report.models if model.error]


def _scored(models: list[ModelResult], threads: int, batch: int) -> list[tuple[ModelResult, Run, ModelScores]]:
    """Those with both times in this setting and scores."""
    runs = [(model, model.run(threads, batch), model.scores) for model in models]
    return [(model, run, scores) for model, run, scores in runs if run and scores]
