"""fer-bench's statistics, against distributions and figures that are known."""

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.stats import binomtest, norm

from fer_benchmarks.measure import statistics
from fer_benchmarks.measure.latency import TimingConfig, Timings
from fer_benchmarks.measure.runner import latency_of, self_check
from fer_benchmarks.report.pareto import Point, dominated, recommended
from fer_benchmarks.results import PERCENTILES

CONFIG = TimingConfig(1, 1, 10, None)


def durations(rng: np.random.RandomState, ms: float, spells: NDArray[np.float64]) -> NDArray[np.float64]:
    """Synthetic times [100 blocks, 50 calls]: the machine's spells slow whole blocks, and calls scatter."""
    return ms * spells[:, None] * rng.lognormal(0, 0.05, (100, 50))


def spells(rng: np.random.RandomState) -> NDArray[np.float64]:
    return 1 + 0.5 * (rng.rand(100) < 0.2) * rng.rand(100)


def test_early_stopping_discards_what_mlperf_discards() -> None:
    """MLPerf's loadgen prints these counts for 7469 and 2048 queries; 64 and 662 are the fewest it takes."""
    assert statistics.fewest(0.90) == 64
    assert statistics.fewest(0.99) == 662
    for n, discarded in ((7469, 685), (2048, 172)):
        ranks = np.random.RandomState(0).permutation(n).astype(float).reshape(1, n)
        assert statistics.early_stopping(ranks, 0.90) == n - 1 - discarded
    assert statistics.early_stopping(np.ones((1, 63)), 0.90) is None


def test_early_stopping_is_above_the_true_percentile_99_times_in_100() -> None:
    rng = np.random.RandomState(1)
    found = [statistics.early_stopping(rng.rand(1, 500), 0.90) for _ in range(400)]
    assert np.mean([estimate is not None and estimate >= 0.90 for estimate in found]) >= 0.975


def test_percentiles_of_few_calls_are_not_told() -> None:
    found = statistics.percentiles(np.arange(100.0).reshape(10, 10))
    assert found["p50"] == 49.5
    assert found["p90"] is not None
    assert found["p95"] is None
    assert found["p99"] is None


def test_an_interval_holds_the_true_median_about_95_times_in_100() -> None:
    """Blocks with spells of their own: an interval from calls alone would be far too narrow."""
    rng = np.random.RandomState(2)
    held, naive = 0, 0
    for _ in range(150):
        times = rng.lognormal(0, 0.1, (60, 1)) * rng.lognormal(0, 0.02, (60, 40))
        low, high = statistics.intervals(times)["p50"]
        held += low <= 1 <= high
        half = 1.96 * 1.2533 * times.std() / np.sqrt(times.size)
        naive += abs(np.median(times) - 1) <= half
    assert 0.88 <= held / 150 <= 1
    assert naive / 150 < 0.6


def test_an_interval_of_normal_calls_is_as_wide_as_theory_says() -> None:
    times = np.random.RandomState(3).normal(10, 1, (100, 100))
    low, high = statistics.intervals(times)["p90"]
    z = norm.ppf(0.9)
    half = 1.96 * np.sqrt(0.9 * 0.1 / times.size) / norm.pdf(z)
    assert high - low == pytest.approx(2 * half, rel=0.3)
    assert low - half < 10 + z < high + half


def test_a_slower_file_is_found_slower_and_an_equal_one_is_not() -> None:
    rng = np.random.RandomState(4)
    equal = slower = 0
    for _ in range(100):
        machine = spells(rng)
        first, same, slow = (durations(rng, ms, machine) for ms in (1.0, 1.0, 1.05))
        _, low, high = statistics.ratio(np.median(same, axis=1), np.median(first, axis=1))
        equal += low <= 1 <= high
        middle, low, high = statistics.ratio(np.median(slow, axis=1), np.median(first, axis=1))
        slower += low > 1 and abs(middle - 1.05) < 0.02
    assert equal >= 88
    assert slower >= 98


def test_the_self_check_takes_a_quiet_machine_and_refuses_a_noisy_one() -> None:
    rng = np.random.RandomState(5)
    machine = spells(rng)
    first, again, slower = (Timings(back_to_back=durations(rng, ms, machine)) for ms in (1, 1, 1.08))
    quiet = self_check(CONFIG, first, again)
    assert quiet.ok
    assert quiet.noise == pytest.approx(0.02, abs=0.01)
    other = self_check(CONFIG, first, slower)
    assert not other.ok
    wild = [rng.lognormal(0, 1, (20, 1)) * np.ones((20, 5)) for _ in range(2)]
    assert not self_check(CONFIG, Timings(back_to_back=wild[0]), Timings(back_to_back=wild[1])).ok


def test_a_warm_up_ends_where_calls_stop_getting_faster() -> None:
    rng = np.random.RandomState(6)
    blocks = [1 + 2 * np.exp(-at / 8) + rng.normal(0, 0.002) for at in range(100)]
    ended = next(n for n in range(1, 101) if statistics.settled(blocks[:n]))
    assert 20 < ended < 60
    assert blocks[ended - 1] < 1.15
    flat = [1 + rng.normal(0, 0.002) for _ in range(20)]
    assert next(n for n in range(1, 21) if statistics.settled(flat[:n])) == 10


def test_mcnemar_is_the_binomial_test() -> None:
    rng = np.random.RandomState(7)
    for n, gain in ((50, 0.0), (500, 0.04), (3589, 0.02)):
        a, b = rng.rand(n) < 0.65 + gain, rng.rand(n) < 0.65
        found = statistics.mcnemar(a, b)
        assert found.only_a - found.only_b == a.sum() - b.sum()
        assert found.difference == pytest.approx(a.mean() - b.mean())
        assert found.p == pytest.approx(binomtest(found.only_a, found.only_a + found.only_b).pvalue, rel=1e-9)
        assert found.interval[0] <= found.difference <= found.interval[1]
    same = np.ones(10, bool)
    assert statistics.mcnemar(same, same).p == 1


def test_mcnemar_of_equal_classifiers_is_seldom_sure() -> None:
    rng = np.random.RandomState(8)
    p = [statistics.mcnemar(rng.rand(400) < 0.6, rng.rand(400) < 0.6).p for _ in range(400)]
    assert np.mean(np.array(p) < 0.05) < 0.08


def test_the_front_and_who_dominates_whom() -> None:
    points = [
        Point("small", 2, 0.68), Point("slow", 9, 0.60), Point("nano", 1, 0.65), Point("base", 4, 0.70),
        Point("as base", 4, 0.70), Point("late", 4.5, 0.68),
    ]  # fmt: skip
    assert dominated(points) == {"slow": "base", "late": "base"}
    assert recommended(points, 3, None) == "small"
    assert recommended(points, None, 0.66) == "small"
    assert recommended(points, 5, 0.69) == "base"
    assert recommended(points, 0.5, None) is None


def test_a_percentile_of_quick_calls_lies_in_its_interval() -> None:
    """Calls of 3 microseconds: where an end is rounded to ten nanoseconds, the median leaves the interval."""
    figures = latency_of(np.full((5, 200), 0.003054))
    assert list(figures.intervals) == list(PERCENTILES)
    for name, (low, high) in figures.intervals.items():
        assert low <= getattr(figures, name) <= high <= figures.percentiles[-1]
