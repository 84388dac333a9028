"""Differences beyond chance: intervals, ratios, the end of a warm-up, paired accuracy."""

from dataclasses import dataclass
from math import comb, lgamma, log, sqrt

import numpy as np
from numpy.typing import NDArray

PERCENTILES = (50, 90, 95, 99)
RESAMPLES = 1000  # of the blocks
SETTLED = 5  # blocks on either side of the question whether calls still get faster
STILL_FASTER = 0.98
CONFIDENCE = 0.99  # of MLPerf's early stopping

Interval = tuple[float, float]
Times = NDArray[np.float64]  # [blocks, calls], or [blocks]: milliseconds


def percentiles(times: Times) -> dict[str, float | None]:
    """The figures "p50" to "p99" of all calls, times [blocks, calls]; those above p50 None for too few calls."""
    found = np.percentile(times, PERCENTILES).tolist()
    return {
        f"p{p}": float(value) if p == 50 or times.size >= fewest(p / 100) else None
        for p, value in zip(PERCENTILES, found, strict=True)
    }


def intervals(times: Times) -> dict[str, Interval]:
    """The percentiles' 95 % intervals: whole blocks of times [blocks, calls] are resampled (Efron 1979).

    Consecutive calls share the machine's slow spells, so that the block is resampled, not the call.
    """
    blocks, calls = times.shape
    order = np.argsort(times, axis=None)
    ordered, owner = times.ravel()[order], order // calls
    rng = np.random.RandomState(0)  # a fixed stream in every numpy version
    drawn_shares = np.array(PERCENTILES) / 100
    found = []
    for drawn in rng.multinomial(blocks, np.full(blocks, 1 / blocks), RESAMPLES).astype(np.int32):
        before = drawn[owner].cumsum(dtype=np.int32)  # how many drawn calls are at most so slow
        found.append(ordered[np.searchsorted(before, drawn_shares * before[-1])])
    return {f"p{p}": _ends(np.array(ends)) for p, ends in zip(PERCENTILES, zip(*found, strict=True), strict=True)}


def ratio(times: Times, of: Times) -> tuple[float, float, float]:
    """times/of, medians of blocks [blocks] of the same rounds: median of the rounds' ratios, with its 95 % interval.

    A slow spell of the machine affects both files of a round, and cancels in their ratio.
    """
    ratios = times / of
    rng = np.random.RandomState(0)
    medians = np.median(ratios[rng.randint(0, len(ratios), (RESAMPLES, len(ratios)))], axis=1)
    return float(np.median(ratios)), *_ends(medians)


def settled(medians: list[float]) -> bool:
    """Whether a warm-up is over: the last five blocks are not faster than the five before them by over 2 %."""
    if len(medians) < 2 * SETTLED:
        return False
    last, before = np.median(medians[-SETTLED:]), np.median(medians[-2 * SETTLED : -SETTLED])
    return bool(last >= STILL_FASTER * before)


def fewest(share: float) -> int:
    """How many calls MLPerf's early stopping asks for a percentile, 0.5 to 0.99: 64 for 0.9, 662 for 0.99."""
    return next(n for n in range(2, 10_000) if _at_most(1, n, 1 - share) <= 1 - CONFIDENCE)


def early_stopping(times: Times, share: float) -> float | None:
    """MLPerf's conservative estimate of a percentile: with 99 % confidence the true one is no larger; or None.

    The largest t is found for which n calls with t of them over the percentile have a binomial chance of at most 1 %;
    the estimate is the slowest call after t - 1 are discarded (MLPerf Inference rules, appendix on early stopping).
    It takes calls as independent, which calls in one spell are not.
    """
    ordered = np.sort(times, axis=None)
    if ordered.size < fewest(share):
        return None
    low, high = 1, ordered.size
    while high - low > 1:
        middle = (low + high) // 2
        if _at_most(middle, ordered.size, 1 - share) <= 1 - CONFIDENCE:
            low = middle
        else:
            high = middle
    return float(ordered[ordered.size - low])


@dataclass(frozen=True)
class Paired:
    """Two classifiers on the same faces. difference: a's accuracy minus b's, with its 95 % interval;
    p: McNemar's exact two-sided; only_a, only_b: faces on which that one alone is right.
    """

    difference: float
    interval: Interval
    p: float
    only_a: int
    only_b: int


def mcnemar(right_a: NDArray[np.bool_], right_b: NDArray[np.bool_]) -> Paired:
    """Whether two classifiers, right where bool [n] says, differ: McNemar 1947, exact binomial; Wald's interval."""
    n = len(right_a)
    only_a, only_b = int((right_a & ~right_b).sum()), int((right_b & ~right_a).sum())
    discordant, difference = only_a + only_b, (only_a - only_b) / n
    half = 1.96 * sqrt(max(0.0, discordant - (only_a - only_b) ** 2 / n)) / n
    tail = sum(comb(discordant, k) for k in range(min(only_a, only_b) + 1))
    return Paired(
        difference, (difference - half, difference + half), min(1.0, 2 * tail / 2**discordant), only_a, only_b
    )


def _at_most(k: int, n: int, p: float) -> float:
    """The chance of at most k successes in n trials of chance p."""
    i = np.arange(k + 1)
    ways = lgamma(n + 1) - np.array([lgamma(j + 1) + lgamma(n - j + 1) for j in i])
    return float(np.exp(ways + i * log(p) + (n - i) * log(1 - p)).sum())


def _ends(drawn: NDArray[np.float64]) -> Interval:
    low, high = np.percentile(drawn, [2.5, 97.5]).tolist()
    return low, high
