"""A disk that is full, and a root that cannot be written."""

import pytest

from helpers.board import BIN, Board

CAMERA = "--source 0 --size 320x180 --fps 5 --headless"


@pytest.mark.whole
def test_a_full_disk_ends_the_run_with_a_sentence_and_whole_lines(board: Board) -> None:
    board.plug()
    board.ok("mountpoint -q /data || mount /dev/vdb /data; rm -f /data/full.*")
    board.run("head -c 15M /dev/zero > /data/room; cat /dev/zero > /data/fill; rm /data/room")
    try:
        done = board.run(f"{BIN}/fer-run {CAMERA} --record /data/full.mkv --jsonl /data/full.jsonl")
        assert done.code == 1
        assert "the last 16 are kept free" in done.err.splitlines()[-1]
        board.run("cat /dev/zero >> /data/fill")
        done = board.run(f"{BIN}/fer-run {CAMERA} --jsonl /data/full.jsonl")
        assert done.code == 1
        assert "No space left on device" in done.err.splitlines()[-1]
        board.lines("/data/full.jsonl")
    finally:
        board.ok("rm -f /data/fill")


@pytest.mark.whole
def test_on_a_root_that_cannot_be_written_it_runs_and_says_where_it_cannot_write(board: Board) -> None:
    board.plug()
    read_only = "cd / && unshare --mount sh -c 'mount -o remount,bind,ro / && exec \"$@\"' sh"
    run = f"{read_only} {BIN}/fer-run {CAMERA} --max-frames 1"
    done = board.run(run)
    assert (done.code, done.out.count("\n")) == (0, 1), done.err
    done = board.run(f"{run} --jsonl /root/faces.jsonl")
    assert done.code == 1
    assert "cannot write /root/faces.jsonl: Read-only file system" in done.err.splitlines()[-1]
