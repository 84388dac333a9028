"""fer-service: the unit it writes, as systemd's own tools see it, and fer-run's side of sd_notify."""

import json
import re
import shutil
import socket
import subprocess
import time
from pathlib import Path

import click
import pytest

from conftest import BIN, Run, start
from fer_runtime.cli import service
from fer_runtime.errors import FerError

ANALYZE = shutil.which("systemd-analyze")


PROGRAM = BIN / "fer-run"


def unit(*arguments: str) -> str:
    """The unit for these words after --, without an environment file."""
    return service.unit_text(PROGRAM, service.parse_run_options(arguments), {})


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
    file.write_text(unit(*arguments))
    verified = subprocess.run([ANALYZE, "verify", str(file)], capture_output=True, text=True, check=False)
    assert verified.returncode == 0, verified.stderr
    assert service.NAME not in verified.stderr
    words = [ANALYZE, "security", "--offline=true", "--no-pager", f"--threshold={most * 10:.0f}", str(file)]
    security = subprocess.run(words, capture_output=True, text=True, check=False)
    assert security.returncode == 0, security.stdout
    level = re.search(r"exposure level for \S+: ([0-9.]+)", security.stdout)
    assert level
    assert float(level[1]) <= most


@pytest.mark.parametrize(
    ("arguments", "network"),
    [
        (("--source", "0", "--jsonl", "faces.jsonl"), service.NOWHERE),
        (("--source=0", "--profile=p.json"), service.NOWHERE),
        (("--source", "/srv/a--web.mp4"), service.NOWHERE),
        (("--web", "8080"), service.HERE_ONLY),
        (("--web=127.0.0.1:80",), service.HERE_ONLY),
        (("--web", "[::1]:80"), service.HERE_ONLY),
        (("--mqtt", "mqtt://localhost"), service.HERE_ONLY),
        (("--web", "0.0.0.0:80"), service.ANYWHERE),
        (("--web=pi:80",), service.ANYWHERE),
        (("--mqtt=mqtt://b",), service.ANYWHERE),
        (("--source", "rtsp://c/s", "--web", "8080"), service.ANYWHERE),
        (("--source", "rtsp://localhost:p/w@c/s"), service.ANYWHERE),
    ],
)
def test_the_network_is_given_as_far_as_it_is_asked_for(arguments: tuple[str, ...], network: str) -> None:
    assert network in unit(*arguments)
    assert all(other not in unit(*arguments) for other in (service.NOWHERE, service.HERE_ONLY) if other != network)


def test_a_source_of_the_environment_file_gets_the_network_too() -> None:
    asked = service.parse_run_options(("--jsonl", "faces.jsonl"))
    assert service.ANYWHERE in service.unit_text(PROGRAM, asked, {"FER_SOURCE": "rtsp://a:b@c/s"})
    asked = service.parse_run_options(("--source", "0"))  # the command line goes first
    assert service.NOWHERE in service.unit_text(PROGRAM, asked, {"FER_SOURCE": "rtsp://a:b@c/s"})


def exec_start(text: str) -> str:
    (line,) = [line for line in text.splitlines() if line.startswith("ExecStart=")]
    return line.removeprefix(f"ExecStart={PROGRAM} ")


def test_words_survive_systemds_own_quoting() -> None:
    line = exec_start(unit("--source", 'my://"best" $HOME/100%.mp4', "--headless"))
    assert line == '--headless --source "my://\\"best\\" $$HOME/100%%.mp4"'
    with pytest.raises(FerError, match="control character"):
        unit("--source", "x://a\nExecStartPost=/bin/sh")


def test_every_spelling_of_an_option_is_the_same() -> None:
    words = "--headless --source 1 --size 1280x720 --fps 29.97 --jsonl faces.jsonl --web 0.0.0.0:80 --verbose"
    for spelling in (
        "-v --web=0.0.0.0:80 --jsonl=faces.jsonl --source=1 --fps=29.97 --size=1280X720",
        "--web 0.0.0.0:80 -v --headless --jsonl faces.jsonl --source 0 --source 1 --fps 29.97 --size 1280x720",
    ):
        line = exec_start(unit(*spelling.split()))
        assert set(line.split()) == set(words.split())
        assert line.index("--source 1") > 0


