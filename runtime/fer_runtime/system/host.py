"""The conditions of a measurement: processor, versions, load."""

import os
import platform
import resource
import sys
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import onnxruntime as ort

# What decides the speed of int8: without a dot product it needs three instructions for each such one.
INT8_FLAGS = ("avx2", "avx512_vnni", "avx_vnni", "amx_int8", "asimddp", "i8mm")


def describe() -> dict[str, Any]:
    """Facts of this machine as plain data; what cannot be read is left out."""
    info = _cpuinfo()
    flags = set(info.get("flags", info.get("Features", "")).split())
    facts: dict[str, Any] = {
        "cpu": info.get("model name") or info.get("Model") or platform.processor() or platform.machine(),
        "architecture": platform.machine(),
        "cores": os.cpu_count(),
        "int8_instructions": [flag for flag in INT8_FLAGS if flag in flags],
        "system": f"{platform.system()} {'.'.join(platform.release().split('.')[:2])}",
        "python": sys.version.split()[0],
        "onnxruntime": ort.__version__,
        "numpy": np.__version__,
        "opencv": cv2.__version__,
    }
    if hasattr(os, "getloadavg"):
        facts["load_before"] = round(os.getloadavg()[0], 2)
    governor = Path("/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor")
    if governor.exists():
        facts["governor"] = governor.read_text().strip()
    return facts


def peak_bytes() -> int:
    """Largest resident memory of this process so far."""
    status = Path("/proc/self/status")
    if status.exists():  # on Linux, getrusage would tell the parent's peak where that was larger
        line = next(line for line in status.read_text().splitlines() if line.startswith("VmHWM:"))
        return int(line.split()[1]) * 1024
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024  # macOS tells bytes, others kilobytes


def _cpuinfo() -> dict[str, str]:
    """The first processor's lines of /proc/cpuinfo, empty where there is none."""
    path = Path("/proc/cpuinfo")
    if not path.exists():
        return {}
    lines = path.read_text().splitlines()
    pairs = [line.split(":", 1) for line in lines if ":" in line]
    facts: dict[str, str] = {}
    for key, value in pairs:
        facts.setdefault(key.strip(), value.strip())
    return facts
