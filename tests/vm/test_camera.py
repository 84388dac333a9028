"""A camera of the kernel (vivid): its modes, what is asked of it, and who may open it."""

import json

import pytest

from helpers.board import BIN, Board


def test_the_doctor_names_the_camera_and_its_modes(board: Board) -> None:
    board.plug()
    plain = json.loads(board.ok(f"{BIN}/python -P -m fer_runtime.cli.probes cameras"))
    assert plain["status"] == "ok"
    assert plain["detail"].startswith("/dev/video0 vivid: YUYV 320x180 640x360 640x480 1280x720 1920x1080 3840x2160, ")


@pytest.mark.parametrize(
    ("asked", "told"),
    [
        pytest.param("--size 640x480 --fps 5", "", marks=pytest.mark.whole),
        ("--size 333x77 --fps 7", "gives 320x180, asked for 333x77 and 10 fps, asked for 7"),
    ],
)
def test_size_and_pace_are_as_asked_or_it_is_said(board: Board, asked: str, told: str) -> None:
    board.plug()
    done = board.run(f"{BIN}/fer-run --source 0 {asked} --headless --max-frames 1")
    assert done.code == 0, done.err
    assert (json.loads(done.out)["faces"], told in done.err) == ([], True)
    assert bool(told) == ("asked for" in done.err)


def test_a_camera_that_another_program_holds_is_said_to_be_busy(board: Board) -> None:
    board.plug()
    board.ok("systemd-run --quiet --collect --unit=tried-holder v4l2-ctl -d0 --stream-mmap")
    try:
        done = board.run(f"{BIN}/fer-run --source 0 --headless --max-frames 1")
    finally:
        board.run("systemctl stop tried-holder")
    assert done.code == 1
    assert "is another program using" in done.err.splitlines()[-1]
    assert "Traceback" not in done.err


def test_a_user_who_may_not_open_the_camera_is_told_the_group(board: Board) -> None:
    board.plug()
    done = board.run(f"cd /tmp && runuser -u visitor -- {BIN}/fer-run --source 0 --headless --max-frames 1")
    assert done.code == 1
    assert "sudo usermod -aG video" in done.err.splitlines()[-1]