@pytest.mark.parametrize("arguments", [["--wbe", "8080"], ["--max-fps", "many"], ["camera"], ["--web"]])
def test_what_fer_run_would_refuse_is_refused(command: Run, arguments: list[str]) -> None:
    """A service of it would start and fail every ten seconds."""
    done = command("fer-service", "install", "--print", "--", *arguments)
    assert done.returncode == 2
    with pytest.raises(click.UsageError):
        service.parse_run_options(tuple(arguments))


def test_a_password_is_in_the_environment_file_and_not_in_the_unit(tmp_path: Path) -> None:
    source, broker = """rtsp://admin:p%w"$x'`\\ d@10.0.0.7/s?a=1&b""", "mqtts://me:S3cret@broker/t"
    asked = service.parse_run_options(("--source", source, "--mqtt", broker, "--jsonl", "f.jsonl"))
    assert asked.environment == {"FER_SOURCE": source, "FER_MQTT": broker}
    text = service.unit_text(PROGRAM, asked, {})
    assert exec_start(text) == "--headless --jsonl f.jsonl"
    assert service.ANYWHERE in text
    file = tmp_path / "fer-run.env"
    file.write_text("# mine\nFER_WEB_TOKEN=0123456789abcdef\nFER_SOURCE=old\n")
    service._set_environment(file, asked.environment)
    assert file.stat().st_mode & 0o777 == 0o600
    assert file.read_text().startswith("# mine\nFER_WEB_TOKEN=0123456789abcdef\n")
    assert service._read_environment(file) == {"FER_WEB_TOKEN": "0123456789abcdef"} | asked.environment
    by_a_query = service.parse_run_options(("--source", "http://cam/v?usr=a&pwd=b"))
    assert by_a_query.environment == {"FER_SOURCE": "http://cam/v?usr=a&pwd=b"}
    assert service.parse_run_options(("--source", "rtsp://admin@cam/s")).environment == {}


def test_fer_run_reads_the_source_from_the_environment(command: Run, clip: Path) -> None:
    done = command("fer-run", "--headless", "--max-frames", 1, FER_SOURCE=str(clip))
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["frame"] == 0
    done = command("fer-run", "--headless", FER_SOURCE="rtsp://admin:S3cret-pw@127.0.0.1:9/stream1")
    assert done.returncode == 1
    assert "rtsp://admin:***@127.0.0.1:9/stream1" in done.stderr
    assert "S3cret" not in done.stderr


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--jsonl", "/srv/faces.jsonl"), "the service may write in /var/lib/fer-run alone"),
        (("--record", "../faces.mkv"), "the service may write in /var/lib/fer-run alone"),
        (("--model", "/home/pi/small.onnx"), "the service sees no homes"),
        (("--source", "/tmp/people.mp4"), "the service sees no homes"),
    ],
)
def test_paths_that_the_service_cannot_reach(arguments: tuple[str, ...], message: str) -> None:
    with pytest.raises(FerError, match=message):
        service.parse_run_options(arguments)


