"""How fast files of one network are on this CPU, interleaved, beside the fastest int8 that it does at all."""

import time
from dataclasses import dataclass
from math import inf

import numpy as np
import onnxruntime as ort
from numpy.typing import NDArray

from fer_runtime.errors import GateError
from fer_runtime.model import peak
from fer_runtime.model.manifest import INPUT, PROBABILITIES
from fer_runtime.model.session import open_session

ROUNDS = 30
BLOCK_MS = 12.0  # of calls: a slow spell of the machine meets all files alike
PEAK = "peak"


class SpeedError(GateError):
    """int8 is not fast enough. ratio: fp32's time over int8's; bound: what was asked for."""

    def __init__(self, ratio: float, bound: float, reasons: list[str]) -> None:
        self.ratio, self.bound = ratio, bound
        super().__init__(
            f"int8 is {ratio:.2f} times as fast as fp32 on this CPU, less than {bound:g} times: {'; '.join(reasons)}"
        )


@dataclass(frozen=True)
class Timing:
    """p50: milliseconds a call; ratio: fp32's time over this one's, the median of all rounds;
    interval: the 95 % interval of that median; fastest: milliseconds of the quickest call.
    """

    p50: float
    ratio: float
    interval: tuple[float, float]
    fastest: float


def race(files: dict[str, bytes], face: NDArray[np.uint8], threads: int) -> dict[str, Timing]:
    """Time "fp32" and the other files at batch 1: blocks of calls in random order, each round's ratio on its own.

    face: uint8 [1, c, h, w]. With int8 among them a large int8 convolution runs along, as PEAK.
    """
    feeds = {name: {INPUT: face} for name in files}
    outputs = dict.fromkeys(files, PROBABILITIES)  # what the runtime asks for
    files = dict(files)
    if "int8" in files:
        files[PEAK], feeds[PEAK], outputs[PEAK] = peak.large_convolution("int8"), {"x": peak.pixels("int8")}, "y"
    timed = {name: _Timed(open_session(file, threads), outputs[name], feeds[name]) for name, file in files.items()}
    calls = {name: each.calls() for name, each in timed.items()}
    rng = np.random.RandomState(0)
    times: dict[str, list[float]] = {name: [] for name in files}
    for _ in range(ROUNDS):
        for name in rng.permutation(list(files)):
            times[name].append(timed[name].block(calls[name]))
    return {name: _timing(np.array(times[name]), np.array(times["fp32"]), timed[name].fastest) for name in files}


def peak_share(timings: dict[str, Timing], macs: int) -> float | None:
    """The int8 file's share of the CPU's peak in the same run; None where it was not timed."""
    if PEAK not in timings:
        return None
    return peak.share(macs, timings["int8"].p50, timings[PEAK].fastest)


@dataclass
class _Timed:
    session: ort.InferenceSession
    output: str
    feed: dict[str, NDArray[np.uint8]]
    fastest: float = inf

    def calls(self) -> int:
        """How many calls fill a block, after a warm-up."""
        self.block(5)
        return max(1, round(BLOCK_MS / self.block(5)))

    def block(self, calls: int) -> float:
        """Median milliseconds of a call."""
        took = []
        for _ in range(calls):
            begin = time.perf_counter_ns()
            self.session.run([self.output], self.feed)
            took.append(time.perf_counter_ns() - begin)
        self.fastest = min(self.fastest, min(took) / 1e6)
        return float(np.median(took)) / 1e6


def _timing(times: NDArray[np.float64], fp32: NDArray[np.float64], fastest: float) -> Timing:
    ratios = fp32 / times
    rng = np.random.RandomState(0)
    medians = np.median(ratios[rng.randint(0, len(ratios), (2000, len(ratios)))], axis=1)
    low, high = np.percentile(medians, [2.5, 97.5])
    return Timing(float(np.median(times)), float(np.median(ratios)), (float(low), float(high)), fastest)
