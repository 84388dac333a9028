"""fer-service on a board that systemd booted: ready, locked up, restarted, within its memory, removed."""

import json
import re
from collections.abc import Iterator

import pytest

from helpers.board import BIN, Board

NAME = "fer-run.service"
PORT = 8123  # of a server on the machine
DROP_IN = f"/run/systemd/system/{NAME}.d/tried.conf"
ENVIRONMENT = "/etc/fer-run.env"
OTHERS = ("/dev/vda", "/dev/kmsg", "/dev/mem", "/dev/fuse", ENVIRONMENT, "/home/visitor", "/root")


@pytest.fixture(scope="module")
def installed(board: Board) -> Iterator[Board]:
    """The service on a webcam, with a program beside it that tries what it may do; ready."""
    board.plug()
    tried = f"ExecStartPost=/usr/bin/python3 /shared/inside.py {PORT} /dev/video0 {' '.join(OTHERS)}"
    board.ok(f"mkdir -p $(dirname {DROP_IN}) && printf '[Service]\\n{tried}\\n' > {DROP_IN}")
    board.ok(f"systemd-run --quiet --unit=server python3 -m http.server {PORT}")
    board.ok("systemd-run --quiet --unit=neighbour sleep infinity")
    try:
        board.ok(f"{BIN}/fer-service install -- --source 0 --size 320x180 --fps 5 --jsonl faces.jsonl")
        ready(board)
        yield board
    finally:
        board.run(f"systemctl stop server neighbour hog {NAME}")


def ready(board: Board, restarts: int = 0) -> None:
    """Wait until systemd holds the service for started, with at least so many restarts before."""
    condition = (
        f"systemctl is-active --quiet {NAME} && [ $(systemctl show --value -p NRestarts {NAME}) -ge {restarts} ]"
    )
    board.until(condition)


def shown(board: Board, name: str) -> str:
    """A property of the service as systemd knows it."""
    return board.ok(f"systemctl show --value -p {name} {NAME}").strip()


def test_it_is_ready_with_the_first_answer_and_enabled(installed: Board) -> None:
    assert installed.lines("/var/lib/fer-run/faces.jsonl")[0]["frame"] == 0
    assert installed.ok(f"systemctl is-enabled {NAME}").strip() == "enabled"
    assert installed.ok(f"{BIN}/fer-service status").count("active (running)") == 1


def test_only_cameras_its_folder_and_no_network_are_open_to_it(installed: Board) -> None:
    found = json.loads(installed.ok("cat /var/lib/fer-run/inside.json"))
    assert found == {
        "opens": ["/dev/video0"], "writes": ["."], "connects": False, "processes of others": [], "root": False,
    }  # fmt: skip
    # What was tried does work outside.
    installed.ok(
        f"python3 /shared/inside.py {PORT} {' '.join(OTHERS[:2])} && mv inside.json /run",
    )
    outside = json.loads(installed.ok("cat /run/inside.json"))
    assert (outside["connects"], outside["opens"]) == (True, [*OTHERS[:2]])


def test_it_is_started_again_after_a_kill(installed: Board) -> None:
    restarts, pid = int(shown(installed, "NRestarts")), shown(installed, "MainPID")
    installed.ok(f"systemctl kill --kill-whom=main --signal=KILL {NAME}")
    ready(installed, restarts + 1)
    assert shown(installed, "MainPID") != pid


def test_over_its_memory_it_alone_is_killed_and_started_again(installed: Board) -> None:
    """A program in its control group takes more than the service may have; the machine has three times as much."""
    restarts, neighbour = int(shown(installed, "NRestarts")), "systemctl show --value -p MainPID neighbour"
    before = installed.ok(neighbour)
    group = f"/sys/fs/cgroup{shown(installed, 'ControlGroup')}/cgroup.procs"
    installed.ok("systemd-run --quiet --unit=hog python3 /shared/hog.py")
    installed.ok(f"systemctl show --value -p MainPID hog > {group}")
    ready(installed, restarts + 1)
    assert re.search(r"Failed with result 'oom-kill'", installed.ok(f"journalctl -b --no-pager -u {NAME}"))
    assert installed.run("systemctl is-active hog").out.strip() != "active"
    assert installed.ok(neighbour) == before != "0\n"


def test_remove_leaves_no_unit_and_no_process(installed: Board) -> None:
    pid = shown(installed, "MainPID")
    installed.ok(f"{BIN}/fer-service remove")
    assert installed.run(f"kill -0 {pid}").code
    assert installed.ok(f"find /etc/systemd /run/systemd/units -name '*{NAME}*'") == ""
    assert shown(installed, "LoadState") in ("not-found", "masked")
    assert installed.ok("ls /var/lib/fer-run").split() == ["faces.jsonl", "inside.json"]
