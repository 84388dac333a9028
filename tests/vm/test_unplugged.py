"""A camera that is unplugged and comes back, under the same number or another one."""

import re

from helpers.board import Board

DRIVER = "/sys/bus/platform/drivers/vivid"
LINK = "/dev/v4l/by-id/camera-vivid-000-vid-cap"
WORDS = "--size 320x180 --fps 5 --jsonl /run/away.jsonl"


def test_a_camera_that_comes_back_is_read_again_and_nothing_is_kept(board: Board) -> None:
    board.plug()
    board.ok("rm -f /run/away.jsonl")
    pid = board.start("away", f"--source 0 {WORDS}")
    board.until("[ $(cat /run/away.jsonl | wc -l) -gt 1 ]")
    before = status(board, pid)
    board.ok(f"echo vivid.0 > {DRIVER}/unbind; sleep 3; [ ! -e /dev/video0 ]; echo vivid.0 > {DRIVER}/bind")
    board.until("grep -q back /run/away.err")
    board.ok("wc -l < /run/away.jsonl > /run/before")
    board.until("[ $(cat /run/away.jsonl | wc -l) -gt $(($(cat /run/before) + 1)) ]")
    after = status(board, pid)
    told = board.stop("away")
    assert told.count("gives no more frames") == told.count("0 is back") == 1, told
    assert "Traceback" not in told
    assert after["Threads"] <= before["Threads"]
    assert after["descriptors"] <= before["descriptors"]
    numbers = [line["frame"] for line in board.lines("/run/away.jsonl")]
    assert numbers == sorted(set(numbers))


def test_a_link_is_followed_to_another_number(board: Board) -> None:
    board.plug()
    board.ok("rm -f /run/away.jsonl")
    board.start("away", f"--source {LINK} {WORDS}")
    board.until("[ -s /run/away.jsonl ]")
    board.ok(f"echo vivid.0 > {DRIVER}/unbind")
    board.until("modprobe -r vivid")  # as soon as fer-run has let go of it
    board.plug_back("vid_cap_nr=5")
    board.until("grep -q back /run/away.err")
    assert board.ok(f"readlink -f {LINK}").strip() == "/dev/video5"
    told = board.stop("away")
    assert told.count("gives no more frames") == told.count("is back") == 1, told


def status(board: Board, pid: int) -> dict[str, int]:
    """Threads and open descriptors of a process."""
    text = board.ok(f"cat /proc/{pid}/status; echo descriptors: $(ls /proc/{pid}/fd | wc -l)")
    return {name: int(re.search(rf"{name}:\s+(\d+)", text)[1]) for name in ("Threads", "descriptors")}  # type: ignore[index]
