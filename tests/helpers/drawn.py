"""Drawn faces in FER2013's layout: small labelled data that a network can learn."""

import zipfile
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray


def draw_face(mood: str, rng: np.random.RandomState) -> NDArray[np.uint8]:
    """A drawn face, uint8 [48, 48]: two eyes and a mouth that is bent as the mood says."""
    face = np.full((48, 48), rng.randint(130, 190), np.uint8)
    x, y = (int(v) for v in rng.randint(-3, 4, 2))
    for eye in (15, 33):
        cv2.circle(face, (eye + x, 17 + y), 3, 30, -1)
    bend = {"happy": (0, 34, 0, 180), "neutral": (0, 36, 0, 360), "sad": (0, 40, 180, 360)}[mood]
    cv2.ellipse(face, (24 + x, bend[1] + y), (11, 1 if mood == "neutral" else 7), 0, bend[2], bend[3], 30, 2)
    return np.clip(face + rng.normal(0, 8, face.shape), 0, 255).astype(np.uint8)


def write_faces(root: Path, prefix: str, folder: str, count: int, seed: int) -> None:
    rng = np.random.RandomState(seed)
    for mood in ("happy", "neutral", "sad"):
        (root / folder / mood).mkdir(parents=True, exist_ok=True)
        for index in range(count):
            cv2.imwrite(str(root / folder / mood / f"{prefix}_{index}.png"), draw_face(mood, rng))


def zip_folder(folder: Path, archive: Path) -> Path:
    with zipfile.ZipFile(archive, "w") as out:
        for path in sorted(folder.rglob("*")):
            out.write(path, path.relative_to(folder))
    return archive
