"""What goes from stage to stage: frames, faces and results."""

import json
import os
import time
from dataclasses import dataclass, field
from datetime import UTC, datetime

import numpy as np
from numpy.typing import NDArray

SCHEMA = 3
UNCERTAIN = "uncertain"
Box = tuple[float, float, float, float]  # x, y, width, height in pixels


def new_run_id() -> str:
    """When a run began, UTC, and four random digits: `20261128T001500Z-3fa2`; sorts by time."""
    return f"{datetime.now(UTC):%Y%m%dT%H%M%SZ}-{os.urandom(2).hex()}"


@dataclass(frozen=True)
class Frame:
    """One image of a source."""

    image: NDArray[np.uint8]
    """BGR, [height, width, 3]."""
    index: int
    """From 0 in the source; frames that were passed over count."""
    at: float | None = None
    """Seconds on the source's own clock: a file's media time, a camera's monotonic clock; None for a picture."""
    name: str = ""
    """File name of a picture, empty for video."""
    captured: float = field(default_factory=time.monotonic)
    """When it was read, monotonic seconds."""
    time: str = field(default_factory=lambda: datetime.now(UTC).isoformat(timespec="milliseconds"))
    """When it was read, UTC, ISO 8601."""
    media_time: float | None = None
    """Seconds from the first frame of a video file, by its own timestamps; None for pictures, cameras and streams."""


@dataclass(frozen=True)
class Face:
    """One face in one frame."""

    track: int
    """The face's number, the same for as long as it is followed."""
    box: tuple[int, int, int, int]
    """x, y, width, height in pixels of the frame."""
    score: float
    """The detector's, 0..1."""
    label: str
    """The expression, smoothed over time; "uncertain" while none is likely enough."""
    probabilities: dict[str, float]
    """Smoothed over time, in the model's order, summing to 1."""
    raw_label: str
    """The likeliest expression in this frame alone."""
    raw: dict[str, float]
    """The probabilities in this frame alone."""

    @property
    def confidence(self) -> float:
        """The label's smoothed probability; the likeliest expression's while it is uncertain."""
        return self.probabilities.get(self.label, max(self.probabilities.values()))


@dataclass(frozen=True)
class Result:
    """What was found in one frame."""

    frame: int
    """Index from 0 in the source."""
    time: str
    """When the frame was captured, UTC, ISO 8601."""
    age_ms: float
    """Milliseconds from capture to result."""
    faces: tuple[Face, ...]
    """The longest followed first."""
    name: str = ""
    """File name of a picture, empty for video."""
    at: float | None = None
    """The frame's seconds on the source's own clock; None for a picture."""
    media_time: float | None = None
    """Seconds from the first frame of a video file; None for pictures, cameras and streams."""

    run: str = ""
    """Id of the run, in which frames and tracks are numbered from the start; see `new_run_id`."""

    def to_json(self) -> str:
        """One line of JSON, schema 3, probabilities rounded to 4 digits."""
        faces = [
            {
                "track": face.track,
                "box": list(face.box),
                "score": round(face.score, 4),
                "label": face.label,
                "probabilities": _rounded(face.probabilities),
                "raw": {"label": face.raw_label, "probabilities": _rounded(face.raw)},
            }
            for face in self.faces
        ]
        plain: dict[str, object] = {"schema": SCHEMA, "run": self.run, "frame": self.frame, "time": self.time}
        if self.media_time is not None:
            plain["media_time_s"] = round(self.media_time, 4)
        if self.name:
            plain["name"] = self.name
        return json.dumps(plain | {"age_ms": round(self.age_ms, 2), "faces": faces})


def _rounded(probabilities: dict[str, float]) -> dict[str, float]:
    return {label: round(p, 4) for label, p in probabilities.items()}
