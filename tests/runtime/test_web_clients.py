"""fer-run --web: nobody who watches holds the loop up."""

import socket
import threading
import time
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from fer_benchmarks.demo_clip import render
from fer_runtime.outputs.web import feed, server
from fer_runtime.types import Face, Result
from helpers.served import serving, stream


def test_twenty_clients_one_of_them_frozen(long_clip: Path, tmp_path: Path) -> None:
    """Twenty clients of both streams and one that reads nothing: the loop goes on, and each reader sees new frames."""
    lines = tmp_path / "faces.jsonl"
    with serving(long_clip, "0", "--jsonl", lines) as served:
        deadline = time.monotonic() + 60
        while not lines.exists() and time.monotonic() < deadline:
            time.sleep(0.05)
        pictures = [0] * 19
        over = threading.Event()

        def watch(number: int) -> None:
            with stream(served.port, "/video") as video, stream(served.port, "/events") as events:
                while not over.is_set():
                    pictures[number] += video.recv(2**20).count(b"image/jpeg")
                    events.recv(2**16)

        frozen = stream(served.port, "/video"), stream(served.port, "/events")
        readers = [threading.Thread(target=watch, args=(number,)) for number in range(19)]
        for reader in readers:
            reader.start()
        time.sleep(1)
        before, begun = lines.read_text().count("\n"), time.monotonic()
        time.sleep(6)
        rate = (lines.read_text().count("\n") - before) / (time.monotonic() - begun)
        over.set()
        for reader in readers:
            reader.join(20)
        for client in frozen:
            client.close()
        assert served.get("/health")[0] == 200
        assert served.stop() == 130
        assert "Traceback" not in "".join(served.errors)
    assert min(pictures) >= 5
    assert rate > 2  # of 25 frames a second: a loop that waited for a client would stand still


def test_the_loop_ends_though_somebody_watches(clip: Path) -> None:
    with serving(clip) as served:
        client = stream(served.port, "/video")
        assert client.recv(100)
        assert served.process.wait(60) == 0
        while client.recv(2**20):
            pass
        client.close()
        assert "Traceback" not in "".join(served.errors)


def face(track: int, label: str) -> Face:
    return Face(track, (10, 10, 50, 60), 0.9, label, {label: 1.0}, label, {label: 1.0})


def test_clients_that_do_nothing_are_cut(monkeypatch: pytest.MonkeyPatch) -> None:
    """One that sends half a request, one that sends none, and one that takes nothing of a stream."""
    monkeypatch.setattr(server, "CLIENT_TIMEOUT_S", 2)
    page = server.WebPage("0", ("happy",), {}, ())
    try:
        port = int(page.address.rstrip("/").rpartition(":")[2])
        silent = socket.create_connection(("127.0.0.1", port))
        half = socket.create_connection(("127.0.0.1", port))
        half.sendall(b"GET / HTTP/1.1\r\nHost: loc")
        frozen = socket.socket()
        frozen.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        frozen.connect(("127.0.0.1", port))
        frozen.sendall(b"GET /video HTTP/1.1\r\nHost: localhost\r\n\r\n")
        noise = np.random.RandomState(0).randint(0, 256, (480, 640, 3), np.uint8)
        connections = page._server.server_state.connections
        deadline = time.monotonic() + 5
        while len(connections) < 3 and time.monotonic() < deadline:
            time.sleep(0.05)
        assert len(connections) == 3
        deadline = time.monotonic() + 60
        while connections and time.monotonic() < deadline:
            assert page.write(noise, Result(0, "2026-01-01T00:00:00+00:00", 5.0, (face(1, "happy"),)))
            time.sleep(0.02)
        assert not connections
    finally:
        page.close()
    for client in (silent, half, frozen):
        client.close()


def test_pictures_are_encoded_only_while_somebody_watches(monkeypatch: pytest.MonkeyPatch) -> None:
    encoded: list[int] = []
    original = feed._jpeg

    def counted(image: NDArray[np.uint8], result: Result) -> bytes:
        encoded.append(result.frame)
        return original(image, result)

    monkeypatch.setattr(feed, "_jpeg", counted)
    page = server.WebPage("[::1]:0", ("happy",), {}, ())
    try:
        port = int(page.address.rstrip("/").rpartition(":")[2])
        assert page.address == f"http://[::1]:{port}/"
        result = Result(0, "2026-01-01T00:00:00+00:00", 5.0, ())
        for _ in range(20):
            page.write(render(0), result)
            time.sleep(0.01)
        assert not encoded
        clients = [socket.create_connection(("::1", port)) for _ in range(5)]
        for client in clients:
            client.sendall(b"GET /video HTTP/1.1\r\nHost: [::1]\r\n\r\n")
        time.sleep(0.5)
        encoded.clear()
        for _ in range(10):
            page.write(render(0), result)
            time.sleep(0.1)
        assert 1 <= len(encoded) <= 12  # once for all five
        for client in clients:
            client.close()
    finally:
        page.close()
