"""A web server that serves a folder's files as common ones do: by ranges, or whole; with a password; or broken off."""

import base64
import contextlib
import mimetypes
import re
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path


@contextlib.contextmanager
def serve(
    folder: Path,
    ranges: bool = True,
    password: str = "",
    at_most: int | None = None,
    told_length: bool = True,
    seen: list[str] | None = None,
) -> Iterator[str]:
    """The address of the served folder, without user and password.

    ranges: answers requests for a part of a file. password: of the user `cam`. at_most: bytes after which each
    connection is cut. told_length: whether answers carry the file's length. seen: takes the
    Authorization of each request.
    """

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            if seen is not None:
                seen.append(self.headers.get("Authorization", ""))
            wanted = "Basic " + base64.b64encode(f"cam:{password}".encode()).decode()
            if password and self.headers.get("Authorization") != wanted:
                self.send_response(401)
                self.send_header("WWW-Authenticate", 'Basic realm="camera"')
                self.end_headers()
                return
            path = folder / self.path.lstrip("/").partition("?")[0]
            if not path.is_file():
                self.send_error(404)
                return
            data = path.read_bytes()
            part = re.fullmatch(r"bytes=(\d+)-(\d*)", self.headers.get("Range", "")) if ranges else None
            first, last = (int(part[1]), int(part[2] or len(data) - 1)) if part else (0, len(data) - 1)
            self.send_response(206 if part else 200)
            self.send_header("Content-Type", mimetypes.guess_type(path)[0] or "application/octet-stream")
            if part:
                self.send_header("Content-Range", f"bytes {first}-{last}/{len(data)}")
            if told_length:
                self.send_header("Content-Length", str(last + 1 - first))
            self.end_headers()
            with contextlib.suppress(OSError):
                self.wfile.write(data[first : last + 1][:at_most])

        def log_message(self, *arguments: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
