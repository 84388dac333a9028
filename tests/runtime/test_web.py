"""fer-run --web: who is let in, who is not, and that nobody who watches holds the loop up."""

import http.client
import json
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray
from prometheus_client.parser import text_string_to_metric_families

from conftest import Run, start
from fer_benchmarks.demo_clip import FRAMES, render
from fer_runtime.faces.detection import RetinaFace
from fer_runtime.outputs.web import feed, server
from fer_runtime.types import Face, Result
from helpers.served import Served, serving

TOKEN = "a-token-of-our-own-0123456789"


@pytest.fixture(scope="module")
def page(long_clip: Path) -> Iterator[Served]:
    with serving(long_clip) as served:
        yield served


@pytest.fixture(scope="module")
def guarded(long_clip: Path) -> Iterator[Served]:
    with serving(long_clip, "0.0.0.0:0") as served:
        yield served


def frames_of(metrics: str) -> dict[str, float]:
    families = text_string_to_metric_families(metrics)
    return {sample.name: sample.value for family in families for sample in family.samples if not sample.labels}


def stream(port: int, path: str) -> socket.socket:
    """A connection that has asked for a stream."""
    client = socket.create_connection(("127.0.0.1", port), timeout=20)
    client.sendall(f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n".encode())
    return client


def test_page_and_streams(page: Served) -> None:
    assert page.address == f"http://127.0.0.1:{page.port}/"
    status, html, headers = page.whole("/")
    assert status == 200
    assert "<script src=" in html
    policy = headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["cross-origin-resource-policy"] == "same-origin"
    with stream(page.port, "/events") as client:
        text = b""
        while text.count(b"event: result") < 2:
            text += client.recv(65536)
    events = [line.removeprefix("data: ") for line in text.decode().splitlines() if line.startswith("data: {")]
    first = json.loads(events[0])
    assert first["labels"] == ["angry", "disgust", "fear", "happy", "neutral", "sad", "surprise"]
    result, health = json.loads(events[1]), json.loads(events[2])
    assert [face["label"] for face in result["faces"]] == ["happy", "happy"]
    assert health["status"] == "ok"
    assert health["frames_captured"] == health["frames_processed"] + health["frames_dropped"]
    with stream(page.port, "/video") as client:
        data = b""
        while data.count(b"\xff\xd8\xff") < 3 or len(data) < 30_000:
            data += client.recv(65536)
    assert b"multipart/x-mixed-replace" in data


def picture(port: int) -> NDArray[np.uint8]:
    """The second picture of the stream, whole."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
    connection.request("GET", "/video")
    response, data = connection.getresponse(), b""
    while data.count(b"--frame\r\n") < 3:
        data += response.read1()
    connection.close()
    jpeg = data.split(b"--frame\r\n")[2].partition(b"\r\n\r\n")[2]
    image = cv2.imdecode(np.frombuffer(jpeg, np.uint8), cv2.IMREAD_COLOR)
    assert image is not None
    return image.astype(np.uint8)


def test_blurred_faces_are_blurred_on_the_page_too(page: Served, long_clip: Path) -> None:
    detector = RetinaFace(side=640, threshold=0.5)
    assert len(detector(picture(page.port))) == 2
    with serving(long_clip, "0", "--blur-faces") as served:
        assert detector(picture(served.port)) == []


def test_health_and_metrics_tell_what_was_answered(clip: Path, tmp_path: Path) -> None:
    lines = tmp_path / "faces.jsonl"
    with serving(clip, "0", "--max-frames", FRAMES, "--jsonl", lines) as served:
        time.sleep(1)
        status, health = served.get("/health")
        assert status == 200
        metrics = frames_of(served.get("/metrics")[1])
        written = lines.read_text().count("\n")
        assert served.process.wait(30) == 0
    plain = json.loads(health)
    assert plain["frames_processed"] <= metrics["fer_frames_processed_total"] <= written + 1
    assert metrics["fer_frame_age_seconds_count"] == metrics["fer_frames_processed_total"] > 5
    assert metrics["fer_frames_captured_total"] >= metrics["fer_frames_processed_total"]
    assert metrics["process_cpu_seconds_total"] > 0


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"Origin": "http://evil.example"}, 403),
        ({"Origin": "null"}, 403),
        ({"Sec_Fetch_Site": "cross-site", "Sec_Fetch_Mode": "no-cors", "Sec_Fetch_Dest": "image"}, 403),
        ({"Sec_Fetch_Site": "same-site", "Sec_Fetch_Mode": "navigate", "Sec_Fetch_Dest": "iframe"}, 403),
        ({"Sec_Fetch_Site": "cross-site", "Sec_Fetch_Mode": "navigate", "Sec_Fetch_Dest": "document"}, 200),
        ({"Host": "evil.example"}, 421),  # DNS rebinding
        ({"Host": "localhost.evil.example:8080"}, 421),
        ({"Host": ""}, 421),
        ({"Host": "localhost"}, 200),
        ({"Host": "[::1]:80"}, 200),
    ],
)
def test_other_sites_are_refused(page: Served, headers: dict[str, str], status: int) -> None:
    assert page.get("/health", **headers)[0] == status


def test_oversized_and_senseless_requests_are_refused(page: Served) -> None:
    assert page.get("/health", Cookie="x" * 100_000)[0] in (400, 431)
    assert page.get("/" + "a" * 100_000)[0] in (400, 431)
    assert page.get("/health", Cookie="x" * 10_000)[0] == 431
    assert page.get("/health", "POST", b"x" * 1000)[0] == 405
    assert page.get("/health", "GET", b"x" * 1000)[0] == 413
    assert page.get("/health", "GET", Transfer_Encoding="chunked")[0] == 413
    assert page.get("/../../etc/passwd")[0] == 404
    assert page.get("/no-such-page")[0] == 404
    with socket.create_connection(("127.0.0.1", page.port), timeout=20) as client:
        client.sendall(b"\x16\x03\x01 not http \r\n\r\n")
        assert client.recv(4096).startswith(b"HTTP/1.1 400")
    assert page.get("/health")[0] == 200
    assert page.process.poll() is None
    assert "Traceback" not in "".join(page.errors)


def test_another_address_demands_the_token_that_is_printed(guarded: Served) -> None:
    token = guarded.address.partition("?token=")[2]
    assert len(token) >= 20
    for path in ("/", "/video", "/events", "/health", "/metrics", "/page.js", "/no-such-page"):
        assert guarded.get(path)[0] == 401
        assert guarded.get(f"{path}?token=wrong")[0] == 401
        assert guarded.get(path, Authorization="Bearer wrong")[0] == 401
        assert guarded.get(path, Cookie="fer_token=wrong")[0] == 401
    assert guarded.get("/?token=%00%ff%E2%80%A2&token=")[0] == 401
    assert guarded.get("/health", Authorization=f"Bearer {token}")[0] == 200
    assert guarded.get(f"/metrics?token={token}")[0] == 200
    status, _, headers = guarded.whole(f"/?token={token}")
    assert (status, headers["location"]) == (303, "/")
    assert "HttpOnly" in headers["set-cookie"]
    assert "SameSite=strict" in headers["set-cookie"]
    cookie = headers["set-cookie"].partition(";")[0]
    assert guarded.get("/", Cookie=cookie)[0] == 200
    assert guarded.get("/", Cookie=cookie, Origin="http://evil.example")[0] == 403


def test_a_token_of_ones_own(long_clip: Path, command: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """For a service, so that clients stay signed in after a restart; it is not printed."""
    monkeypatch.setenv("FER_WEB_TOKEN", TOKEN)
    with serving(long_clip, "0.0.0.0:0") as served:
        assert served.get("/health")[0] == 401
        assert served.get("/health", Authorization=f"Bearer {TOKEN}")[0] == 200
        assert TOKEN not in "".join(served.errors)
    done = command("fer-run", "--source", long_clip, "--headless", "--web", "0.0.0.0:0", FER_WEB_TOKEN="short")
    assert done.returncode == 1
    assert "FER_WEB_TOKEN: expected 16 or more" in done.stderr


@pytest.mark.parametrize("where", ["x", "70000", "-1", "localhost:", "no-such-host.invalid:0", "a" * 300 + ":1"])
def test_bad_addresses(command: Run, long_clip: Path, where: str) -> None:
    done = command("fer-run", "--source", long_clip, "--headless", "--web", where)
    assert done.returncode == 1
    assert "[HOST:]PORT" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_port_in_use(command: Run, long_clip: Path, page: Served) -> None:
    done = command("fer-run", "--source", long_clip, "--headless", "--web", page.port)
    assert done.returncode == 1
    assert f"cannot serve the page at 127.0.0.1:{page.port}: Address already in use" in done.stderr


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


def test_sigterm_ends_it(long_clip: Path) -> None:
    with serving(long_clip) as served, stream(served.port, "/events") as client:
        assert client.recv(100)
        served.process.send_signal(signal.SIGTERM)
        assert served.process.wait(30) == 143


def face(track: int, label: str) -> Face:
    return Face(track, (10, 10, 50, 60), 0.9, label, {label: 1.0}, label, {label: 1.0})


def test_clients_that_do_nothing_are_cut(monkeypatch: pytest.MonkeyPatch) -> None:
    """One that sends half a request, one that sends none, and one that takes nothing of a stream."""
    monkeypatch.setattr(server, "CLIENT_TIMEOUT_S", 2)
    page = server.WebPage("0", ("happy",))
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
    page = server.WebPage("[::1]:0", ("happy",))
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


def test_a_missing_extra_is_named(clip: Path) -> None:
    program = f"""
import sys
sys.modules["starlette"] = None
sys.argv = ["fer-run", "--source", {str(clip)!r}, "--headless", "--web", "0"]
from fer_runtime.cli.run import main
main()
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "pip install 'fer-edge[web,mqtt]'" in done.stderr


def test_stopping_at_once(long_clip: Path) -> None:
    process = start("fer-run", "--source", long_clip, "--realtime", "--headless", "--web", "0", "--max-frames", 1)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 0
    assert "Traceback" not in errors
