"""Addresses of streams and of files on servers, and which of them have an end."""

import base64
import os
import re
import urllib.error
import urllib.request
from pathlib import Path
from urllib.parse import unquote, urlsplit, urlunsplit

import cv2

from fer_runtime.errors import FerError
from fer_runtime.redact import redact_url
from fer_runtime.sources.captures import MOTION_JPEG, Capture

SCHEME = re.compile(r"[a-z][a-z0-9+.-]*://", re.IGNORECASE)
LOCAL = re.compile(r"file://(localhost)?(?=/)", re.IGNORECASE)
PLAYLISTS = (".m3u8", ".m3u", ".mpd", ".sdp", ".asx")  # their own length says nothing of the stream
TIMEOUT_S = 5.0  # for a server to say what it has


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
    if capture.get(cv2.CAP_PROP_FRAME_COUNT) > 0:
        return True
    # Motion JPEG is mostly a camera's, of which some serve only one client: that is asked when the stream has ended.
    return capture.get(cv2.CAP_PROP_FOURCC) != MOTION_JPEG and has_length(url)


def has_length(url: str) -> bool:
    """Whether an http server says how long this is: it is a file then, and no stream."""
    if not _is_web(url) or urlsplit(url).path.lower().endswith(PLAYLISTS):
        return False
    try:
        with urllib.request.urlopen(_request(url), timeout=TIMEOUT_S) as answer:  # noqa: S310 - http alone
            if answer.status == 206:
                return str(answer.headers.get("Content-Range")).rpartition("/")[2].isdecimal()
            return answer.headers.get("Content-Length") is not None
    except (OSError, ValueError):  # also of certificates that ffmpeg does not look at
        return False


def refusal(url: str) -> str:
    """What an http server gives instead of a video, such as "404 Not Found"; empty where that cannot be told."""
    if not _is_web(url):
        return ""
    try:
        with urllib.request.urlopen(_request(url), timeout=TIMEOUT_S) as answer:  # noqa: S310 - http alone
            kind = answer.headers.get_content_type()
            return f"{kind}, which is a page and no video" if kind == "text/html" else ""
    except urllib.error.HTTPError as error:
        return f"{error.code} {error.reason}"
    except (OSError, ValueError):
        pass
    return ""


def _is_web(url: str) -> bool:
    return SCHEME.match(url) is not None and url.partition(":")[0].lower() in ("http", "https")


def _request(url: str) -> urllib.request.Request:
    """For the first byte, with the address's user and password as a header."""
    parts = urlsplit(url)
    user, at, host = parts.netloc.rpartition("@")
    headers = {"Range": "bytes=0-0"}
    if at:
        headers["Authorization"] = "Basic " + base64.b64encode(unquote(user).encode()).decode()
    return urllib.request.Request(urlunsplit((*parts[:1], host, *parts[2:])), headers=headers)  # noqa: S310 - see above
