"""fer-run --mqtt with a real mosquitto: results, last will, a broker that dies, wrong passwords, TLS."""

import json
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from conftest import Run, start
from fer_runtime.outputs.mqtt import MAX_QUEUED, Mqtt
from fer_runtime.types import Result
from helpers.broker import MOSQUITTO, Broker, Listener

PASSWORDS = shutil.which("mosquitto_passwd")

pytestmark = pytest.mark.skipif(MOSQUITTO is None, reason="needs Debian's package mosquitto")


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[Broker]:
    running = Broker(tmp_path)
    yield running
    running.kill()


@pytest.fixture
def listener(broker: Broker) -> Iterator[Listener]:
    listening = Listener(broker.port)
    yield listening
    listening.close()


def run_on(clip: Path, url: str, *more: object) -> "subprocess.Popen[str]":
    return start("fer-run", "--source", clip, "--realtime", "--headless", "--mqtt", url, *more)


def test_results_status_and_goodbye(clip: Path, tmp_path: Path, broker: Broker, listener: Listener) -> None:
    lines = tmp_path / "faces.jsonl"
    process = run_on(clip, f"mqtt://127.0.0.1:{broker.port}/home/hall", "--jsonl", lines)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 0, errors
    assert listener.wait_for("home/hall/status", 2) == ["online", "offline"]
    written = [json.loads(line) for line in lines.read_text().splitlines()]
    sent = [json.loads(payload) for payload in listener.of("home/hall")]
    assert len(sent) > len(written) // 2  # those of the first moments, before the connection stands, are left out
    assert all(result in written for result in sent)
    assert f"results go to the broker 127.0.0.1:{broker.port}, topic home/hall" in errors
    later = Listener(broker.port)
    assert later.wait_for("home/hall/status", 1) == ["offline"]  # retained
    later.close()


def test_the_last_will_of_a_killed_run(long_clip: Path, broker: Broker, listener: Listener) -> None:
    process = run_on(long_clip, f"mqtt://127.0.0.1:{broker.port}")
    listener.wait_for("fer-edge", 3)
    process.kill()
    process.wait()
    assert listener.wait_for("fer-edge/status", 2) == ["online", "offline"]


def test_a_broker_that_is_killed_and_comes_back(
    long_clip: Path, tmp_path: Path, broker: Broker, listener: Listener
) -> None:
    lines = tmp_path / "faces.jsonl"
    process = run_on(long_clip, f"mqtt://127.0.0.1:{broker.port}", "--jsonl", lines)
    listener.wait_for("fer-edge", 3)
    broker.kill()
    before = lines.read_text().count("\n")
    time.sleep(2)
    assert lines.read_text().count("\n") > before + 2  # the loop goes on
    count = len(listener.of("fer-edge"))
    broker.start()
    listener.wait_for("fer-edge", count + 3)
    process.terminate()
    _, errors = process.communicate(timeout=30)
    assert process.returncode == 143
    assert errors.count("is gone: it is tried again") == 1
    assert errors.count("results go to the broker") == 2
    assert "Traceback" not in errors


def test_a_broker_that_was_never_there(clip: Path) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    process = run_on(clip, f"mqtt://127.0.0.1:{port}", "--max-frames", 20)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 0
    assert errors.count(f"the broker 127.0.0.1:{port} cannot be reached") == 1
    assert "20 frames" in errors