def test_paths_that_it_can_reach(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir("/usr")
    arguments = ("--model", "share/small.onnx", "--jsonl", "-", "--record", "/var/lib/fer-run/a.mkv", "--profile", "p")
    words = service.parse_run_options(arguments).words
    assert set(words) == {*arguments} - {"share/small.onnx"} | {"/usr/share/small.onnx"}


def test_the_unit_can_be_printed(command: Run) -> None:
    """Of this installation; a venv in a home is refused, as ProtectHome= hides it."""
    done = command("fer-service", "install", "--print", "--", "--source", 0)
    if str(BIN).startswith(service.HOMES):
        assert done.returncode == 1
        assert "in a folder that the service may not see: install into one such as /opt" in done.stderr
    else:
        assert done.returncode == 0, done.stderr
        assert done.stdout == unit("--source", "0")


def test_a_home_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.argv", ["/home/pi/venv/bin/fer-service"])
    with pytest.raises(FerError, match="install into one such as /opt"):
        service._program_path()
    monkeypatch.setattr("sys.argv", ["/opt/no-such-venv/bin/fer-service"])
    with pytest.raises(FerError, match="does not exist"):
        service._program_path()


def test_nothing_is_written_where_no_service_can_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In a container systemctl may be there, and fails when the unit and the token are written."""
    monkeypatch.setattr(service, "UNIT", tmp_path / service.NAME)
    monkeypatch.setattr(service, "ENVIRONMENT", tmp_path / "fer-run.env")
    monkeypatch.setattr(service, "_program_path", lambda: PROGRAM)
    monkeypatch.setattr(service, "_systemctl_path", lambda: "/bin/false")
    monkeypatch.setattr(service, "BOOTED", tmp_path / "no")
    with pytest.raises(FerError, match="not booted with systemd"):
        service.install.main(["--", "--web", "8080"], standalone_mode=False)
    monkeypatch.setattr(service, "BOOTED", tmp_path)
    monkeypatch.setattr(service, "UNIT", Path("/proc/self/fer-run.service"))  # no one may write there, root included
    with pytest.raises(FerError, match="use sudo"):
        service.install.main(["--", "--web", "8080"], standalone_mode=False)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(("web", "needed"), [("8080", False), ("[::1]:8080", False), ("0.0.0.0:8080", True)])
def test_a_token_is_made_where_the_page_asks_for_one(
    web: str, needed: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(service, "UNIT", tmp_path / service.NAME)
    monkeypatch.setattr(service, "ENVIRONMENT", tmp_path / "fer-run.env")
    monkeypatch.setattr(service, "_program_path", lambda: PROGRAM)
    monkeypatch.setattr(service, "_systemctl_path", lambda: "/bin/true")
    monkeypatch.setattr(service, "BOOTED", tmp_path)
    service.install.main(["--", "--web", web], standalone_mode=False)
    assert (tmp_path / service.NAME).exists()
    assert (service.TOKEN in service._read_environment(tmp_path / "fer-run.env")) is needed


def test_status_and_remove_without_a_service(command: Run) -> None:
    done = command("fer-service", "remove")
    assert done.returncode == 1
    assert "the service is not installed" in done.stderr
    assert command("fer-service", "status").returncode in (1, 3)


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
    assert messages[0].startswith("READY=1\nSTATUS=first result")
    assert 2 <= len(messages[1:-1]) <= 12  # every half second or so, of four seconds
    assert all(re.match(r"WATCHDOG=1\nSTATUS=[0-9.]+ fps, 2 faces now", line) for line in messages[1:-1])


def test_systemd_is_told_of_a_server_without_a_source_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    address = str(tmp_path / "notify")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listener:
        listener.bind(address)
        listener.settimeout(60)
        monkeypatch.setenv("NOTIFY_SOCKET", address)
        monkeypatch.setenv("WATCHDOG_USEC", "2000000")
        process = start("fer-run", "--headless", "--no-source", "--web", "0")
        assert listener.recv(4096) == b"READY=1\nSTATUS=serving the API"
        assert listener.recv(4096) == b"WATCHDOG=1\nSTATUS=serving the API"
        process.terminate()
        while (message := listener.recv(4096)) != b"STOPPING=1":
            assert message.startswith(b"WATCHDOG=1")
        _, errors = process.communicate(timeout=30)
    assert process.returncode == 143, errors


@pytest.mark.parametrize(
    "arguments",
    [
        ("--no-source",),
        ("--no-source", "--web", "80", "--jsonl", "a"),
        ("--mqtt-discovery",),
        ("--source", "0", "--mqtt-discovery"),
        ("--mqtt", "mqtt://b", "--mqtt-discovery-remove"),
    ],
)
def test_options_that_fer_run_would_refuse_together(arguments: tuple[str, ...]) -> None:
    with pytest.raises(click.UsageError):
        unit(*arguments)
    assert "--no-source --web 80" in unit("--no-source", "--web", "80")
    asked = service.parse_run_options(("--mqtt-discovery",))  # the broker stands in the environment file
    assert "--mqtt-discovery" in service.unit_text(PROGRAM, asked, {"FER_MQTT": "mqtt://a:b@broker"})


def test_a_deaf_systemd_is_no_error(command: Run, clip: Path, tmp_path: Path) -> None:
    done = command("fer-run", "--source", clip, "--headless", "--max-frames", 3, NOTIFY_SOCKET=str(tmp_path / "nobody"))
    assert done.returncode == 0, done.stderr
    assert len(done.stdout.splitlines()) == 3
