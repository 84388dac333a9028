"""fer-run --web: the page, its streams, health and metrics."""

import http.client
import json
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray
from prometheus_client.parser import text_string_to_metric_families

from conftest import start
from fer_benchmarks.demo_clip import FRAMES
from fer_runtime.faces.detection import RetinaFace
from helpers.served import Served, serving, stream


@pytest.fixture(scope="module")
def page(long_clip: Path) -> Iterator[Served]:
    with serving(long_clip) as served:
        yield served


def frames_of(metrics: str) -> dict[str, float]:
    families = text_string_to_metric_families(metrics)
    return {sample.name: sample.value for family in families for sample in family.samples if not sample.labels}


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


def test_sigterm_ends_it(long_clip: Path) -> None:
    with serving(long_clip) as served, stream(served.port, "/events") as client:
        assert client.recv(100)
        served.process.send_signal(signal.SIGTERM)
        assert served.process.wait(30) == 143


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