@pytest.mark.skipif(PASSWORDS is None, reason="needs mosquitto_passwd")
def test_passwords(long_clip: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert PASSWORDS
    users = tmp_path / "users"
    subprocess.run([PASSWORDS, "-b", "-c", str(users), "camera", "p@ss%20 word"], check=True)
    broker = Broker(tmp_path, f"allow_anonymous false\npassword_file {users}")
    listener = Listener(broker.port, "camera", "p@ss%20 word")
    address = f"127.0.0.1:{broker.port}"
    try:
        refused = run_on(long_clip, f"mqtt://camera:wrong@{address}", "--max-frames", 60)
        _, errors = refused.communicate(timeout=60)
        assert refused.returncode == 0
        assert errors.count(f"the broker {address} refuses (Not authorized)") == 1
        assert "wrong@" not in errors
        assert listener.of("fer-edge") == []
        for url, password in (
            (f"mqtt://camera:p%40ss%2520%20word@{address}", ""),
            (f"mqtt://camera@{address}", "p@ss%20 word"),
        ):
            monkeypatch.setenv("FER_MQTT_PASSWORD", password)
            count = len(listener.of("fer-edge"))
            process = run_on(long_clip, url)
            listener.wait_for("fer-edge", count + 3)
            process.terminate()
            _, errors = process.communicate(timeout=30)
            assert "p@ss" not in errors
    finally:
        listener.close()
        broker.kill()


def certificate(folder: Path) -> Path:
    """A certificate for localhost, its own authority, and its key beside it."""
    words = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=localhost"]
    files = ["-addext", "subjectAltName=DNS:localhost", "-keyout", str(folder / "key"), "-out", str(folder / "cert")]
    subprocess.run([*words, *files], check=True, capture_output=True)
    return folder / "cert"


@pytest.mark.skipif(shutil.which("openssl") is None, reason="needs openssl")
def test_tls(long_clip: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    trusted = certificate(tmp_path)
    broker = Broker(tmp_path, f"allow_anonymous true\ncertfile {trusted}\nkeyfile {tmp_path / 'key'}")
    try:
        process = run_on(long_clip, f"mqtts://localhost:{broker.port}", "--max-frames", 40)
        _, errors = process.communicate(timeout=60)
        assert process.returncode == 0
        assert f"the broker localhost:{broker.port} cannot be reached" in errors  # nobody vouches for its certificate
        assert "Traceback" not in errors
        monkeypatch.setenv("SSL_CERT_FILE", str(trusted))
        process = run_on(long_clip, f"mqtts://localhost:{broker.port}", "--max-frames", 40)
        _, errors = process.communicate(timeout=60)
        assert "results go to the broker" in errors
    finally:
        broker.kill()


def test_a_broker_that_takes_nothing_costs_no_memory_and_no_wait() -> None:
    """It accepts, and then reads no more: results are left out, and what waits is bounded."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        output = Mqtt(f"mqtt://127.0.0.1:{server.getsockname()[1]}")
        client, _ = server.accept()
        client.recv(4096)
        client.sendall(b"\x20\x02\x00\x00")  # CONNACK
        image = np.zeros((4, 4, 3), np.uint8)
        result = Result(0, "2026-01-01T00:00:00+00:00", 1.0, (), "x" * 50_000)
        most = 0
        for _ in range(500):
            assert output.write(image, result)
            most = max(most, len(output._waiting))
            time.sleep(0.002)
        assert most == MAX_QUEUED
        client.close()
        output.close()


def test_a_connection_that_is_lost_at_the_end_is_no_error(broker: Broker) -> None:
    output = Mqtt(f"mqtt://127.0.0.1:{broker.port}")
    until = time.monotonic() + 30
    while not output._client.is_connected() and time.monotonic() < until:
        time.sleep(0.05)
    assert output._client.is_connected()
    output._client.loop_stop()
    output._client._sock_close()  # what its thread would notice next
    assert output._client.is_connected()
    output.close()


@pytest.mark.parametrize(
    "url",
    [
        "mqtt://me:S3c/ret@host", "mqtt://me:S3c#ret@host",
        "localhost", "http://localhost", "mqtt://", "mqtt://:1883", "mqtt://host:port", "mqtt://host:99999",
        "mqtt://host/a/+/b", "mqtt://host/a#b", "mqtt://host/a?b", "mqtt://host/" + "t" * 2000, "mqtt://[::1",
        "mqtt://host/%00",
    ],
)  # fmt: skip
def test_bad_addresses(command: Run, clip: Path, url: str) -> None:
    done = command("fer-run", "--source", clip, "--headless", "--mqtt", url)
    assert done.returncode == 1
    assert "--mqtt: expected" in done.stderr
    assert "S3c" not in done.stderr
    assert "Traceback" not in done.stderr
