"""How many results come per second."""

import time
from collections import deque

RESULTS = 60  # that the rate is taken from


class Rate:
    """The rate of the latest results, and when the last one came."""

    def __init__(self) -> None:
        self._times: deque[float] = deque(maxlen=RESULTS)  # monotonic seconds

    def count(self) -> None:
        """A result came."""
        self._times.append(time.monotonic())

    @property
    def last(self) -> float | None:
        """When the last result came, monotonic seconds; None before the first."""
        return self._times[-1] if self._times else None

    @property
    def fps(self) -> float:
        """Results per second; 0 before the second one."""
        times = list(self._times)
        return (len(times) - 1) / (times[-1] - times[0]) if len(times) > 1 and times[-1] > times[0] else 0.0
