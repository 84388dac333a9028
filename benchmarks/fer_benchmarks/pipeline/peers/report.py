"""The report: rounds by video and system, as JSON and as tables."""

import json
import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from fer_benchmarks.pipeline.faces_by_eye import KINDS, Seen
from fer_runtime.errors import FerError
from fer_runtime.records import from_plain
from fer_runtime.system.host import Host


@dataclass(frozen=True)
class Round:
    """One round of a system on a video."""

    frames: int
    cpu_s: float
    """From the process's start to its end."""
    start_cpu_s: float
    """Of a run of one frame, measured right before."""
    first_answer_s: float
    """Wall-clock time to the first answer, of that run."""
    peak_memory_mb: float
    """Resident, of the system's largest process, in 10^6 bytes."""
    seen: Seen | None
    """Faces by eye; None for a video whose faces nobody drew."""
    label_changes: int
    """From one frame to the next of a face."""
    face_s: float
    """Seconds of the video, summed over the faces, in which a label could change."""

    def running(self) -> float | None:
        """Frames per CPU second after the first; None where the start varies by more than these frames cost."""
        took = self.cpu_s - self.start_cpu_s
        return (self.frames - 1) / took if took > 0 else None


@dataclass(frozen=True)
class Conditions:
    """Of one call of the command."""

    date: str
    """UTC, when it began."""
    host: Host
    core: int | None
    """On which everything ran; None where a process cannot be held to one."""
    versions: dict[str, dict[str, str]]
    """By system, as it tells them."""


@dataclass(frozen=True)
class PeersReport:
    """The JSON."""

    conditions: list[Conditions]
    """One of each call whose rounds are here."""
    videos: dict[str, dict[str, list[Round]]]
    """Rounds by video and system."""


def read(path: Path) -> PeersReport:
    """An earlier report. Raises FerError for another file."""
    try:
        return from_plain(PeersReport, json.loads(path.read_text(encoding="utf-8")))
    except (OSError, ValueError) as error:
        raise FerError(f"{path} is no report of this command ({error}): expected what its --json wrote") from error


def joined(reports: Sequence[PeersReport]) -> PeersReport:
    """The rounds of all."""
    videos: dict[str, dict[str, list[Round]]] = {}
    for report in reports:
        for video, by_system in report.videos.items():
            for system, rounds in by_system.items():
                videos.setdefault(video, {}).setdefault(system, []).extend(rounds)
    for video, by_system in videos.items():
        frames = sorted({each.frames for rounds in by_system.values() for each in rounds})
        if len(frames) > 1:
            raise FerError(f"{video}: rounds of {frames[0]} and of {frames[-1]} frames cannot be compared")
    return PeersReport([each for report in reports for each in report.conditions], videos)


def table(rounds_by_system: dict[str, list[Round]]) -> dict[str, list[str]]:
    """Rows of a video's table, a cell per system: medians, in brackets the least and the most of several rounds."""
    every = list(rounds_by_system.values())
    rows = {
        "frames per CPU second, start-up included": [
            _spread([each.frames / each.cpu_s for each in rounds]) for rounds in every
        ],
        "after the first answer": [
            _spread([speed for each in rounds if (speed := each.running())]) for rounds in every
        ],
    }
    middles = [_middle(rounds) for rounds in every]
    for kind in KINDS.values():
        rows[f"faces found, {kind}"] = [_found(each.seen, kind) for each in middles]
    return rows | {
        "further boxes": [str(each.seen.further) if each.seen else "-" for each in middles],
        "label changes per second of a face": [
            _spread([each.label_changes / each.face_s for each in rounds if each.face_s]) for rounds in every
        ],
        "seconds to the first answer": [_spread([each.first_answer_s for each in rounds]) for rounds in every],
        "peak memory, MB": [_spread([each.peak_memory_mb for each in rounds]) for rounds in every],
    }


def _middle(rounds: list[Round]) -> Round:
    """By the faces that it has: where a system goes by the clock, rounds differ."""
    return sorted(rounds, key=lambda each: sum(each.seen.found.values()) if each.seen else 0)[len(rounds) // 2]


def _found(seen: Seen | None, kind: str) -> str:
    return f"{seen.found[kind]} of {seen.faces[kind]}" if seen and kind in seen.faces else "-"


def _spread(values: list[float]) -> str:
    if not values:
        return "-"
    ends = statistics.median(values), min(values), max(values)
    texts = [f"{value:.{0 if value >= 100 else 1 if value >= 10 else 2}f}" for value in ends]
    return texts[0] if len(set(texts)) == 1 else f"{texts[0]} ({texts[1]} to {texts[2]})"
