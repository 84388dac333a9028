"""fer-service on a booted board, at length: page, broker, a quiet journal, a camera that comes after the boot."""

import json
import re
from collections.abc import Iterator

import cv2
import pytest

from fer_benchmarks.demo_clip import render
from helpers.board import BIN, Board
from helpers.board_service import CAMERA, ENVIRONMENT, NAME, STATE, install, journal, ready, shown

pytestmark = pytest.mark.whole
PORT = 8080
PAGE = f"http://127.0.0.1:{PORT}/api/v1"


@pytest.fixture
def plugged(board: Board) -> Iterator[Board]:
    """A board with a camera; what a test has installed is removed."""
    board.plug()
    yield board
    board.run(f"{BIN}/fer-service remove; systemctl stop server broker; rm -rf {ENVIRONMENT} {STATE}/*")


def token(board: Board) -> str:
    """The page's, as root alone may read it."""
    found = re.search(r'^FER_WEB_TOKEN="([^"]+)"$', board.ok(f"cat {ENVIRONMENT}"), re.MULTILINE)
    assert found
    return found[1]


def test_the_pages_token_is_for_root_alone_and_the_service_reaches_this_machine(plugged: Board) -> None:
    install(plugged, f"{CAMERA} --web 0.0.0.0:{PORT}")
    assert plugged.ok(f"stat -c %a:%U:%G {ENVIRONMENT}").strip() == "600:root:root"
    written = plugged.ok(f"cat /etc/systemd/system/{NAME}; ps axww -o args; journalctl -b --no-pager")
    assert token(plugged) not in written
    assert plugged.run(f"runuser -u visitor -- cat {ENVIRONMENT}").code
    assert json.loads(plugged.ok(f"cat {STATE}/inside.json"))["connects"]
    assert plugged.run(f"python3 /shared/ask.py {PAGE}/model").code
    model = json.loads(plugged.ok(f"python3 /shared/ask.py {PAGE}/model {token(plugged)}"))
    assert "happy" in model["labels"]


def test_a_machine_without_a_camera_serves_pictures(plugged: Board) -> None:
    plugged.unplug()
    install(plugged, f"--no-source --web {PORT}")
    cv2.imwrite(str(plugged.machine.shared / "faces.png"), render(0))
    assert plugged.run(f"cat {ENVIRONMENT}").code  # a page for this machine alone has no token
    found = json.loads(plugged.ok(f"python3 /shared/ask.py {PAGE}/faces '' /shared/faces.png"))
    assert [face["raw"]["label"] for face in found["faces"]] == ["happy", "happy"]


def test_home_assistants_sensors_come_with_the_service_and_go_with_it(plugged: Board) -> None:
    plugged.ok("systemd-run --quiet --unit=broker mosquitto")
    install(plugged, f"{CAMERA} --mqtt mqtt://127.0.0.1/home/hall --mqtt-discovery")
    assert json.loads(plugged.ok(f"cat {STATE}/inside.json"))["connects"]
    assert len(plugged.ok(f"{BIN}/python /shared/retained.py").split()) >= 1
    plugged.ok(f"{BIN}/fer-service remove")
    assert plugged.ok(f"{BIN}/python /shared/retained.py").split() == []


def test_nothing_is_written_to_the_journal_while_nothing_happens(plugged: Board) -> None:
    """Three minutes, of which a line per minute would be three."""
    install(plugged, f"{CAMERA} --jsonl faces.jsonl")
    began = plugged.ok("cut -d' ' -f1 /proc/uptime; sleep 180")
    assert journal(plugged, began) == ""


def test_without_a_camera_at_the_boot_it_waits_quietly_for_one(plugged: Board) -> None:
    install(plugged, f"{CAMERA} --jsonl faces.jsonl")
    plugged.machine.reboot()
    ready(plugged)
    assert shown(plugged, "StatusText").startswith("waiting for the source: cannot open camera 0: cameras found: none")
    lines = plugged.ok(f"wc -l < {STATE}/faces.jsonl")
    began = plugged.ok("cut -d' ' -f1 /proc/uptime; sleep 120")
    assert journal(plugged, began) == ""
    plugged.plug_back()
    plugged.until(f"[ $(wc -l < {STATE}/faces.jsonl) -gt {lines.strip()} ]")
    assert shown(plugged, "NRestarts") == "0"
    plugged.until(f"systemctl show --value -p StatusText {NAME} | grep -q 'first result\\|fps'")
