"""A camera or stream that is not there yet: a service waits for it, where a failure every few seconds fills the log."""

import logging
import os
import time
from collections.abc import Callable

from fer_runtime.errors import FerError
from fer_runtime.outputs.systemd import Systemd
from fer_runtime.sources.addresses import is_address
from fer_runtime.sources.base import Source
from fer_runtime.sources.factory import is_camera

log = logging.getLogger(__name__)

RETRY_INTERVAL_S = 2.0


def open_when_there(name: str, open_source: Callable[[], Source]) -> Source:
    """What `open_source` opens under this name. Raises FerError where it cannot.

    Under systemd a camera or stream is waited for, which the log and the service's status tell. Not `picamera`: its
    cameras are there from boot on, and what fails is a missing package.
    """
    waits = "NOTIFY_SOCKET" in os.environ and name != "picamera" and (is_camera(name) or is_address(name))
    if not waits:
        return open_source()
    told = ""
    systemd = Systemd()
    try:
        while True:
            try:
                return open_source()
            except FerError as error:
                if not told:
                    told = f"waiting for the source: {error}"
                    log.warning("%s", told)
            systemd.beat(told)
            time.sleep(RETRY_INTERVAL_S)
    finally:
        systemd.hand_over()
