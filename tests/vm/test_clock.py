"""A clock that jumps, as of a board without a battery."""

from datetime import datetime
from itertools import pairwise

import cv2
import pytest

from helpers.board import Board

YEAR_S, DAY_S = 31_536_000, 86_400
CAMERA = "--source 0 --size 320x180 --fps 5"


@pytest.mark.whole
def test_a_clock_that_jumps_changes_the_time_of_results_and_nothing_else(board: Board) -> None:
    board.plug()
    board.ok("rm -f /shared/jumps.*")
    board.start("jumps", f"{CAMERA} --jsonl /shared/jumps.jsonl --record /shared/jumps.mkv")
    for count, jump in enumerate((-YEAR_S, YEAR_S + DAY_S, 0)):
        board.until(f"[ $(cat /shared/jumps.jsonl | wc -l) -gt {2 * count + 1} ]")
        board.ok(f"date -s @$(( $(date +%s) + {jump} ))")
    began = float(board.ok("systemctl show --value -p ExecMainStartTimestampMonotonic tried-jumps")) / 1e6
    assert "Traceback" not in board.stop("jumps")
    board.ok(f"date -s @$(( $(date +%s) - {DAY_S} ))")
    lasted = float(board.ok("cut -d' ' -f1 /proc/uptime")) - began
    lines = board.lines("/shared/jumps.jsonl")
    assert {line["run"] for line in lines} == {lines[0]["run"]}
    assert all(0 < line["age_ms"] < 1e3 * lasted for line in lines)
    times = [datetime.fromisoformat(line["time"]) for line in lines]
    steps = [(after - before).total_seconds() for before, after in pairwise(times)]
    assert sorted(round(step / DAY_S) for step in steps if abs(step) > DAY_S / 2) == [-365, 366]
    video = cv2.VideoCapture(str(board.machine.shared / "jumps.mkv"))
    frames = 0
    while video.read()[0]:
        frames += 1
    assert len(lines) <= frames < lasted * video.get(cv2.CAP_PROP_FPS)
