"""What the command and its workers say to each other."""

from collections.abc import Mapping
from dataclasses import dataclass

from fer_runtime.archive.scoring import ScoringOptions
from fer_runtime.archive.units import Unit
from fer_runtime.archive.work import Counts, Refusal


@dataclass(frozen=True)
class Setup:
    """What a worker needs to know before its first task."""

    options: ScoringOptions
    place: str
    """Of the results: a path or URL."""


@dataclass(frozen=True)
class Task:
    """A unit to score."""

    unit: Unit
    refused: Mapping[str, Refusal]
    """Files, by name, that are given up."""


@dataclass(frozen=True)
class Ready:
    """The networks are open."""

    labels: tuple[str, ...]


@dataclass(frozen=True)
class Beat:
    """A sign of life: work on a file goes on."""

    place: int
    """Of the file in its unit."""
    frames: int
    video_s: float
    faces: int


@dataclass(frozen=True)
class Finished:
    """A unit's rows are written."""

    counts: Counts


@dataclass(frozen=True)
class Split:
    """A unit is a long video: these are its pieces."""

    pieces: list[Unit]


@dataclass(frozen=True)
class Failed:
    """It cannot go on, for a reason that is not one file's: a model that is none, a full disk."""

    message: str
