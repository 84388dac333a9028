"""What follows from the figures: fronts, who is dominated by whom, the file to take."""

from typing import Any

from fer_benchmarks.report.pareto import Point, dominated, recommended

Row = dict[str, Any]


def shown(row: Row) -> str:
    """A row's name, with where it comes from if that is another run."""
    return f"{row['name']} [{row['origin']}]" if row["origin"] else str(row["name"])


def run_of(row: Row, threads: int, batch: int) -> dict[str, Any] | None:
    """The row's figures in a setting, or None."""
    return next((run for run in row["runs"] if (run["threads"], run["batch"]) == (threads, batch)), None)


def settings(report: dict[str, Any]) -> list[tuple[int, int]]:
    """Threads and batch of every setting, in order; the first is the one that is shown first."""
    return list(dict.fromkeys((run["threads"], run["batch"]) for row in report["models"] for run in row["runs"]))


def judge(report: dict[str, Any], max_ms: float | None, min_accuracy: float | None) -> dict[str, Any]:
    """Fronts in the first setting, one for each run that the rows come from: times of two machines do not compare.

    recommended: of this run's rows by p95, at the camera's pace where that was timed; None where none fits.
    """
    threads, batch = next(iter(settings(report)), (1, 1))
    fronts = []
    for origin in dict.fromkeys(row["origin"] for row in report["models"]):
        rows = [row for row in report["models"] if row["origin"] == origin]
        points = [
            Point(shown(row), run["tight"]["p50"], row["scores"]["accuracy"])
            for row, run in _scored(rows, threads, batch)
        ]
        beaten = dominated(points)
        front = sorted((point for point in points if point.name not in beaten), key=lambda point: point.ms)
        fronts.append({"origin": origin, "front": [point.name for point in front], "dominated": beaten})
    own = [row for row in report["models"] if row["origin"] is None]
    points = [
        Point(shown(row), careful_ms(run), row["scores"]["accuracy"]) for row, run in _scored(own, threads, batch)
    ]
    asked = max_ms is not None or min_accuracy is not None
    return {
        "threads": threads,
        "batch": batch,
        "fronts": fronts,
        "max_ms": max_ms,
        "min_accuracy": min_accuracy,
        "recommended": recommended(points, max_ms, min_accuracy) if asked else None,
    }


def careful_ms(run: dict[str, Any]) -> float:
    """p95 at the camera's pace, if that was timed, else of calls back to back; p50 where there are too few calls."""
    figures = run["paced"] or run["tight"]
    return float(figures["p95"] if figures["p95"] is not None else figures["p50"])


def lines(report: dict[str, Any]) -> list[str]:
    """The verdict in sentences."""
    verdict = report["verdict"]
    found = []
    for part in verdict["fronts"]:
        where = f" of {part['origin']}" if part["origin"] else ""
        if part["front"]:
            found.append(f"front{where}: {', '.join(part['front'])}")
        found += [
            f"dominated: {name} by {by}, at least as fast and as accurate" for name, by in part["dominated"].items()
        ]
    bounds = [f"p95 at most {verdict['max_ms']:g} ms"] if verdict["max_ms"] is not None else []
    bounds += [f"accuracy at least {100 * verdict['min_accuracy']:g} %"] if verdict["min_accuracy"] is not None else []
    if bounds:
        found.append(f"recommended for {' and '.join(bounds)}: {verdict['recommended'] or 'none of these files'}")
    return found + [row["failed"] for row in report["models"] if row["failed"]]


def _scored(rows: list[Row], threads: int, batch: int) -> list[tuple[Row, dict[str, Any]]]:
    pairs = [(row, run_of(row, threads, batch)) for row in rows if row["scores"]]
    return [(row, run) for row, run in pairs if run]
