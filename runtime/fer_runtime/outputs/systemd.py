"""Tells systemd that the run is up and alive (sd_notify(3)): a datagram to the socket that it names."""

import contextlib
import os
import socket
import time

import numpy as np
from numpy.typing import NDArray

from fer_runtime.types import Result


class Systemd:
    """READY=1 with the first answer, WATCHDOG=1 while answers come, STOPPING=1 at the end; an output like any other.

    So a unit of Type=notify with WatchdogSec= is started when the camera works, and restarted when answers stay away.
    """

    def __init__(self) -> None:
        """Reads NOTIFY_SOCKET and WATCHDOG_USEC; without the former nothing is sent."""
        address = os.environ.get("NOTIFY_SOCKET", "")
        self._address = f"\0{address[1:]}" if address.startswith("@") else address  # @: an abstract socket
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.setblocking(False)
        limit = os.environ.get("WATCHDOG_USEC", "")
        self._pause = int(limit) / 1e6 / 4 if limit.isdecimal() else 5.0  # seconds; half would do
        self._told = self._answers = 0
        self._next = 0.0

    def write(self, image: NDArray[np.uint8], result: Result) -> bool:  # noqa: ARG002 - the protocol's signature
        """Count the answer, and tell when it is time; True."""
        self._answers += 1
        now = time.monotonic()
        if self._answers == 1:
            self._send("READY=1", f"STATUS=first answer {result.age_ms:.0f} ms after its frame")
            self._next = now + self._pause
        elif now >= self._next:
            rate = (self._answers - self._told) / (now - self._next + self._pause)
            self._send("WATCHDOG=1", f"STATUS={rate:.1f} frames per second, {len(result.faces)} faces now")
            self._told, self._next = self._answers, now + self._pause
        return True

    def close(self) -> None:
        """Tell that the end is wanted."""
        self._send("STOPPING=1")
        self._socket.close()

    def _send(self, *lines: str) -> None:
        if self._address:
            with contextlib.suppress(OSError):  # systemd is busy or away: the next one will get through
                self._socket.sendto("\n".join(lines).encode(), self._address)
