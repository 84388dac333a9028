"""A static host on loopback that serves a page's folder, and keeps what it was asked for."""

import gzip
import hashlib
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import lru_cache
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import unquote, urlsplit

from fer_runtime.outputs.web import site

BARE: Mapping[str, str] = {}  # a host that sends no headers of its own, as most do


@dataclass(frozen=True)
class Exchange:
    """One request and what was answered."""

    path: str
    """As it was asked for, with its query."""
    status: int
    body_bytes: int
    """As they were transferred, compressed or not."""


@dataclass
class Host:
    """One that is serving."""

    address: str
    """Of the page, with a slash at its end."""
    seen: list[Exchange] = field(default_factory=list)
    """In the order of the answers."""
    stop: threading.Event = field(default_factory=threading.Event)
    """Once set, every connection is cut without an answer."""


@contextmanager
def serving(
    folder: Path,
    headers: Mapping[str, str] = site.HEADERS,
    below: str = "/",
    instead: Mapping[str, bytes] | None = None,
) -> Iterator[Host]:
    """Serve `folder` below a path until the end of the block.

    headers: with every answer; site.HEADERS isolate the page, so that it gets threads. instead: contents that stand for
    those of the folder's files, by their path in it.
    """
    host = Host("")

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            if host.stop.is_set():
                self.close_connection = True
                return
            path = unquote(urlsplit(self.path).path)
            found = _content(folder, path.removeprefix(below) or "index.html", instead or {}, path.startswith(below))
            status, (kind, data) = (200, found) if found else (404, ("text/plain", b"not here"))
            packed, etag = "gzip" in self.headers.get("accept-encoding", ""), _etag(data)
            if found and self.headers.get("if-none-match") == etag:
                status, data = 304, b""
            body = _gzipped(data) if packed and data else data
            self.send_response(status)
            for name, value in headers.items():
                self.send_header(name, value)
            if packed and data:
                self.send_header("content-encoding", "gzip")
            self.send_header("content-type", kind)
            self.send_header("etag", etag)
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)
            host.seen.append(Exchange(self.path, status, len(body)))

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    host.address = f"http://127.0.0.1:{server.server_address[1]}{below}"
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield host
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def _content(folder: Path, path: str, instead: Mapping[str, bytes], ours: bool) -> tuple[str, bytes] | None:
    """Media type and bytes of a file of the page, None for what it does not have."""
    file = (folder / path).resolve()
    if not ours or not file.is_relative_to(folder.resolve()) or not (path in instead or file.is_file()):
        return None
    kind = site.MEDIA_TYPES.get(file.suffix, "application/octet-stream")
    return kind, instead[path] if path in instead else file.read_bytes()


@lru_cache(maxsize=32)
def _etag(data: bytes) -> str:
    return f'W/"{hashlib.sha256(data).hexdigest()[:16]}"'


@lru_cache(maxsize=32)
def _gzipped(data: bytes) -> bytes:
    return gzip.compress(data, 6, mtime=0)
