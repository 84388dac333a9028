"""The conditions of a run, and which of them make its figures unreliable."""

import os
from dataclasses import dataclass, fields
from pathlib import Path

from fer_benchmarks.results import Environment
from fer_runtime.system import cpu, host, thermal

BUSY = 0.3  # load before the run, of one core
STOLEN = 0.01  # of the time, by other machines on the same host
DRIFT = 0.05  # of the clock
CPU_FOLDER = Path("sys/devices/system/cpu")
MACHINE_FACTS = tuple(field.name for field in fields(host.Machine))


@dataclass(frozen=True)
class Moment:
    """The state of the machine now; None where it cannot be read."""

    clock_mhz: float | None
    """Of the processor's first core."""
    temperature_c: float | None
    """Of its hottest sensor."""
    throttle_count: int | None
    """Times that it has slowed itself down, as Intel's count."""
    throttled: bool | None
    """Whether it does now, as a Raspberry Pi reports."""
    stolen_ticks: int
    """Processor time that other machines took."""
    ticks: int
    """All processor time."""
    load: float | None
    """Processes that want a core, over the last minute."""


def now(root: Path = Path("/")) -> Moment:
    """Read the sensors; root: of the file system."""
    fields = _text(root / "proc/stat").split("\n")[0].split()[1:]
    ticks = [int(field) for field in fields]
    stolen = ticks[7] if len(ticks) > 7 else 0
    celsius, held_back = thermal.temperature(root / "sys"), thermal.throttling(root / "sys")
    throttled = None if held_back is None else bool(held_back[0])
    return Moment(_mhz(root), celsius, _throttle_count(root), throttled, stolen, sum(ticks[:8]), _load())


def describe(before: Moment, after: Moment, energy_source: str | None, root: Path = Path("/")) -> Environment:
    """Machine and versions, and how the run was disturbed between the two moments."""
    facts = host.describe(root)
    return Environment(
        **{name: getattr(facts, name) for name in MACHINE_FACTS},
        virtual="hypervisor" in cpu.instructions(root),
        clock_mhz=(before.clock_mhz, after.clock_mhz),
        temperature_c=(before.temperature_c, after.temperature_c),
        throttled=_throttled(before, after),
        stolen_share=round((after.stolen_ticks - before.stolen_ticks) / max(1, after.ticks - before.ticks), 4),
        load_before=before.load,
        load_after=after.load,
        energy_source=energy_source,
    )


def warnings(found: Environment) -> list[str]:
    """A sentence for each condition that makes the figures unreliable."""
    before, after = found.clock_mhz
    drift = abs(after / before - 1) if after and before else 0.0
    texts = [
        f"the machine was busy before the run (load {found.load_before}): stop what runs beside it, and wait a minute"
        if found.load_before is not None and found.load_before > BUSY
        else None,
        f"the clock follows the load (governor {found.governor}): `sudo cpupower frequency-set -g performance` holds it"
        if found.governor not in (None, "performance")
        else None,
        "the processor slowed itself down: cool it, or give it a better power supply" if found.throttled else None,
        f"the clock was {before:.0f} MHz before the run and {after:.0f} after it" if drift > DRIFT else None,
        f"other machines on this host took {found.stolen_share:.1%} of the time"
        if found.stolen_share > STOLEN
        else None,
    ]
    return [text for text in texts if text]


def _load() -> float | None:
    return round(os.getloadavg()[0], 2) if hasattr(os, "getloadavg") else None


def _throttled(before: Moment, after: Moment) -> bool | None:
    """Whether the processor slowed itself down in between; None where that cannot be read."""
    if after.throttled is not None:
        return bool(before.throttled or after.throttled)
    if after.throttle_count is None or before.throttle_count is None:
        return None
    return after.throttle_count > before.throttle_count


def _mhz(root: Path) -> float | None:
    khz = _number(root / CPU_FOLDER / "cpu0/cpufreq/scaling_cur_freq")
    if khz is not None:
        return khz / 1000
    mhz = cpu.info(root).get("cpu MHz")
    return float(mhz) if mhz else None


def _throttle_count(root: Path) -> int | None:
    counts = [_number(file) for file in (root / CPU_FOLDER).glob("cpu*/thermal_throttle/core_throttle_count")]
    known = [count for count in counts if count is not None]
    return int(sum(known)) if known else None


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
