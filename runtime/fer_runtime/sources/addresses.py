"""Addresses of streams and of files on servers, and which of them have an end."""

import os
import re
from pathlib import Path
from urllib.parse import unquote, urlsplit

import cv2

from fer_runtime.errors import FerError
from fer_runtime.sources.captures import MOTION_JPEG, Capture
from fer_runtime.system.redact import redact_url

SCHEME = re.compile(r"[a-z][a-z0-9+.-]*://", re.IGNORECASE)
LOCAL = re.compile(r"file://(localhost)?(?=/)", re.IGNORECASE)


def is_address(name: str) -> bool:
    """Whether it is a URL, and not a file of such a name."""
    return SCHEME.match(name) is not None and not os.path.exists(name)


def local_path(name: str) -> Path | None:
    """The file that a file:// address means, None for any other name."""
    local = LOCAL.match(name)
    if local is None or os.path.exists(name):
        return None
    path = name[local.end() :]
    return Path(path if os.path.exists(path) else unquote(path))


def check_address(url: str) -> None:
    """Raise FerError for what cannot be an address."""
    try:
        fine = urlsplit(url).port != 0
    except ValueError:
        fine = False
    if not fine:
        raise FerError(f"{redact_url(url)} is no address: expected for example rtsp://HOST:PORT/PATH")


def has_end(capture: Capture, url: str) -> bool:
    """Whether the address is that of a finished video: it has a duration, or its server knows the file's length."""
    from fer_runtime.sources.servers import has_length  # its imports take longer than all others of a run on a file

    if capture.get(cv2.CAP_PROP_FRAME_COUNT) > 0:
        return True
    # Motion JPEG is mostly a camera's, of which some serve only one client: that is asked when the stream has ended.
    return capture.get(cv2.CAP_PROP_FOURCC) != MOTION_JPEG and has_length(url)
