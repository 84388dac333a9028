"""The loop: frame -> faces -> crops -> one batch through the classifier -> result."""

import time
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from fer_runtime.detectors import Detection, Detector, RetinaFace
from fer_runtime.framing import crop
from fer_runtime.results import Face, Result
from fer_runtime.session import Classifier
from fer_runtime.sources import Frame, Source


class Loop:
    """Runs a detector and a classifier over a source's frames, in the caller's thread."""

    def __init__(self, source: Source, classifier: Classifier, detector: Detector | None = None) -> None:
        """detector: RetinaFace at its defaults when None."""
        self._source = source
        self._classifier = classifier
        self._detector = detector or RetinaFace()

    def __iter__(self) -> Iterator[tuple[Frame, Result]]:
        """Each frame with its result. Raises FerError when the source holds no frame."""
        for frame in self._source.frames():
            yield frame, self.answer(frame)

    def answer(self, frame: Frame) -> Result:
        """The faces of one frame, likeliest detection first."""
        detections = self._detector(frame.image)
        faces = tuple(self._faces(frame.image, detections)) if detections else ()
        age_ms = (time.monotonic() - frame.captured) * 1e3
        return Result(frame.index, frame.time, age_ms, faces, frame.name)

    def _faces(self, image: NDArray[np.uint8], detections: list[Detection]) -> Iterator[Face]:
        manifest = self._classifier.manifest
        crops = np.stack(
            [crop(image, each.box, manifest.framing, manifest.size, manifest.colour) for each in detections]
        )
        for detection, row in zip(detections, self._classifier(crops), strict=True):
            x, y, width, height = (round(value) for value in detection.box)
            probabilities = dict(zip(self._classifier.labels, row.tolist(), strict=True))
            label = self._classifier.labels[int(row.argmax())]
            yield Face((x, y, width, height), detection.score, label, probabilities)
