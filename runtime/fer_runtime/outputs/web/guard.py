"""Who may see the page: everything that is refused is refused here, before any route."""

import hmac
import ipaddress
import socket
from collections.abc import Mapping
from http.cookies import CookieError, SimpleCookie
from urllib.parse import parse_qs

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import RedirectResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from fer_runtime.outputs.web import demo, site
from fer_runtime.outputs.web.api import FACES
from fer_runtime.outputs.web.problems import refusal

COOKIE, COOKIE_AGE_S = "fer_token", 30 * 86400
MAX_HEAD_BYTES = 8 * 1024
HEADERS = {
    "content-security-policy": "default-src 'none'; img-src 'self'; style-src 'self'; script-src 'self'; "
    "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "referrer-policy": "no-referrer",
    "cross-origin-resource-policy": "same-origin",
    "cross-origin-opener-policy": "same-origin",
    "permissions-policy": "camera=(), microphone=(), geolocation=()",
    "cache-control": "no-store",
}
REFUSAL = (
    "This page needs the token that fer-run printed when it was started: open the address with ?token=..., "
    "or send the header Authorization: Bearer ..."
)


class Guard:
    """ASGI middleware: methods, sizes, Host, Origin and token are checked, and every response gets HEADERS.

    What lies below demo.ROOT gets site.HEADERS over them.
    """

    def __init__(self, app: ASGIApp, host: str, token: str | None) -> None:
        """host: as the user named it, accepted as Host; token: what a client must show, None on loopback."""
        self._app, self._token = app, token
        name = socket.gethostname().lower()
        self._names = {"localhost", host.lower(), name, f"{name}.local"}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One request."""

        async def secured(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message).update(fixed)
            await send(message)

        headers = Headers(scope=scope)
        fixed = HEADERS | (site.HEADERS if scope["path"].startswith(demo.ROOT) else {})
        refused = self._refused(scope, headers) or self._signed_in(scope, headers)
        await (refused or self._app)(scope, receive, secured)

    def _refused(self, scope: Scope, headers: Headers) -> Response | None:
        path, method, host = scope["path"], scope["method"], headers.get("host", "")
        posted = path == FACES and method == "POST"
        if method not in ("GET", "HEAD") and not posted:
            allowed = "GET, HEAD, POST" if path == FACES else "GET, HEAD"
            return refusal(path, 405, f"Only {allowed} are allowed here.", {"allow": allowed})
        if not posted and (headers.get("content-length", "0") != "0" or "transfer-encoding" in headers):
            return refusal(path, 413, "Expected a request without a body.", {"connection": "close"})
        if _size(scope) > MAX_HEAD_BYTES:
            return refusal(path, 431, "The address and headers are too long.", {"connection": "close"})
        if not self._is_ours(host):
            return refusal(path, 421, "Unknown Host: use this machine's address or name.")
        if not _same_origin(headers, host, posted):
            return refusal(path, 403, "Other sites may not use this page.")
        return None

    def _is_ours(self, host: str) -> bool:
        """Whether the Host header is a name of this machine; a name of another site may point here (DNS rebinding)."""
        name = _without_port(host).lower()
        return name in self._names or _is_address(name)

    def _signed_in(self, scope: Scope, headers: Headers) -> Response | None:
        """None for a client that may pass; for a page's ?token= a redirect that sets the cookie; else 401."""
        if self._token is None:
            return None
        query = parse_qs(scope["query_string"].decode("latin-1"))
        if self._matches(query.get("token", [""])[0]):
            if scope["path"] not in ("/", demo.ROOT):
                return None
            response = RedirectResponse(scope["path"], 303)  # the token leaves the address bar
            response.set_cookie(COOKIE, self._token, max_age=COOKIE_AGE_S, httponly=True, samesite="strict")
            return response
        kind, _, shown = headers.get("authorization", "").partition(" ")
        if (kind.lower() == "bearer" and self._matches(shown.strip())) or self._matches(_cookie(headers)):
            return None
        return refusal(scope["path"], 401, REFUSAL, {"www-authenticate": "Bearer"})

    def _matches(self, shown: str) -> bool:
        assert self._token is not None
        return hmac.compare_digest(shown.encode(), self._token.encode())  # in constant time


def _size(scope: Scope) -> int:
    """Bytes of a request's path, query and headers."""
    return len(scope["raw_path"]) + len(scope["query_string"]) + sum(len(k) + len(v) for k, v in scope["headers"])


def _without_port(host: str) -> str:
    if host.startswith("["):  # IPv6
        return host[1:].partition("]")[0]
    return host.partition(":")[0]


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True


def _same_origin(headers: Headers, host: str, posted: bool) -> bool:
    """Whether the request comes from our own page, from no page, or is a visit by a link."""
    origin = headers.get("origin")
    if origin is not None and origin != f"http://{host}":
        return False
    visit = not posted and headers.get("sec-fetch-mode") == "navigate" and headers.get("sec-fetch-dest") == "document"
    return visit or headers.get("sec-fetch-site", "none") in ("same-origin", "none")


def _cookie(headers: Mapping[str, str]) -> str:
    try:
        found = SimpleCookie(headers.get("cookie", "")).get(COOKIE)
    except CookieError:
        return ""
    return found.value if found else ""
