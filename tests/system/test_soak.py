"""The soak's verdict on series that are known, and a short soak of the real command."""

import numpy as np
import pytest
from rich.console import Console
from rich.progress import Progress

from fer_runtime.errors import FerError
from tools import soak
from tools.soak import Sample, judge, theil_sen

MIB = 2**20


def series(slope: float, seed: int = 0, threads: float = 0.0, descriptors: float = 0.0) -> list[Sample]:
    """A run of 100,000 frames that grows by so much a frame, with noise and spikes such as an allocator's."""
    rng = np.random.RandomState(seed)
    frames = np.linspace(0, 100_000, 800).astype(int)
    warming = 3 * MIB * (1 - np.exp(-frames / 2000))
    spikes = MIB * (rng.uniform(size=len(frames)) < 0.05)
    memory = 110 * MIB + warming + slope * frames + 4096 * rng.normal(size=len(frames)).round() + spikes
    return [
        Sample(int(n), int(size), 5 + int(descriptors * n), 4 + int(threads * n))
        for n, size in zip(frames, memory, strict=True)
    ]


@pytest.mark.parametrize("seed", range(3))
def test_a_run_that_only_warms_up_does_not_leak(seed: int) -> None:
    verdict = judge(series(0.0, seed))
    assert verdict.leaks == ()
    assert verdict.interval[0] <= 0.05
    assert abs(verdict.slope) < 0.3


@pytest.mark.parametrize("slope", [4.0, 32.0, 300.0])
def test_a_leak_is_found_and_its_size_told(slope: float) -> None:
    verdict = judge(series(slope))
    assert verdict.leaks == ("memory",)
    assert verdict.slope == pytest.approx(slope, abs=0.5)
    assert verdict.interval[0] <= slope <= verdict.interval[1] + 0.5


def test_threads_and_descriptors_that_grow_are_found() -> None:
    assert judge(series(0, threads=1e-4)).leaks == ("threads",)
    assert judge(series(0, descriptors=1e-4)).leaks == ("descriptors",)
    assert judge(series(0, descriptors=1e-4)).descriptors == (7, 15)


def test_the_slope_is_the_median_of_all_slopes() -> None:
    x = np.arange(30.0)
    y = 2 * x + 1
    y[[3, 20]] = 1e6  # outliers that would turn a least-squares line
    assert theil_sen(x, y) == pytest.approx(2)
    assert theil_sen(np.ones(5), np.arange(5.0)) == 0


def test_too_few_samples_are_no_verdict() -> None:
    with pytest.raises(FerError, match="ask for more --frames"):
        judge(series(0)[-5:])


def test_a_short_soak_of_the_real_command() -> None:
    """Too short for a verdict on memory, which is still warming up; descriptors and threads stay as they are.

    The stream gives 500 frames per second at most, so that it lasts longer than a period of its scene, 5 seconds.
    """
    with Progress(console=Console(stderr=True), disable=True) as progress:
        report = soak.soak(6000, progress, pause_s=0.002)
    for result in (report.file, report.live):
        assert result.frames == 3000
        assert 1200 < result.with_faces < 3000  # in sight part of the time, and found half a second late
        growth = result.growth
        assert growth.descriptors[1] <= 8
        assert growth.threads[1] <= 8
        assert set(growth.leaks) <= {"memory"}
        assert growth.memory[1] - growth.memory[0] < 4 * MIB
