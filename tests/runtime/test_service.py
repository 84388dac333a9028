"""fer-service: the unit it writes, as systemd's own tools see it, and fer-run's side of sd_notify."""

import re
import shutil
import socket
import subprocess
import time
from pathlib import Path

import pytest

from conftest import BIN, Run, start
from fer_runtime.cli import service
from fer_runtime.errors import FerError

ANALYZE = shutil.which("systemd-analyze")


PROGRAM = BIN / "fer-run"

needs_systemd = pytest.mark.skipif(ANALYZE is None, reason="needs systemd-analyze")


@needs_systemd
@pytest.mark.parametrize(
    ("arguments", "most"),
    [(("--source", "0"), 1.2), (("--web", "8080"), 1.6), (("--web", "0.0.0.0:8080", "--mqtt", "mqtt://b"), 1.8)],
)
def test_systemd_takes_the_unit_and_finds_it_locked_up(tmp_path: Path, arguments: tuple[str, ...], most: float) -> None:
    """The exposure is 0 to 10; services are 9 and more by default."""
    assert ANALYZE
    file = tmp_path / service.NAME
    file.write_text(service.unit_text(PROGRAM, arguments))
    verified = subprocess.run([ANALYZE, "verify", str(file)], capture_output=True, text=True, check=False)
    assert verified.returncode == 0, verified.stderr
    assert service.NAME not in verified.stderr
    words = [ANALYZE, "security", "--offline=true", "--no-pager", f"--threshold={most * 10:.0f}", str(file)]
    security = subprocess.run(words, capture_output=True, text=True, check=False)
    assert security.returncode == 0, security.stdout
    level = re.search(r"exposure level for \S+: ([0-9.]+)", security.stdout)
    assert level
    assert float(level[1]) <= most


def test_the_network_is_given_as_far_as_it_is_asked_for() -> None:
    assert "PrivateNetwork=yes" in service.unit_text(PROGRAM, ("--source", "0", "--jsonl", "faces.jsonl"))
    for here in (("--web", "8080"), ("--web=127.0.0.1:80",), ("--web", "[::1]:80")):
        assert "IPAddressDeny=any\nIPAddressAllow=localhost" in service.unit_text(PROGRAM, here)
    for there in (("--web", "0.0.0.0:80"), ("--web=pi:80",), ("--mqtt", "mqtt://b"), ("--source", "rtsp://c/s")):
        text = service.unit_text(PROGRAM, there)
        assert "PrivateNetwork" not in text
        assert "IPAddressDeny" not in text


def test_words_survive_systemds_own_quoting() -> None:
    text = service.unit_text(PROGRAM, ("--source", 'my "best" $HOME/100%.mp4', "--headless"))
    (line,) = [line for line in text.splitlines() if line.startswith("ExecStart=")]
    assert line == f'ExecStart={PROGRAM} --headless --source "my \\"best\\" $$HOME/100%%.mp4"'
    with pytest.raises(FerError, match="control character"):
        service.unit_text(PROGRAM, ("--source", "a\nExecStartPost=/bin/sh"))


def test_the_unit_can_be_printed(command: Run) -> None:
    """Of this installation; a venv in a home is refused, as ProtectHome= hides it."""
    done = command("fer-service", "install", "--print", "--", "--source", 0)
    if str(BIN).startswith(service.HOMES):
        assert done.returncode == 1
        assert "in a folder that the service may not see: install into one such as /opt" in done.stderr
    else:
        assert done.returncode == 0, done.stderr
        assert done.stdout == service.unit_text(PROGRAM, ("--source", "0"))


def test_a_home_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.argv", ["/home/pi/venv/bin/fer-service"])
    with pytest.raises(FerError, match="install into one such as /opt"):
        service._program_path()
    monkeypatch.setattr("sys.argv", ["/opt/no-such-venv/bin/fer-service"])
    with pytest.raises(FerError, match="does not exist"):
        service._program_path()


def test_status_and_remove_without_a_service(command: Run) -> None:
    done = command("fer-service", "remove")
    assert done.returncode == 1
    assert "the service is not installed" in done.stderr
    assert command("fer-service", "status").returncode in (1, 3)


def test_the_token_is_kept_and_private(tmp_path: Path) -> None:
    file = tmp_path / "fer-run.env"
    assert service._make_token(file)
    assert file.stat().st_mode & 0o777 == 0o600
    text = file.read_text()
    assert re.fullmatch(r"FER_WEB_TOKEN=\S{20,}\n", text)
    assert not service._make_token(file)
    assert file.read_text() == text


@pytest.mark.parametrize("abstract", [False, True])
def test_systemd_is_told(clip: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, abstract: bool) -> None:
    """A real socket in systemd's place: ready with the first answer, alive while answers come, and stopping."""
    address = f"@fer-edge-test-{tmp_path.name}" if abstract else str(tmp_path / "notify")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listener:
        listener.bind(f"\0{address[1:]}" if abstract else address)
        listener.settimeout(60)
        monkeypatch.setenv("NOTIFY_SOCKET", address)
        monkeypatch.setenv("WATCHDOG_USEC", "2000000")
        process = start("fer-run", "--source", clip, "--realtime", "--headless", "--jsonl", tmp_path / "faces.jsonl")
        messages = [listener.recv(4096).decode()]
        begun = time.monotonic()
        while messages[-1] != "STOPPING=1":
            messages.append(listener.recv(4096).decode())
        assert time.monotonic() - begun < 60
        _, errors = process.communicate(timeout=30)
    assert process.returncode == 0, errors
    assert messages[0].startswith("READY=1\nSTATUS=first answer")
    assert 2 <= len(messages[1:-1]) <= 12  # every half second or so, of four seconds
    assert all(re.match(r"WATCHDOG=1\nSTATUS=[0-9.]+ answers a second, 2 faces now", line) for line in messages[1:-1])


def test_a_deaf_systemd_is_no_error(command: Run, clip: Path, tmp_path: Path) -> None:
    done = command("fer-run", "--source", clip, "--headless", "--max-frames", 3, NOTIFY_SOCKET=str(tmp_path / "nobody"))
    assert done.returncode == 0, done.stderr
    assert len(done.stdout.splitlines()) == 3
