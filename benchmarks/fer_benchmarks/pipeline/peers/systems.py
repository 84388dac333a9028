"""The systems that are compared, each a program that answers a video line by line."""

import json
import os
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from fer_runtime.errors import FerError

HERE = Path(__file__).parent
LOOP = "from fer_runtime.cli.run import main; main()"
FOLLOWING, SEARCHING = "ours, following", "ours, searching every frame"
FACES = '"faces"'  # in the line of a frame's answer; what comes before tells versions


@dataclass(frozen=True)
class System:
    """A name, and a program in which {video} and {frames} are replaced.

    It writes a line {"frame": n, "faces": [{"box": [x, y, width, height], "label": text}]} for each frame, from 0 on,
    and may write {"versions": {...}} before.
    """

    name: str
    command: list[str]


@dataclass(frozen=True)
class Run:
    """A system's run over a video's first frames."""

    cpu_s: float
    """Of the process and those that it started, from start to end."""
    first_answer_s: float
    """Wall-clock time from the start to the first frame's answer."""
    peak_memory_mb: float
    """Resident, of its largest process, in 10^6 bytes."""
    answers: list[list[dict[str, Any]]]
    """Faces by frame, as in the lines."""
    versions: dict[str, str] = field(default_factory=dict)


def ours() -> list[System]:
    """fer-run as it comes, and the same loop without following."""
    python = [sys.executable, "-P"]
    options = ["--source", "{video}", "--headless", "--jsonl", "-", "--max-frames", "{frames}"]
    searching = [*python, str(HERE / "every_frame.py"), "{video}", "{frames}"]
    return [System(FOLLOWING, [*python, "-c", LOOP, *options]), System(SEARCHING, searching)]


def fer(python: Path) -> System:
    """`fer` in the environment of this Python."""
    return System("fer", [str(python), str(HERE / "fer_worker.py"), "{video}", "{frames}"])


def human(folder: Path, node: str = "node") -> System:
    """Human, where npm installed it."""
    decoder = [sys.executable, "-P", str(HERE / "frames.py")]
    return System("Human", [node, str(HERE / "human_worker.mjs"), str(folder), "{video}", "{frames}", *decoder])


def run(system: System, video: Path, frames: int) -> Run:
    """One run from start to end. Raises FerError for a program that is not there, fails, or answers something else."""
    places = {"{video}": str(video), "{frames}": str(frames)}
    command = [places.get(word, word) for word in system.command]
    with tempfile.TemporaryFile("w+", errors="replace") as messages:
        begin = time.perf_counter()
        try:
            process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=messages)  # noqa: S603 - what the user named
        except OSError as error:
            raise FerError(f"{system.name}: {command[0]} does not start ({error.strerror})") from error
        try:
            assert process.stdout is not None
            lines = [process.stdout.readline()]
            while lines[-1] and FACES not in lines[-1].decode(errors="replace"):
                lines.append(process.stdout.readline())
            first_s = time.perf_counter() - begin
            lines += process.stdout.readlines()
            _, status, usage = os.wait4(process.pid, 0)
            process.returncode = os.waitstatus_to_exitcode(status)
        finally:
            if process.returncode is None:
                process.kill()
        messages.seek(0)
        if process.returncode:
            raise FerError(f"{system.name} failed on {video.name}: {_last_line(messages.read())}")
    answers, versions = _read(system, lines)
    memory_mb = usage.ru_maxrss / 1e6 * (1 if sys.platform == "darwin" else 1024)
    return Run(usage.ru_utime + usage.ru_stime, first_s, memory_mb, answers, versions)


def _read(system: System, lines: list[bytes]) -> tuple[list[list[dict[str, Any]]], dict[str, str]]:
    """Faces by frame, and versions."""
    answers: list[list[dict[str, Any]]] = []
    versions: dict[str, str] = {}
    for line in filter(None, lines):
        try:
            plain = json.loads(line)
            versions |= plain.get("versions", {})
            if "faces" in plain:
                faces = [{"box": tuple(map(float, face["box"])), "label": face["label"]} for face in plain["faces"]]
                if plain["frame"] != len(answers) or any(len(face["box"]) != 4 for face in faces):
                    raise ValueError("another frame, or no box")
                answers.append(faces)
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            told = line.decode(errors="replace").strip()[:120]
            raise FerError(
                f"{system.name} wrote {told!r}: expected a frame's number and its faces' boxes and labels"
            ) from error
    if not answers:
        raise FerError(f"{system.name} answered no frame: expected a line of JSON for each")
    return answers, versions


def _last_line(text: str) -> str:
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    # What tells the cause: node ends with its own version, Python with the exception.
    told = [line for line in lines if "rror" in line] or lines or ["it said nothing"]
    return told[-1][:300]
