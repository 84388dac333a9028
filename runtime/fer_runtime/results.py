"""What the loop answers for one frame; every output gets the same immutable object."""

import json
from dataclasses import dataclass

SCHEMA = 1


@dataclass(frozen=True)
class Face:
    """One face.

    box: x, y, width, height in pixels of the frame; score: the detector's, 0..1; label: the likeliest expression;
    probabilities: by label, in the model's order, summing to 1.
    """

    box: tuple[int, int, int, int]
    score: float
    label: str
    probabilities: dict[str, float]


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
        """One line of JSON, schema 1, probabilities rounded to 4 digits."""
        faces = [
            {
                "box": list(face.box),
                "score": round(face.score, 4),
                "label": face.label,
                "probabilities": {label: round(p, 4) for label, p in face.probabilities.items()},
            }
            for face in self.faces
        ]
        plain = {"schema": SCHEMA, "frame": self.frame, "time": self.time, "age_ms": round(self.age_ms, 2)}
        return json.dumps(plain | ({"name": self.name} if self.name else {}) | {"faces": faces})
