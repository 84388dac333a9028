"""All that is remembered of one face."""

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from fer_runtime.faces.detection import Detection
from fer_runtime.faces.smoothing import Smoother
from fer_runtime.types import Box


@dataclass
class FaceState:
    """Where a face is, and what it was classified as."""

    number: int
    """From 1; never given twice."""
    detection: Detection
    """The last one."""
    seen: float
    """When that was, seconds on the source's clock."""
    velocity: tuple[float, float] = (0.0, 0.0)
    """Of its middle, pixels per second to the right and down."""
    confirmed: float = 0.0
    """When the detector last saw it, not the locator alone; seconds on the source's clock."""
    checks: int = 0
    """How often the locator's box was held against the detector's."""
    next_check: float = 0.0
    """When it is the next time, seconds on the source's clock."""
    next_look: float = 0.0
    """When the detector looks for it again, where it did not see it; seconds on the source's clock."""
    offset: NDArray[np.float64] = field(default_factory=lambda: np.zeros(4))
    """Of the detector's box from the locator's, averaged: x and y in the box's sides, logarithms of both sides."""
    anchor: Box | None = None
    """The box about which the locator's region lies; it stays while the face hardly moves."""
    thumbnail: NDArray[np.uint8] | None = None
    """Of the face, grey [16, 16], when its region was last searched by the detector."""
    smoother: Smoother = field(default_factory=Smoother)
    """Of its probabilities."""
    crop: NDArray[np.uint8] | None = None
    """The last that was classified, [channels, size, size]."""
    probabilities: NDArray[np.float32] | None = None
    """Of that crop, [classes]."""
    classified: float = 0.0
    """When that was, seconds on the source's clock."""
