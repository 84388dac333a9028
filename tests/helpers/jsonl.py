"""fer-run's JSON lines as typed data: every key that a line has, and nothing else."""

import json
from dataclasses import dataclass
from pathlib import Path

from fer_runtime.records import from_plain


@dataclass(frozen=True)
class RawAnswer:
    label: str
    probabilities: dict[str, float]


@dataclass(frozen=True)
class LineFace:
    track: int
    box: tuple[int, int, int, int]
    score: float
    label: str
    probabilities: dict[str, float]
    raw: RawAnswer


@dataclass(frozen=True)
class Line:
    schema: int
    run: str
    frame: int
    time: str
    age_ms: float
    faces: list[LineFace]
    media_time_s: float | None = None
    name: str | None = None


def read_line(text: str) -> Line:
    return from_plain(Line, json.loads(text))


def read_lines(path: Path) -> list[Line]:
    """The whole lines of a file, which may still be written."""
    text = path.read_text() if path.exists() else ""
    return [read_line(line) for line in text[: text.rfind("\n") + 1].splitlines()]
