"""An output of your own: how long each expression was shown, as CSV.

python examples/own_output.py people.mp4 seconds.csv
"""

import csv
import sys
from collections import Counter
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from fer_runtime import Classifier, Loop, Result, open_source


class SecondsByLabel:
    """Adds up, for each label, the seconds in which a face showed it."""

    def __init__(self, path: Path, fps: float) -> None:
        """path: the CSV; fps: frames per second."""
        self.path, self.period = path, 1 / fps
        self.frames: Counter[str] = Counter()

    def write(self, image: NDArray[np.uint8], result: Result) -> bool:  # noqa: ARG002 - an output gets the picture too
        """Take one frame (uint8 BGR [height, width, 3]) and its result; True: go on."""
        for face in result.faces:
            self.frames[face.label] += 1
        return True

    def close(self) -> None:
        """Write the file."""
        with self.path.open("w", newline="") as file:
            writer = csv.writer(file)
            writer.writerow(["label", "seconds"])
            writer.writerows((label, round(n * self.period, 2)) for label, n in self.frames.most_common())


source = open_source(sys.argv[1])
output = SecondsByLabel(Path(sys.argv[2]), source.fps or 25)
for frame, result in Loop(source, Classifier()):
    output.write(frame.image, result)
output.close()
