"""One face over time: averaged probabilities, and a label that changes when the evidence for it is enough."""

from math import exp, log

import numpy as np
from numpy.typing import NDArray

TIME_CONSTANT_S = 0.25  # of the average
MIN_EVIDENCE = 0.4  # seconds times nats that change the label: a likelihood 20 times the shown one's does in 0.13 s
P_UNCERTAIN = 0.27  # probability of a label that is as good as none
MIN_PROBABILITY = 0.01  # lower ones count as this one, so that a single frame never decides
MAX_STEP_S = 0.5  # for which the probabilities of one frame count, where the next one is late


class Smoother:
    """The label changes to another when the evidence for that, summed over time, reaches MIN_EVIDENCE.

    Evidence is the logarithm of how much likelier the other label is than the shown one, times the seconds for which it
    is so; what speaks against it takes away, down to nothing (a cumulative sum of log-likelihood ratios, Page 1954,
    doi:10.1093/biomet/41.1-2.100). So a clear change is shown after 0.1 to 0.2 seconds, and a doubtful one late or
    never. "Uncertain" (None) is one label more, whose probability is always P_UNCERTAIN: the others are calibrated
    (temperature), so that this is a share of right labels. Time counts, not frames: it means the same at 5 and at 30
    frames per second.
    """

    def __init__(self) -> None:
        self._average: NDArray[np.float32] | None = None
        self._evidence: list[float] = []  # for each label, "uncertain" last; so few numbers are faster without numpy
        self._shown = 0  # index of the label; beyond the last one: uncertain
        self._at = 0.0

    def __call__(self, probabilities: NDArray[np.float32], at: float) -> tuple[NDArray[np.float32], int | None]:
        """probabilities: float32 [classes] at time `at`, seconds -> the average of the same form, and the label."""
        logs = [log(max(p, MIN_PROBABILITY)) for p in (*probabilities.tolist(), P_UNCERTAIN)]
        if self._average is None:
            self._average = probabilities
            self._evidence, self._shown = [0.0] * len(logs), logs.index(max(logs))
        else:
            seconds = min(MAX_STEP_S, max(0.0, at - self._at))
            share = np.float32(1 - exp(-seconds / TIME_CONSTANT_S))
            self._average = self._average + share * (probabilities - self._average)
            shown = logs[self._shown]
            self._evidence = [
                max(0.0, before + seconds * (each - shown)) for before, each in zip(self._evidence, logs, strict=True)
            ]
            most = max(self._evidence)
            if most >= MIN_EVIDENCE:
                self._shown = self._evidence.index(most)
                self._evidence = [0.0] * len(logs)
        self._at = at
        return self._average, self._shown if self._shown < len(probabilities) else None
