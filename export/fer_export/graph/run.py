"""An exported file run in onnxruntime, in one of the settings in which files are deployed."""

from dataclasses import dataclass
from itertools import product

import numpy as np
from numpy.typing import NDArray

from fer_runtime.model.inference import batched
from fer_runtime.model.manifest import INPUT, LOGITS
from fer_runtime.model.session import open_session

BATCH = 64


@dataclass(frozen=True)
class Setting:
    """How a session runs."""

    batch: int
    """Faces per call."""
    threads: int
    """Of one operator."""
    optimized: bool
    """Whether onnxruntime may rewrite the graph."""

    def __str__(self) -> str:
        return f"batch {self.batch}, threads {self.threads}, graph optimization {'all' if self.optimized else 'off'}"


SETTINGS = [Setting(*each) for each in product((BATCH, 1), (1, 2), (True, False))]
DEFAULT, DEPLOYED = SETTINGS[0], Setting(1, 1, True)


def logits(file: bytes, pixels: NDArray[np.uint8], setting: Setting = DEFAULT) -> NDArray[np.float32]:
    """The file's logits [n, classes] for uint8 [n, c, h, w]."""
    session = open_session(file, setting.threads, setting.optimized)
    return batched(lambda batch: session.run([LOGITS], {INPUT: batch})[0], pixels, setting.batch)
