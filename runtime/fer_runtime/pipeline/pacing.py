"""How fast the loop may go: a given rate, and less where the machine gets hot."""

import logging
import time
from math import inf
from pathlib import Path

from fer_runtime.system.thermal import SYSTEM, THROTTLED, temperature, throttling

log = logging.getLogger(__name__)

# Degrees Celsius and the frames per second allowed from there on. A Raspberry Pi's firmware slows the processor at 80.
HEAT_STEPS = ((75.0, 10.0), (77.0, 5.0), (79.0, 2.0))
HYSTERESIS = 3.0  # degrees below a step's beginning at which it ends
EARLY_S = 0.01  # by which a frame may come before it is due: frames do not come evenly
CHECK_INTERVAL_S = 2.0  # between readings of the temperature
CPU = "cpu"  # the sensor's type on a Raspberry Pi; what a laptop calls its sensors otherwise is its own business
WEAK = THROTTLED[0]  # the power supply, not heat


class Pace:
    """When the next frame is processed: `max_fps` on average, as frames seldom come on time, and fewer while it is hot.

    Of a live source frames are passed over for that; a file, of which every frame counts, is read more slowly.
    """

    def __init__(self, max_fps: float | None = None, heat: "Heat | None" = None, live: bool = True) -> None:
        """max_fps: frames per second of the source's own time at most; heat: of this machine, when None."""
        self._live = live
        self._pause = 0.0 if max_fps is None else 1 / max_fps
        self._heat = heat or Heat()
        self._next = -inf  # when the next frame is due, seconds on the source's clock

    def is_due(self, at: float) -> bool:
        """Whether there is time for the frame of that time, seconds on the source's clock."""
        pause = max(self._pause, self._heat.pause()) if self._live else self._pause
        if not pause:
            return True
        if self._next - pause - EARLY_S <= at < self._next - EARLY_S:
            return False
        self._next += pause
        if not at < self._next <= at + pause + EARLY_S:  # the first one, one after a gap, or at another pace
            self._next = at + pause
        return True

    @property
    def next_due(self) -> float:
        """When the next frame is due, seconds on the source's clock; -inf before the first."""
        return self._next

    def rest(self) -> float:
        """Seconds to wait before the next frame is asked for."""
        return 0.0 if self._live else self._heat.pause()


class Heat:
    """How much slower the loop must be for the machine to stay cool, from the temperature and the firmware's flags.

    The log has a line when it slows down and one when that is over. Where neither can be read, as on other machines
    than a Raspberry Pi, it never must.
    """

    def __init__(self, system: Path = SYSTEM, check_interval_s: float = CHECK_INTERVAL_S) -> None:
        """system: Linux's folder of devices; check_interval_s: between readings of the temperature."""
        self._system, self._check_interval_s = system, check_interval_s
        self._known = temperature(system, CPU) is not None or throttling(system) is not None
        self._checked = -inf
        self._step = 0  # how many of HEAT_STEPS are reached
        self._weak = False

    def pause(self) -> float:
        """Least seconds between two frames that are processed, 0 while there is no need."""
        now = time.monotonic()
        if self._known and now - self._checked >= self._check_interval_s:
            self._checked = now
            self._check()
        return 1 / HEAT_STEPS[self._step - 1][1] if self._step else 0.0

    def _check(self) -> None:
        degrees = temperature(self._system, CPU) or 0.0
        held = set((throttling(self._system) or ([], []))[0])
        before = self._step
        self._step = max(
            sum(
                degrees >= least - (HYSTERESIS if index < before else 0) for index, (least, _) in enumerate(HEAT_STEPS)
            ),
            len(HEAT_STEPS) - 1 if held - {WEAK} else 0,
        )
        if self._step and not before:
            why = (
                f"{degrees:.0f} degrees"
                if degrees >= HEAT_STEPS[0][0] - HYSTERESIS
                else "the firmware slows the processor"
            )
            log.warning("it is hot (%s): fewer frames per second until it is cooler", why)
        if before and not self._step:
            log.warning("cool again (%.0f degrees): full pace", degrees)
        if WEAK in held and not self._weak:
            self._weak = True
            log.warning("the power supply is too weak (the firmware reports low voltage): use the board's own")
