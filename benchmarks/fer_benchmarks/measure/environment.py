"""Under which conditions a run took place, and which of them spoil its figures."""

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fer_runtime.system import host, thermal

BUSY = 0.3  # load before the run, of one core
STOLEN = 0.01  # of the time, by other machines on the same host
DRIFT = 0.05  # of the clock
CPU = Path("sys/devices/system/cpu")


@dataclass(frozen=True)
class Moment:
    """What can be read of a machine now; None, or empty, where it does not tell.

    mhz: of the processor's first core; celsius: its hottest sensor; throttled: times that it has slowed itself down, as
    Intel's count; slowed: whether it does now, as a Raspberry Pi tells; stolen, ticks: processor time that other
    machines took, and all of it.
    """

    mhz: float | None
    celsius: float | None
    throttled: int | None
    slowed: bool | None
    stolen: int
    ticks: int


def now(root: Path = Path("/")) -> Moment:
    """Read the sensors; root: of the file system."""
    fields = _text(root / "proc/stat").split("\n")[0].split()[1:]
    ticks = [int(field) for field in fields]
    stolen = ticks[7] if len(ticks) > 7 else 0
    celsius, held_back = thermal.temperature(root / "sys"), thermal.throttling(root / "sys")
    slowed = None if held_back is None else bool(held_back[0])
    return Moment(_mhz(root), celsius, _throttled(root), slowed, stolen, sum(ticks[:8]))


def describe(before: Moment, after: Moment, root: Path = Path("/")) -> tuple[dict[str, Any], list[str]]:
    """The conditions as plain data, and a warning for each that spoils the figures."""
    facts = host.describe()
    governor = _text(root / CPU / "cpu0/cpufreq/scaling_governor")
    stolen = (after.stolen - before.stolen) / max(1, after.ticks - before.ticks)
    throttled = None if after.throttled is None or before.throttled is None else after.throttled - before.throttled
    slowed = None if after.slowed is None else bool(before.slowed or after.slowed)
    facts |= {
        "virtual": "hypervisor" in _text(root / "proc/cpuinfo").split(),
        "governor": governor or None,
        "mhz": [before.mhz, after.mhz],
        "celsius": [before.celsius, after.celsius],
        "throttled": throttled if slowed is None else slowed,
        "stolen": round(stolen, 4),
    }
    facts["load_after"] = facts.pop("load_before", None)
    return facts, [text for text in _warnings(facts, before, after) if text]


def load() -> float | None:
    """Processes that want a core, over the last minute."""
    return round(os.getloadavg()[0], 2) if hasattr(os, "getloadavg") else None


def busy(load_before: float | None) -> str | None:
    """A warning where the machine was at work already."""
    if load_before is None or load_before <= BUSY:
        return None
    return f"the machine was busy before the run (load {load_before}): stop what runs beside it, and wait a minute"


def _warnings(facts: dict[str, Any], before: Moment, after: Moment) -> list[str | None]:
    governor, stolen = facts["governor"], facts["stolen"]
    drift = abs(after.mhz / before.mhz - 1) if after.mhz and before.mhz else 0.0
    return [
        f"the clock follows the load (governor {governor}): `sudo cpupower frequency-set -g performance` holds it"
        if governor not in (None, "performance")
        else None,
        "the processor slowed itself down: cool it, or give it a better power supply" if facts["throttled"] else None,
        f"the clock was {before.mhz:.0f} MHz before the run and {after.mhz:.0f} after it" if drift > DRIFT else None,
        f"other machines on this host took {stolen:.1%} of the time" if stolen > STOLEN else None,
    ]


def _mhz(root: Path) -> float | None:
    told = _number(root / CPU / "cpu0/cpufreq/scaling_cur_freq")
    if told is not None:
        return told / 1000
    lines = [line for line in _text(root / "proc/cpuinfo").splitlines() if line.startswith("cpu MHz")]
    return float(lines[0].split(":")[1]) if lines else None


def _throttled(root: Path) -> int | None:
    counts = [_number(file) for file in (root / CPU).glob("cpu*/thermal_throttle/core_throttle_count")]
    told = [count for count in counts if count is not None]
    return int(sum(told)) if told else None


def _number(file: Path) -> float | None:
    try:
        return float(_text(file))
    except ValueError:
        return None


def _text(file: Path) -> str:
    try:
        return file.read_text().strip()
    except OSError:
        return ""
