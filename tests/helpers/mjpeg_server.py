"""A motion JPEG camera over HTTP: `python tests/helpers/mjpeg_server.py PORT PAUSE RATE PICTURE...`.

Each that connects gets a picture after every PAUSE seconds, for as long as it stays. Which one is told by the time: the
scene moves on by RATE pictures a second, and around. It says "ready" when it listens.
"""

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
        pause, rate = float(sys.argv[2]), float(sys.argv[3])
        pictures = [Path(name).read_bytes() for name in sys.argv[4:]]
        begun = time.monotonic()
        while True:
            picture = pictures[int((time.monotonic() - begun) * rate) % len(pictures)]
            head = b"--frame\r\nContent-Type: image/jpeg\r\nContent-Length: %d\r\n\r\n" % len(picture)
            try:
                self.wfile.write(head + picture + b"\r\n")
            except OSError:
                return
            time.sleep(pause)

    def log_message(self, *arguments: object) -> None:
        """Nothing."""


if __name__ == "__main__":
    socketserver.TCPServer.allow_reuse_address = True
    server = socketserver.ThreadingTCPServer(("127.0.0.1", int(sys.argv[1])), Camera)
    server.daemon_threads = True
    print("ready", flush=True)
    server.serve_forever()
