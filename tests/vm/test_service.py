"""fer-service on a board that systemd booted: ready, locked up, restarted, within its memory, removed."""

import json
from collections.abc import Iterator

import pytest

from helpers.board import BIN, Board
from helpers.board_service import CAMERA, FORBIDDEN, NAME, PORT, install, journal, ready, shown


@pytest.fixture(scope="module")
def installed(board: Board) -> Iterator[Board]:
    """The service on a webcam, and a neighbour."""
    board.plug()
    board.ok("systemd-run --quiet --unit=neighbour sleep infinity")
    try:
        install(board, f"{CAMERA} --jsonl faces.jsonl")
        yield board
    finally:
        board.run(f"systemctl stop server neighbour hog {NAME}")


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
        f"python3 /shared/inside.py {PORT} {' '.join(FORBIDDEN[:2])} && mv inside.json /run",
    )
    outside = json.loads(installed.ok("cat /run/inside.json"))
    assert (outside["connects"], outside["opens"]) == (True, [*FORBIDDEN[:2]])


def test_it_is_started_again_after_a_kill(installed: Board) -> None:
    restarts, pid = int(shown(installed, "NRestarts")), shown(installed, "MainPID")
    installed.ok(f"systemctl kill --kill-whom=main --signal=KILL {NAME}")
    ready(installed, restarts + 1)
    assert shown(installed, "MainPID") != pid


def test_it_is_started_again_when_it_is_frozen(installed: Board) -> None:
    restarts = int(shown(installed, "NRestarts"))
    installed.ok(f"systemctl kill --kill-whom=main --signal=STOP {NAME}")
    ready(installed, restarts + 1)
    assert "Watchdog timeout" in journal(installed)


def test_over_the_memory_limit_the_largest_process_is_killed_and_it_is_started_again(installed: Board) -> None:
    """First a program in its control group, of which it takes no note; then itself. The machine has memory enough."""
    restarts, pid = int(shown(installed, "NRestarts")), shown(installed, "MainPID")
    neighbour = installed.ok("systemctl show --value -p MainPID neighbour")
    group = f"/sys/fs/cgroup{shown(installed, 'ControlGroup')}/cgroup.procs"
    installed.ok("systemd-run --quiet --unit=hog python3 /shared/hog.py")
    installed.ok(f"systemctl show --value -p MainPID hog > {group}")
    installed.until("! systemctl is-active --quiet hog")
    assert (int(shown(installed, "NRestarts")), shown(installed, "MainPID")) == (restarts, pid)
    limit = shown(installed, "MemoryMax")
    assert int(limit) == 512 << 20
    installed.ok(f"systemctl set-property --runtime {NAME} MemoryMax=20M")
    installed.until(f"[ $(systemctl show --value -p NRestarts {NAME}) -gt {restarts} ]")
    installed.ok(f"systemctl set-property --runtime {NAME} MemoryMax={limit}")
    ready(installed)
    assert "killed by the OOM killer" in journal(installed)
    assert installed.ok("systemctl show --value -p MainPID neighbour") == neighbour != "0\n"


def test_remove_leaves_no_unit_and_no_process(installed: Board) -> None:
    pid = shown(installed, "MainPID")
    installed.ok(f"{BIN}/fer-service remove")
    assert installed.run(f"kill -0 {pid}").code
    assert installed.ok(f"find /etc/systemd /run/systemd/units -name '*{NAME}*'") == ""
    assert shown(installed, "LoadState") in ("not-found", "masked")
    assert installed.ok("ls /var/lib/fer-run").split() == ["faces.jsonl", "inside.json"]
