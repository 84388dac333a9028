"""Spoiled inputs by the million: our error or a right answer, never a crash. `make fuzz` runs it for some minutes.

Each target runs in a process of its own, whose memory is limited, and hangs end it. A case is made from its number
alone: `PYTHONPATH=tests python -m tools.fuzz --only NAME --first NUMBER --cases 1` repeats one.
"""

import argparse
import contextlib
import copy
import json
import logging
import os
import random
import resource
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

import fer_runtime  # noqa: F401 - before any onnxruntime: it switches the telemetry off
from fer_runtime.errors import FerError
from fer_runtime.model.manifest import golden_faces, parse
from fer_runtime.model.session import Classifier, default_model
from helpers.broken_models import BYTES, SECONDS, broken, tried

# Values that stand where others are expected.
ODD: list[Any] = [
    None, True, False, 0, -1, 1, 2**31, 2**63, 2**70, -(2**70), 1e308, 1e-308, float("nan"), float("inf"), "", "0",
    "\0", "\ud800", "x" * 5000, [], {}, [[]], [None], {"": None}, [1e308] * 3, ["a", "a"], "../../etc/passwd",
]  # fmt: skip


class Models:
    """The packaged model with some harm done; one that is still opened must answer with probabilities."""

    def __init__(self) -> None:
        self._files = [default_model().read_bytes()]
        self._folder = tempfile.TemporaryDirectory()
        self._file = Path(self._folder.name) / "broken.onnx"

    def case(self, number: int) -> None:
        self._file.write_bytes(broken(self._files, number))
        if tried(self._file) != "answered":
            return
        classifier = Classifier(self._file)
        with contextlib.suppress(FerError):  # a refusal is a right answer
            answers = classifier(
                np.full((1, classifier.manifest.channels, classifier.size, classifier.size), 7, np.uint8)
            )
            assert answers.shape == (1, len(classifier.labels))
            assert abs(answers.sum() - 1) < 1e-2


class Manifests:
    """The packaged model's manifest with odd values, fields away or added, and spoiled text."""

    def __init__(self) -> None:
        self._text = Classifier().manifest.to_json()

    def case(self, number: int) -> None:
        rng = random.Random(number)
        plain = json.loads(self._text)
        for _ in range(rng.randint(1, 3)):
            spoil(plain, rng)
        text = json.dumps(plain)
        if rng.random() < 0.3:
            text = spoiled(text.encode(), rng).decode("utf-8", "replace")
        try:
            manifest = parse(text, "fuzz")
        except FerError:
            return
        assert parse(manifest.to_json(), "fuzz") == manifest
        if manifest.golden:
            golden_faces(manifest.golden.seed, min(manifest.size, 64), 1, manifest.channels)


class Images:
    """Encoded pictures with some harm done, decoded as fer-run does, and shown to the page's encoder."""

    def __init__(self) -> None:
        import cv2

        face = np.repeat(golden_faces(0, 48)[0, 0][:, :, None], 3, 2)
        suffixes = (".png", ".jpg", ".bmp", ".webp", ".ppm", ".tiff")
        self._files = [cv2.imencode(suffix, face)[1].tobytes() for suffix in suffixes]

    def case(self, number: int) -> None:
        from fer_runtime.data.decode import decode_bgr
        from fer_runtime.model.preprocessing import FER2013, crop

        picture = decode_bgr(broken(self._files, number))
        if picture is None:
            return
        assert picture.dtype == np.uint8
        assert picture.ndim == 3
        assert picture.shape[2] == 3
        assert crop(picture, (3.0, 3.0, 30.0, 40.0), FER2013, 48).shape == (1, 48, 48)


