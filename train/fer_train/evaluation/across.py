"""One model on several data sets: a row for each, and the confusion that differs most between two of them."""

from dataclasses import asdict, dataclass
from itertools import combinations, product
from math import sqrt
from typing import Any

from fer_runtime.data.metrics import Scores, bootstrap
from fer_train.evaluation.evaluate import Section

Interval = tuple[float, float]


@dataclass(frozen=True)
class Row:
    """The model on one data set; with --photos, a photo in which no face was found counts as wrong."""

    data: str
    """Name of the file or folder."""
    section: str
    """The split."""
    n: int
    """Faces, or photos."""
    accuracy: float
    macro_recall: float
    bootstrap: dict[str, Interval]
    """95 % intervals of the two."""
    worst_class: str
    worst_recall: float
    """Of the worst class, among the faces that were found."""
    ece: float
    """At the stored temperature."""


@dataclass(frozen=True)
class Difference:
    """How often faces of one class are taken for another in two data sets."""

    true: str
    predicted: str
    rates: dict[str, float]
    """By data set, shares of 1 of its faces with that label."""
    interval: Interval
    """95 %, of the difference."""


def row(data: str, section: Section) -> Row:
    """What the table tells of one data set."""
    scores, missed = section.scores, section.missed
    ends = bootstrap(scores, missed)
    accuracy, macro_recall = (scores.accuracy, scores.macro_recall) if missed is None else section.with_missed
    return Row(
        data,
        section.name,
        scores.n + (0 if missed is None else int(missed.sum())),
        round(accuracy, 5),
        round(macro_recall, 5),
        {name: _rounded(ends[name]) for name in ("accuracy", "macro_recall")},
        scores.worst,
        round(scores.recall[scores.worst], 5),
        round(section.ece[1], 5),
    )


def most_different(scored: dict[str, Scores]) -> Difference | None:
    """The confusion (true, predicted) whose rate differs most between two data sets; None where none surely differs.

    Largest by the nearer end of the difference's 95 % interval (Agresti and Caffo 2000: one face more of each kind),
    so that three faces of a rare class do not decide.
    """
    found: list[tuple[float, Difference]] = []
    for (first, a), (second, b) in combinations(scored.items(), 2):
        labels = list(a.recall)
        for true, predicted in product(range(len(labels)), repeat=2):
            counts = [(each.confusion[true][predicted], sum(each.confusion[true])) for each in (a, b)]
            if true == predicted or not all(n for _, n in counts):
                continue
            p, q = ((k + 1) / (n + 2) for k, n in counts)
            half = 1.96 * sqrt(sum(rate * (1 - rate) / (n + 2) for rate, (_, n) in zip((p, q), counts, strict=True)))
            rates = {name: round(k / n, 5) for name, (k, n) in zip((first, second), counts, strict=True)}
            difference = Difference(labels[true], labels[predicted], rates, _rounded((p - q - half, p - q + half)))
            found.append((abs(p - q) - half, difference))
    nearest, largest = max(found, key=lambda each: each[0], default=(0.0, None))
    return largest if nearest > 0 else None


def plain(rows: list[Row], difference: Difference | None) -> dict[str, Any]:
    """For JSON; docs/reference/json.md says what each key means."""
    return {"table": [asdict(each) for each in rows], "differing_confusion": difference and asdict(difference)}


def table(rows: list[Row]) -> str:
    """For the terminal."""
    cells: list[tuple[str, ...]] = [("data", "n", "accuracy", "macro recall", "worst class", "ECE")]
    for each in rows:
        figures = [
            f"{value:.1%} [{low:.1%}, {high:.1%}]"
            for value, (low, high) in (
                (each.accuracy, each.bootstrap["accuracy"]),
                (each.macro_recall, each.bootstrap["macro_recall"]),
            )
        ]
        worst = f"{each.worst_class} {each.worst_recall:.1%}"
        cells.append((f"{each.data}, {each.section}", str(each.n), *figures, worst, f"{each.ece:.1%}"))
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip() for line in cells]
    return "\n".join(lines)


def sentence(difference: Difference | None) -> str:
    """For the terminal."""
    if difference is None:
        return "no confusion surely differs between them"
    rates = " and ".join(f"{rate:.1%} in {name}" for name, rate in difference.rates.items())
    return f"most different: {difference.true} taken for {difference.predicted}, {rates}"


def _rounded(ends: Interval) -> Interval:
    return round(ends[0], 5), round(ends[1], 5)
