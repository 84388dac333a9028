"""Notifies systemd that the run is up and alive (sd_notify(3)): a datagram to the socket that it names."""

import contextlib
import os
import socket
import time

import numpy as np
from numpy.typing import NDArray

from fer_runtime.types import Result


class Systemd:
    """READY=1 with the first result, WATCHDOG=1 while results come, STOPPING=1 at the end; an output like any other.

    So a unit of Type=notify with WatchdogSec= is started when the camera works, and restarted when results stay away.
    """

    def __init__(self) -> None:
        """Reads NOTIFY_SOCKET and WATCHDOG_USEC; without the former nothing is sent."""
        address = os.environ.get("NOTIFY_SOCKET", "")
        self._address = f"\0{address[1:]}" if address.startswith("@") else address  # @: an abstract socket
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.setblocking(False)
        limit = os.environ.get("WATCHDOG_USEC", "")
        self._pause = int(limit) / 1e6 / 4 if limit.isdecimal() else 5.0  # seconds; half would do
        self._reported = self._frames = 0
        self._next = 0.0

    def write(self, image: NDArray[np.uint8], result: Result) -> bool:  # noqa: ARG002 - the protocol's signature
        """Count the result, and notify systemd when it is time; True."""
        self._frames += 1
        now = time.monotonic()
        if self._frames == 1:
            self._notify("READY=1", f"STATUS=first result {result.age_ms:.0f} ms after its frame")
            self._next = now + self._pause
        elif now >= self._next:
            rate = (self._frames - self._reported) / (now - self._next + self._pause)
            self._notify("WATCHDOG=1", f"STATUS={rate:.1f} fps, {len(result.faces)} faces now")
            self._reported, self._next = self._frames, now + self._pause
        return True

    def beat(self, status: str) -> None:
        """For a run without results: READY=1 at first, then WATCHDOG=1 when it is time."""
        now = time.monotonic()
        if now >= self._next:
            self._notify("WATCHDOG=1" if self._next else "READY=1", f"STATUS={status}")
            self._next = now + self._pause

    def close(self) -> None:
        """Say that the run ends on purpose."""
        self._notify("STOPPING=1")
        self.hand_over()

    def hand_over(self) -> None:
        """Leave what is to be told from here on to another one."""
        self._socket.close()

    def _notify(self, *lines: str) -> None:
        if self._address:
            with contextlib.suppress(OSError):  # systemd is busy or away: the next one will get through
                self._socket.sendto("\n".join(lines).encode(), self._address)
