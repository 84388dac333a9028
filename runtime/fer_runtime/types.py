"""What goes from stage to stage: frames, faces and results."""

import json
import time
from dataclasses import dataclass, field
from datetime import UTC, datetime

import numpy as np
from numpy.typing import NDArray

SCHEMA = 2
UNCERTAIN = "uncertain"
Box = tuple[float, float, float, float]  # x, y, width, height in pixels


@dataclass(frozen=True)
class Frame:
    """One image of a source."""

    image: NDArray[np.uint8]
    """BGR, [height, width, 3]."""
    index: int
    """From 0 in the source; frames that were passed over count."""
    at: float | None = None
    """Seconds on the source's own clock, which does not depend on how fast a file is read; None for a picture."""
    name: str = ""
    """File name of a picture, empty for video."""
    captured: float = field(default_factory=time.monotonic)
    """When it was read, monotonic seconds."""
    time: str = field(default_factory=lambda: datetime.now(UTC).isoformat(timespec="milliseconds"))
    """When it was read, UTC, ISO 8601."""


@dataclass(frozen=True)
class Face:
    """One face.

    track: the face's number, the same as long as it is followed; box: x, y, width, height in pixels of the frame;
    score: the detector's, 0..1; label, probabilities: smoothed over time, the label "uncertain" while none is likely
    enough, the probabilities in the model's order, summing to 1; raw_label, raw: of this frame alone.
    """

    track: int
    box: tuple[int, int, int, int]
    score: float
    label: str
    probabilities: dict[str, float]
    raw_label: str
    raw: dict[str, float]

    @property
    def confidence(self) -> float:
        """The label's smoothed probability; the likeliest expression's while it is uncertain."""
        return self.probabilities.get(self.label, max(self.probabilities.values()))


@dataclass(frozen=True)
class Result:
    """One frame's answer.

    frame: index from 0 in the source; time: when it was captured, UTC, ISO 8601; age_ms: from capture to answer;
    name: file name of a picture, empty for video.
    """

    frame: int
    time: str
    age_ms: float
    faces: tuple[Face, ...]
    name: str = ""

    def to_json(self) -> str:
        """One line of JSON, schema 2, probabilities rounded to 4 digits."""
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
        plain = {"schema": SCHEMA, "frame": self.frame, "time": self.time, "age_ms": round(self.age_ms, 2)}
        return json.dumps(plain | ({"name": self.name} if self.name else {}) | {"faces": faces})


def _rounded(probabilities: dict[str, float]) -> dict[str, float]:
    return {label: round(p, 4) for label, p in probabilities.items()}
