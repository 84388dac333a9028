"""What a run opens for writing and whom it talks to, as the kernel saw it: strace, with all threads and children."""

import os
import re
import subprocess
from pathlib import Path

import cv2
import pytest

from conftest import BIN
from fer_benchmarks.demo_clip import render
from helpers.servers import mjpeg

pytestmark = pytest.mark.system  # those without a mark of their own need no program
# Whatever takes a file's name, makes a socket or a connection, or could get round those.
CALLS = "%file,%network,io_uring_setup,memfd_create,execve,clone,clone3,fork,vfork"
# Names in a call that writes, makes, renames or removes; O_RDWR too, as it may.
WRITING = re.compile(
    r"^(?:open|openat|openat2)\(.*(?:O_WRONLY|O_RDWR|O_CREAT|O_TRUNC|O_TMPFILE)"
    r"|^(?:creat|mkdir|mkdirat|mknod|mknodat|rename\w*|link|linkat|symlink\w*|unlink\w*|rmdir|truncate|setxattr|chmod|fchmodat)\("
)
TALKING = re.compile(r"^(?:connect|bind|listen|sendto|sendmsg|sendmmsg)\(")


def traced(folder: Path, *arguments: object) -> list[str]:
    """The system calls of one fer-run in an empty home, each as strace writes it, without the process's number."""
    home = folder / "home"
    home.mkdir()
    trace = folder / "trace.txt"
    # Nothing but a path: no setting of ours may be what keeps it quiet. Byte code is the checkout's own matter.
    environment = {"HOME": str(home), "PATH": "/usr/bin:/bin", "PYTHONDONTWRITEBYTECODE": "1"}
    command = ["strace", "-f", "-qq", "-s", "200", "-e", f"trace={CALLS}", "-o", trace, BIN / "fer-run", *arguments]
    done = subprocess.run(
        list(map(str, command)), cwd=folder, env=environment, capture_output=True, text=True, timeout=300, check=False
    )
    assert done.returncode == 0, done.stderr
    assert list(home.iterdir()) == []
    calls = [line.split(maxsplit=1)[1] for line in trace.read_text(errors="replace").splitlines()]
    assert any(call.startswith("execve(") and "fer-run" in call for call in calls)
    assert any(call.startswith("openat(") and "onnxruntime" in call for call in calls)  # the trace saw it at work
    assert not [call for call in calls if call.startswith("io_uring_setup(")]  # work that strace would not see
    return calls


def written(calls: list[str]) -> set[str]:
    """Names of files that were opened for writing, made, changed or removed; failed tries too."""
    names = {re.search(r'"(.*?)"', call) for call in calls if WRITING.match(call)}
    return {match[1] for match in names if match}


def spoken_to(calls: list[str]) -> list[str]:
    """Every call that connects, listens or sends."""
    return [call for call in calls if TALKING.match(call)]


@pytest.mark.system("strace")
def test_only_the_lines_asked_for_are_written_and_nobody_is_called(clip: Path, tmp_path: Path) -> None:
    calls = traced(tmp_path, "--source", clip, "--headless", "--jsonl", "faces.jsonl")
    assert written(calls) == {"faces.jsonl"}
    assert spoken_to(calls) == []
    assert len([call for call in calls if call.startswith("execve(") and call.endswith("= 0")]) == 1  # no other program
    assert {path.name for path in tmp_path.iterdir()} == {"faces.jsonl", "home", "trace.txt"}


@pytest.mark.system("strace")
def test_a_stream_of_some_length_is_the_only_one_that_is_called(tmp_path: Path) -> None:
    """Longer than onnxruntime's telemetry, where it is on, waits before it looks names up."""
    cv2.imwrite(str(tmp_path / "frame.jpg"), render(0))
    with mjpeg([tmp_path / "frame.jpg"], 0.1, 10) as server:
        calls = traced(tmp_path, "--source", server.address, "--headless", "--jsonl", "-", "--max-frames", 100)
    port = re.search(r":(\d+)/", server.address)
    assert port
    assert written(calls) == set()
    own = f'sin_port=htons({port[1]}), sin_addr=inet_addr("127.0.0.1")'
    connects = [call for call in calls if call.startswith("connect(")]
    assert connects
    assert all(own in call for call in connects)
    assert not [call for call in spoken_to(calls) if not call.startswith("connect(") and "GET /" not in call]


@pytest.mark.system("strace")
def test_the_trace_sees_a_recording(clip: Path, tmp_path: Path) -> None:
    """That the tests above can fail: another output shows."""
    calls = traced(tmp_path, "--source", clip, "--headless", "--record", "out.mkv", "--max-frames", 3)
    assert "out.mkv" in written(calls)
    assert os.path.getsize(tmp_path / "out.mkv") > 0
