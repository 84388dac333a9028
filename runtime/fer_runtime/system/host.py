"""The conditions of a measurement: processor, versions, load."""

import os
import platform
import resource
import sys
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import onnxruntime as ort

from fer_runtime.system import cpu


@dataclass(frozen=True)
class Machine:
    """A machine and the versions of what it runs: what does not change from run to run."""

    cpu: str
    architecture: str
    cores: int | None
    int8_instructions: list[str]
    """Instruction sets that int8 gains from."""
    system: str
    """Operating system and its version."""
    python: str
    onnxruntime: str
    numpy: str
    opencv: str
    governor: str | None
    """Of the processor's clock."""


@dataclass(frozen=True)
class Host(Machine):
    """A machine at this moment."""

    load: float | None
    """Processes that wanted a core, over the last minute."""


def describe(root: Path = cpu.ROOT) -> Host:
    """The machine that it runs on; what cannot be read is None. root: of the files of /proc and /sys."""
    governor = root / "sys/devices/system/cpu/cpu0/cpufreq/scaling_governor"
    facts = cpu.info(root)
    return Host(
        cpu=facts.get("model name") or facts.get("Model") or platform.processor() or platform.machine(),
        architecture=platform.machine(),
        cores=os.cpu_count(),
        int8_instructions=cpu.int8_instructions(root),
        system=f"{platform.system()} {'.'.join(platform.release().split('.')[:2])}",
        python=sys.version.split()[0],
        onnxruntime=ort.__version__,
        numpy=np.__version__,
        opencv=cv2.__version__,
        load=round(os.getloadavg()[0], 2) if hasattr(os, "getloadavg") else None,
        governor=governor.read_text().strip() if governor.exists() else None,
    )


def peak_bytes() -> int:
    """Largest resident memory of this process so far."""
    status = Path("/proc/self/status")
    if status.exists():  # on Linux, getrusage reports the parent's peak where that was larger
        line = next(line for line in status.read_text().splitlines() if line.startswith("VmHWM:"))
        return int(line.split()[1]) * 1024
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024  # bytes on macOS, kilobytes elsewhere
