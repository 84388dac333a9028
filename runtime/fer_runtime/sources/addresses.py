"""Addresses of streams and of files on servers, and which of them have an end."""

import os
import re
import urllib.error
import urllib.request
from http import HTTPStatus
from http.client import HTTPException
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit, urlunsplit

import cv2

from fer_runtime.errors import FerError
from fer_runtime.redact import redact_url
from fer_runtime.sources.captures import MOTION_JPEG, Capture

SCHEME = re.compile(r"[a-z][a-z0-9+.-]*://", re.IGNORECASE)
LOCAL = re.compile(r"file://(localhost)?(?=/)", re.IGNORECASE)
PLAYLISTS = (".m3u8", ".m3u", ".mpd", ".sdp", ".asx")  # their own length says nothing of the stream
FAILURES = (OSError, ValueError, HTTPException)  # of a request
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
        with _first_byte(url) as answer:
            if answer.status == HTTPStatus.PARTIAL_CONTENT:  # "bytes 0-0/12345"
                return str(answer.headers.get("Content-Range")).rpartition("/")[2].isdecimal()
            return answer.headers.get("Content-Length") is not None
    except FAILURES:  # also of certificates, at which ffmpeg does not look
        return False


def refusal(url: str) -> str:
    """What an http server gives instead of a video, such as "404 Not Found"; empty where that cannot be told."""
    if not _is_web(url):
        return ""
    try:
        with _first_byte(url) as answer:
            kind = answer.headers.get_content_type()
            return f"{kind}, which is a page and no video" if kind == "text/html" else ""
    except urllib.error.HTTPError as error:
        return f"{error.code} {error.reason}"
    except FAILURES:
        return ""


def _is_web(url: str) -> bool:
    return SCHEME.match(url) is not None and url.partition(":")[0].lower() in ("http", "https")


def _first_byte(url: str) -> Any:
    """What an http server answers to a request for the first byte. Raises one of FAILURES."""
    parts = urlsplit(url)
    userinfo, _, host = parts.netloc.rpartition("@")
    user, _, password = userinfo.partition(":")
    plain = urlunsplit((*parts[:1], host, *parts[2:]))
    passwords = urllib.request.HTTPPasswordMgrWithDefaultRealm()
    passwords.add_password(None, plain, unquote(user), unquote(password))
    # Only sent when the server asks for it, and not in clear to one that takes a digest.
    handlers = [urllib.request.HTTPDigestAuthHandler, urllib.request.HTTPBasicAuthHandler] if userinfo else []
    opener = urllib.request.build_opener(*(handler(passwords) for handler in handlers))
    request = urllib.request.Request(plain, headers={"Range": "bytes=0-0"})  # noqa: S310 - http alone, see _is_web
    return opener.open(request, timeout=TIMEOUT_S)
