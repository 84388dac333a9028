"""Which classifiers are worth their time: the Pareto front of latency and accuracy, and which one to choose."""

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Point:
    """ms: less is better; accuracy: 0 to 1."""

    name: str
    ms: float
    accuracy: float


def dominated(points: Sequence[Point]) -> dict[str, str]:
    """Who is no faster and no more accurate than another, and by whom: the most accurate of those, then the fastest.

    All others are the front. Of two that are the same in both, neither dominates.
    """
    found = {}
    for point in points:
        better = [other for other in points if _dominates(other, point)]
        if better:
            found[point.name] = max(better, key=lambda other: (other.accuracy, -other.ms)).name
    return found


def recommended(points: Sequence[Point], max_ms: float | None, min_accuracy: float | None) -> str | None:
    """The most accurate that keeps to `max_ms`; without that bound the fastest that reaches `min_accuracy`."""
    fitting = [
        point
        for point in points
        if (max_ms is None or point.ms <= max_ms) and (min_accuracy is None or point.accuracy >= min_accuracy)
    ]
    if not fitting:
        return None
    if max_ms is None:
        return min(fitting, key=lambda point: (point.ms, -point.accuracy)).name
    return max(fitting, key=lambda point: (point.accuracy, -point.ms)).name


def _dominates(other: Point, point: Point) -> bool:
    as_good = other.ms <= point.ms and other.accuracy >= point.accuracy
    return as_good and (other.ms, other.accuracy) != (point.ms, point.accuracy)