class Requests:
    """Bytes to the page's own server; it goes on answering, and never says 200 to what shows no token."""

    def __init__(self) -> None:
        os.environ["FER_WEB_TOKEN"] = self._token = "a-token-of-some-length"
        from fer_runtime.outputs.web.server import WebPage
        from fer_runtime.types import Result

        self._page = WebPage("0.0.0.0:0", ("happy", "sad"), {}, ())
        self._port = int(self._page.address.rstrip("/").rpartition(":")[2])
        self._result = Result(0, "2026-01-01T00:00:00Z", 1.0, ())
        good = [
            "GET {path} HTTP/1.1\r\nHost: localhost\r\nCookie: fer_token=wrong\r\nOrigin: http://a\r\n\r\n",
            "GET {path}?token=wrong&a=%00 HTTP/1.1\r\nHost: [::1]:1\r\nSec-Fetch-Site: none\r\nAccept: */*\r\n\r\n",
            "POST {path} HTTP/1.1\r\nHost: localhost\r\nContent-Length: 5\r\n\r\nhello",
            "POST {path} HTTP/1.1\r\nHost: [::1]\r\nContent-Type: image/png\r\nContent-Length: 4\r\n\r\n\x89PNG",
            "GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
            "HEAD {path} HTTP/1.0\r\nHost: localhost\r\nAuthorization: Bearer wrong\r\nCookie: a=b; fer_token=\r\n\r\n",
        ]
        paths = [
            "/", "/video", "/events", "/health", "/metrics", "/page.js", "/%2e%2e/", "//a", "/*", "/api/v1/faces",
            "/api/v1/model", "/api/v1/",
        ]  # fmt: skip
        self._good = [text.format(path=path).encode() for text in good for path in paths]

    def case(self, number: int) -> None:
        rng = random.Random(number)
        data = spoiled(rng.choice(self._good), rng)
        client = socket.create_connection(("127.0.0.1", self._port), timeout=10)
        with client, contextlib.suppress(OSError):  # it may hang up on nonsense
            client.sendall(data)
            client.shutdown(socket.SHUT_WR)
            answer = client.recv(65536)
            assert not answer or answer.startswith(b"HTTP/1.1 "), answer
            assert b"HTTP/1.1 200" not in answer, (data, answer)
            assert b"HTTP/1.1 500" not in answer, (data, answer)
        if number % 100 == 0:
            self._page.write(np.zeros((8, 8, 3), np.uint8), self._result)
            with socket.create_connection(("127.0.0.1", self._port), timeout=10) as client:
                ask = f"GET /health HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {self._token}\r\n\r\n"
                client.sendall(ask.encode())
                assert client.recv(4096).startswith(b"HTTP/1.1 200")


class Addresses:
    """What may stand behind --mqtt and --web."""

    def case(self, number: int) -> None:
        from fer_runtime.outputs.mqtt import PORTS, _parsed
        from fer_runtime.outputs.web.server import _parsed as place

        rng = random.Random(number)
        seed = rng.choice([b"mqtt://user:pass@host:1883/a/b", b"mqtts://[::1]:8883/t", b"[::1]:8080", b"0.0.0.0:8080"])
        text = spoiled(seed, rng).decode("utf-8", "surrogateescape" if rng.random() < 0.5 else "replace")
        with contextlib.suppress(FerError):  # a refusal is a right answer
            parts = _parsed(text)
            assert parts.scheme in PORTS
            assert parts.hostname
        with contextlib.suppress(FerError):  # a refusal is a right answer
            assert 0 <= place(text)[1] < 2**16


class Broker:
    """A broker that answers with spoiled packets: the thread that talks to it lives on, and results are taken."""

    def __init__(self) -> None:
        from fer_runtime.outputs.mqtt import Mqtt
        from fer_runtime.types import Result

        self._server = socket.create_server(("127.0.0.1", 0))
        self._server.settimeout(20)
        logging.getLogger("fer_runtime.outputs.mqtt").disabled = True  # each attempt is told
        self._output = Mqtt(f"mqtt://127.0.0.1:{self._server.getsockname()[1]}")
        client = self._output._client
        # paho annotates whole seconds, and waits for any number of them.
        client._reconnect_min_delay = client._reconnect_max_delay = 0.001  # type: ignore[assignment]
        self._result = Result(0, "2026-01-01T00:00:00Z", 1.0, ())

    def case(self, number: int) -> None:
        rng = random.Random(number)
        connack = b"\x20\x02\x00\x00"
        puback = b"\x40\x02\x00\x01"
        publish = b"\x30\x0a\x00\x03a/bhello"
        packets = [connack, connack + puback, connack + publish, b"\xd0\x00", b"\x90\x03\x00\x01\x00", b"\xe0\x00"]
        client, _ = self._server.accept()
        with client, contextlib.suppress(OSError):  # it may hang up on nonsense
            client.settimeout(5)
            client.recv(4096)
            client.sendall(spoiled(rng.choice(packets), rng))
            assert self._output.write(np.zeros((2, 2, 3), np.uint8), self._result)
            client.shutdown(socket.SHUT_WR)
            while client.recv(4096):
                pass


