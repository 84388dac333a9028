"""Energy, where the machine measures it: RAPL's counters or a Raspberry Pi 5's power chip."""

import re
import shutil
import subprocess
import threading
import time
from pathlib import Path
from typing import Protocol

POWERCAP = Path("/sys/class/powercap")
SAMPLE_S = 0.1  # between two readings of the power chip
READING = re.compile(r"(\w+)_([AV])\s*(?:\w+\(\d+\))?=([\d.]+)[AV]")  # VDD_CORE_A current(7)=1.25A


class Meter(Protocol):
    """Energy of the whole processor or board, everything else that runs there included.

    Attributes: source (what measures it).
    """

    source: str

    def start(self) -> None:
        """Begin."""

    def stop(self) -> float | None:
        """Joules since `start`, or None where the meter stopped working."""


def find_meter(powercap: Path = POWERCAP) -> Meter | None:
    """The meter of this machine, or None: energy is never estimated."""
    packages = [folder for folder in sorted(powercap.glob("intel-rapl:*")) if folder.name.count(":") == 1]
    if packages and all(_joules(folder) is not None for folder in packages):
        return Rapl(packages)
    if shutil.which("vcgencmd") and _watts() is not None:
        return Pmic()
    return None


class Rapl:
    """The energy counters of Intel's and AMD's processors; they start again at their largest value."""

    def __init__(self, packages: list[Path]) -> None:
        self.source = "RAPL, processor packages"
        self._packages = packages
        self._before: list[float | None] = []

    def start(self) -> None:
        """Begin."""
        self._before = [_joules(folder) for folder in self._packages]

    def stop(self) -> float | None:
        """Joules since `start`."""
        total = 0.0
        for folder, before in zip(self._packages, self._before, strict=True):
            now = _joules(folder)
            if now is None or before is None:
                return None
            largest = int((folder / "max_energy_range_uj").read_text()) / 1e6
            total += now - before if now >= before else now - before + largest
        return total


class Pmic:
    """A Raspberry Pi 5's power chip, whose currents and voltages are read ten times per second and multiplied."""

    def __init__(self) -> None:
        self.source = "PMIC, the rails behind the power chip"

    def start(self) -> None:
        """Begin."""
        self._watts: list[float] = []
        self._begun, self._ended = time.monotonic(), threading.Event()
        self._thread = threading.Thread(target=self._sample, daemon=True)
        self._thread.start()

    def stop(self) -> float | None:
        """Joules since `start`: the mean power over the time."""
        took = time.monotonic() - self._begun
        self._ended.set()
        self._thread.join()
        return took * sum(self._watts) / len(self._watts) if self._watts else None

    def _sample(self) -> None:
        while not self._ended.wait(SAMPLE_S):
            if (watts := _watts()) is not None:
                self._watts.append(watts)


def _joules(folder: Path) -> float | None:
    try:
        return int((folder / "energy_uj").read_text()) / 1e6
    except (OSError, ValueError):  # root alone may read it on most systems
        return None


def _watts() -> float | None:
    """Sum of current times voltage over the power chip's rails."""
    # Not checked: a board whose program fails prints no readings, and then there is no figure.
    done = subprocess.run(["vcgencmd", "pmic_read_adc"], capture_output=True, text=True, check=False)  # noqa: S607 - a board's own program
    rails: dict[str, dict[str, float]] = {}
    for rail, kind, value in READING.findall(done.stdout):
        rails.setdefault(rail, {})[kind] = float(value)
    powers = [rail["A"] * rail["V"] for rail in rails.values() if len(rail) == 2]
    return sum(powers) if powers else None
