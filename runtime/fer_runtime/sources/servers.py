"""What an http server says of an address: whether it is a file with an end, or why there is no video."""

import urllib.error
import urllib.request
from http import HTTPStatus
from http.client import HTTPException
from typing import Any
from urllib.parse import unquote, urlsplit, urlunsplit

PLAYLISTS = (".m3u8", ".m3u", ".mpd", ".sdp", ".asx")  # their own length says nothing of the stream
FAILURES = (OSError, ValueError, HTTPException)  # of a request
TIMEOUT_S = 5.0  # for a server to say what it has


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
    return url.lower().startswith(("http://", "https://"))


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