TARGETS: dict[str, Callable[[], Any]] = {
    "manifests": Manifests, "addresses": Addresses, "images": Images, "requests": Requests, "models": Models,
    "broker": Broker,
}  # fmt: skip


def spoil(plain: Any, rng: random.Random) -> None:
    """Do some harm to one place of plain data, in depth."""
    while True:
        keys = list(plain) if isinstance(plain, dict) else list(range(len(plain)))
        if not keys:
            return
        key = rng.choice(keys)
        if not isinstance(plain[key], dict | list) or rng.random() < 0.3:
            break
        plain = plain[key]
    if isinstance(plain, dict) and rng.random() < 0.2:
        del plain[key]
    elif rng.random() < 0.1 and isinstance(plain, list):
        plain += plain[:3]
    else:
        plain[key] = copy.deepcopy(rng.choice(ODD))


def spoiled(data: bytes, rng: random.Random) -> bytes:
    """Bytes with some harm done to them."""
    changed = bytearray(data)
    for _ in range(rng.randint(1, 4)):
        at = rng.randrange(len(changed) + 1)
        harm = rng.randrange(6)
        if harm == 0:
            del changed[at : at + rng.randint(1, 8)]
        elif harm == 1 and at < len(changed):
            changed[at] = rng.randrange(256)
        elif harm == 2:
            changed[at:at] = rng.randbytes(rng.randint(1, 8))
        elif harm == 3:
            changed[at:at] = changed[at : at + 40] * rng.randint(1, 4)
        elif harm == 4:
            changed[at:at] = rng.choice(
                [b"\r\n", b"\0", b"%", b"\xff\xfe", b"0" * 30, b"A" * 20_000, b":", b"://", b"@"]
            )
        else:
            del changed[at:]
    return bytes(changed)


def work(name: str, first: int, cases: int, seconds: float, progress: Path) -> None:
    """Run cases in this process until their number or the time is reached; `progress` holds the latest number."""
    resource.setrlimit(resource.RLIMIT_AS, (BYTES, BYTES))
    failures: list[str] = []
    threading.excepthook = lambda told: failures.append(f"a thread ended: {told.exc_value!r}")
    target = TARGETS[name]()
    begun, number = time.monotonic(), first
    with progress.open("wb", buffering=0) as file:
        while number < first + cases and time.monotonic() - begun < seconds:
            file.seek(0)
            file.write(struct.pack("q", number))
            if name != "models":  # which sets its own
                signal.alarm(SECONDS)
            target.case(number)
            if failures:
                raise AssertionError(failures[0])
            number += 1
    signal.alarm(0)
    print(number - first)
    sys.stdout.flush()
    os._exit(0)  # servers of the target have threads


def main() -> None:
    """All targets, the time shared out equally; exit code 1 where a case was answered wrongly or crashed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=10)
    parser.add_argument("--cases", type=int, default=2**40, help="of each target at most")
    parser.add_argument("--first", type=int, default=0, help="number of the first case")
    parser.add_argument("--only", choices=TARGETS, nargs="*", default=list(TARGETS))
    parser.add_argument("--worker", choices=TARGETS, help=argparse.SUPPRESS)
    parser.add_argument("--progress", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    share = options.minutes * 60 / len(options.only)
    if options.worker:
        work(options.worker, options.first, options.cases, options.minutes * 60, options.progress)
    total, failed = 0, False
    for name in options.only:
        begun = time.monotonic()
        with tempfile.TemporaryDirectory() as folder:
            progress = Path(folder) / "progress"
            words = ["--worker", name, "--minutes", f"{share / 60}", "--cases", f"{options.cases}"]
            words += ["--first", f"{options.first}", "--progress", str(progress)]
            done = subprocess.run(
                [sys.executable, "-m", "tools.fuzz", *words], capture_output=True, text=True, check=False
            )
            took = time.monotonic() - begun
            if done.returncode:
                failed = True
                (number,) = struct.unpack("q", progress.read_bytes()) if progress.exists() else (-1,)
                print(f"{name}: case {number} ended with {done.returncode}\n{done.stderr[-3000:]}", flush=True)
                continue
        count = int(done.stdout.splitlines()[-1])
        total += count
        print(f"{name:10} {count:9,} cases, {took:6.1f} s, no crash", flush=True)
    print(f"{total:,} cases")
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()
