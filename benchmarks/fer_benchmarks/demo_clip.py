"""A short clip with two known faces, made from scikit-image's public-domain astronaut photo.

Eileen Collins smiles on the left, moving and growing, and again on the right, mirrored and shrinking.
"""

from dataclasses import dataclass
from pathlib import Path

import click
import cv2
import numpy as np
from numpy.typing import NDArray

from fer_runtime.cli.entry import run
from fer_runtime.cli.options import FILE
from fer_runtime.errors import FerError

WIDTH, HEIGHT, FPS, FRAMES = 640, 480, 25, 100
PORTRAIT = (60, 0, 330, 300)  # left, top, right, bottom of head and shoulders in the 512x512 photo
FACE = (177, 66, 89, 119)  # x, y, width, height of the face in the photo


@dataclass(frozen=True)
class Placed:
    """One copy in a frame. left, top: of the portrait, pixels; scale: of the portrait; mirrored: left-right."""

    left: float
    top: float
    scale: float
    mirrored: bool

    @property
    def face(self) -> tuple[float, float, float, float]:
        """The face's box: x, y, width, height in pixels of the frame."""
        x, y, width, height = FACE
        inside = PORTRAIT[2] - x - width if self.mirrored else x - PORTRAIT[0]
        return (
            self.left + self.scale * inside,
            self.top + self.scale * (y - PORTRAIT[1]),
            self.scale * width,
            self.scale * height,
        )


def placements(frame: int) -> tuple[Placed, Placed]:
    """Where the two copies are in frame 0..FRAMES-1."""
    t = frame / (FRAMES - 1)
    sway = float(np.sin(2 * np.pi * t))
    left = Placed(20 + 30 * sway, 120 + 40 * t, 0.8 + 0.3 * t, False)
    right = Placed(350 - 20 * sway, 180 - 80 * t, 1.0 - 0.35 * t, True)
    return left, right


def render(frame: int) -> NDArray[np.uint8]:
    """Frame 0..FRAMES-1 of the clip, uint8 BGR [HEIGHT, WIDTH, 3]. Raises FerError without scikit-image."""
    left, top, right, bottom = PORTRAIT
    portrait = _astronaut()[top:bottom, left:right]
    canvas = np.repeat(np.linspace(70, 150, HEIGHT)[:, None, None], WIDTH, 1).repeat(3, 2).astype(np.uint8)
    for placed in placements(frame):
        source = portrait[:, ::-1] if placed.mirrored else portrait
        matrix = np.array([[placed.scale, 0, placed.left], [0, placed.scale, placed.top]])
        cv2.warpAffine(
            np.ascontiguousarray(source),
            matrix,
            (WIDTH, HEIGHT),
            dst=canvas,
            flags=cv2.INTER_LINEAR,
            borderMode=cv2.BORDER_TRANSPARENT,
        )
    return canvas


def write(path: Path) -> None:
    """The whole clip as mp4v video. Raises FerError when it cannot be written."""
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"mp4v"), FPS, (WIDTH, HEIGHT))
    if not writer.isOpened():
        raise FerError(f"cannot write the video {path}: is it a .mp4 in a folder that exists?")
    for frame in range(FRAMES):
        writer.write(render(frame))
    writer.release()


def _astronaut() -> NDArray[np.uint8]:
    """The photo, uint8 BGR [512, 512, 3]."""
    from skimage.data import astronaut

    return np.ascontiguousarray(astronaut()[:, :, ::-1])


@click.command()
@click.argument("file", type=FILE)
@click.option("--picture", type=FILE, help="Write the middle frame as a picture too.")
def cli(file: Path, picture: Path | None) -> None:
    """Write the clip to FILE (.mp4)."""
    write(file)
    if picture and not cv2.imwrite(str(picture), render(FRAMES // 2)):
        raise FerError(f"cannot write the picture {picture}: is it a .png or .jpg in a folder that exists?")


if __name__ == "__main__":
    run(cli, "bench")
