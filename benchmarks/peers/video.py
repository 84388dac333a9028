"""Frames per CPU second of `fer`'s own video analysis: `PYTHON video.py VIDEO FRAMES`, in an environment with fer.

pip install fer==25.10.3 'opencv-python<5' tensorflow pandas; as it comes: its default detector (OpenCV's Haar cascade)
and network (Keras), no pictures or video written, a few frames beforehand and what starting takes not counted.
"""

import json
import sys
import tempfile
import time
from typing import Any

from fer.classes import Video
from fer.fer import FER

WARM_UP = 5  # frames


def main() -> None:
    """Print frames, faces, and seconds of CPU and of the clock, as JSON."""
    path, frames = sys.argv[1], int(sys.argv[2])
    detector = FER()
    _analyze(detector, path, WARM_UP)
    cpu, wall = time.process_time(), time.monotonic()
    found = _analyze(detector, path, frames)
    plain = {
        "frames": len(found),
        "frames_with_faces": len(found.dropna()),
        "cpu_s": time.process_time() - cpu,
        "seconds": time.monotonic() - wall,
    }
    print(json.dumps(plain))


def _analyze(detector: FER, path: str, frames: int) -> Any:
    """A table with a row per frame."""
    with tempfile.TemporaryDirectory() as folder:
        return Video(path, outdir=folder).analyze(
            detector, max_results=frames, output="pandas", save_frames=False, save_video=False, annotate_frames=False,
            zip_images=False,
        )  # fmt: skip


if __name__ == "__main__":
    main()
