"""A camera that is unplugged and comes back, under the same number or another one."""

import re

import pytest

from helpers.board import Board

DRIVER = "/sys/bus/platform/drivers/vivid"
LINK = "/dev/v4l/by-id/camera-vivid-000-vid-cap"
RESULTS = "/run/away.jsonl"
WORDS = f"--size 320x180 --fps 5 --jsonl {RESULTS}"
MAX_GROWN_KB = 2048  # over 20 times


@pytest.mark.parametrize("times", [1, pytest.param(20, marks=pytest.mark.whole)])
def test_a_camera_that_comes_back_is_read_again_and_nothing_is_kept(board: Board, times: int) -> None:
    """Its driver lets go of it, and finds it again; at last its driver goes, and it comes as another device."""
    board.plug()
    board.ok(f"rm -f {RESULTS}")
    pid = board.start("away", f"--source {LINK} {WORDS}")
    board.until(f"[ -s {RESULTS} ]")
    seen = [held(board, pid)]
    for count in range(1, times + 1):
        board.ok(f"echo vivid.0 > {DRIVER}/unbind")
        board.until(f"[ $(grep -c 'gives no more frames' /run/away.err) = {count} ]")
        board.ok(f"[ ! -e {LINK} ] && echo vivid.0 > {DRIVER}/bind")
        board.until(f"[ $(grep -c 'is back' /run/away.err) = {count} ]")
        seen.append(held(board, pid))
    board.ok(f"echo vivid.0 > {DRIVER}/unbind")
    board.until("modprobe -q -r vivid")  # as soon as fer-run has let go of it
    board.plug_back("vid_cap_nr=5")
    board.until(f"[ $(grep -c 'is back' /run/away.err) = {times + 1} ]")
    assert board.ok(f"readlink -f {LINK}").strip() == "/dev/video5"
    seen.append(held(board, pid))
    told = board.stop("away")
    assert told.count("gives no more frames") == told.count("is back") == times + 1, told
    assert "Traceback" not in told
    assert "asked for" not in told
    first, last = seen[1], seen[-1]  # what the first opening anew needs stays
    assert last["Threads"] <= seen[0]["Threads"]
    assert last["descriptors"] <= seen[0]["descriptors"]
    assert last["VmRSS"] - first["VmRSS"] <= MAX_GROWN_KB, [each["VmRSS"] for each in seen]
    numbers = [line["frame"] for line in board.lines(RESULTS)]
    assert numbers == sorted(set(numbers))


def held(board: Board, pid: int) -> dict[str, int]:
    """Threads, open descriptors and memory (KiB) of a process, once it has given two results more."""
    board.ok(f"wc -l < {RESULTS} > /run/before")
    board.until(f"[ $(wc -l < {RESULTS}) -gt $(($(cat /run/before) + 1)) ]")
    text = board.ok(f"cat /proc/{pid}/status; echo descriptors: $(ls /proc/{pid}/fd | wc -l)")
    names = ("Threads", "VmRSS", "descriptors")
    return {name: int(re.search(rf"{name}:\s+(\d+)", text)[1]) for name in names}  # type: ignore[index]
