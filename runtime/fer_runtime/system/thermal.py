"""Temperature of the board, and whether its firmware throttles it."""

from pathlib import Path

SYSTEM = Path("/sys")
# Bits that a Raspberry Pi's firmware reports, now (0 to 3) and since it was started (16 to 19).
THROTTLED = {0: "under-voltage", 1: "capped frequency", 2: "throttled", 3: "at its temperature limit"}


def temperature(system: Path = SYSTEM, kind: str = "") -> float | None:
    """Of the hottest sensor whose type contains `kind`, degrees Celsius; None where there is none.

    system: Linux's folder of devices.
    """
    found = []
    for zone in (system / "class" / "thermal").glob("thermal_zone*"):
        try:
            if not kind or kind in (zone / "type").read_text():
                found.append(int((zone / "temp").read_text()) / 1000)
        except (OSError, ValueError):  # some sensors answer only while their device is on
            continue
    return max((degrees for degrees in found if -40 < degrees < 150), default=None)


def throttling(system: Path = SYSTEM) -> tuple[list[str], list[str]] | None:
    """Why a Raspberry Pi is throttled: (now, since boot); None where the firmware does not report it."""
    for file in (system / "devices" / "platform").glob("soc*/*firmware/get_throttled"):
        try:
            bits = int(file.read_text(), 16)
        except (OSError, ValueError):
            continue
        now = [name for bit, name in THROTTLED.items() if bits >> bit & 1]
        return now, [name for bit, name in THROTTLED.items() if bits >> (bit + 16) & 1]
    return None
