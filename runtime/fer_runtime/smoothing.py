"""One face's answers over time: probabilities averaged over a fraction of a second, a label that does not flicker."""

from math import exp

import numpy as np
from numpy.typing import NDArray

TIME_CONSTANT = 0.25  # seconds: a clear change of expression is answered about 0.2 s later
MARGIN = 0.08  # how much likelier another label must be than the one shown
CONFIDENT, DOUBTFUL = 0.40, 0.30  # a label is shown from the first probability on, and down to the second


class Smoother:
    """An exponential average over time, not over frames, so that it means the same at 5 and at 30 frames a second.

    The label changes only to one that is likelier by MARGIN; it is None, "uncertain", until one reaches CONFIDENT and
    when the shown one falls below DOUBTFUL. The probabilities are calibrated (temperature), so that these thresholds
    are shares of right answers.
    """

    def __init__(self) -> None:
        self._average: NDArray[np.float32] | None = None
        self._at = 0.0
        self._label: int | None = None

    def __call__(self, probabilities: NDArray[np.float32], at: float) -> tuple[NDArray[np.float32], int | None]:
        """probabilities: float32 [classes] at time `at`, seconds -> the average of the same form, and the label."""
        if self._average is None:
            self._average = probabilities
        else:
            share = np.float32(1 - exp(-max(0.0, at - self._at) / TIME_CONSTANT))
            self._average = self._average + share * (probabilities - self._average)
        self._at = at
        self._label = self._shown(self._average)
        return self._average, self._label

    def _shown(self, average: NDArray[np.float32]) -> int | None:
        best, label = int(average.argmax()), self._label
        if label is not None and average[label] >= DOUBTFUL and average[best] < average[label] + MARGIN:
            return label
        if average[best] >= CONFIDENT or (label is not None and average[best] >= DOUBTFUL):
            return best
        return None
