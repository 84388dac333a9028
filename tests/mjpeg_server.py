"""A motion JPEG camera over HTTP: `python tests/mjpeg_server.py PORT PAUSE PICTURE...`.

Each that connects gets the pictures in turn, with PAUSE seconds between them, for as long as it stays; it says "ready"
when it listens.
"""

import itertools
import socketserver
import sys
import time
from http.server import BaseHTTPRequestHandler
from pathlib import Path


class Camera(BaseHTTPRequestHandler):
    """Answers every request with multipart/x-mixed-replace, as network cameras do."""

    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "multipart/x-mixed-replace; boundary=frame")
        self.end_headers()
        pictures = [Path(name).read_bytes() for name in sys.argv[3:]]
        for picture in itertools.cycle(pictures):
            head = b"--frame\r\nContent-Type: image/jpeg\r\nContent-Length: %d\r\n\r\n" % len(picture)
            try:
                self.wfile.write(head + picture + b"\r\n")
            except OSError:
                return
            time.sleep(float(sys.argv[2]))

    def log_message(self, *arguments: object) -> None:
        """Nothing."""


if __name__ == "__main__":
    socketserver.TCPServer.allow_reuse_address = True
    server = socketserver.ThreadingTCPServer(("127.0.0.1", int(sys.argv[1])), Camera)
    server.daemon_threads = True
    print("ready", flush=True)
    server.serve_forever()
