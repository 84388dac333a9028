"""The loop: frame -> tracks -> crops -> one batch through the classifier -> smoothing -> result."""

import time
from collections.abc import Iterator
from math import inf

import numpy as np
from numpy.typing import NDArray

from fer_runtime.detectors import Detector, RetinaFace
from fer_runtime.framing import crop
from fer_runtime.profile import Profile
from fer_runtime.results import UNCERTAIN, Face, Result
from fer_runtime.session import Classifier
from fer_runtime.smoothing import Smoother
from fer_runtime.sources import Frame, Source
from fer_runtime.tracks import Track, Tracker


class Loop:
    """Follows the faces of a source's frames and names their expressions, in the caller's thread."""

    def __init__(
        self,
        source: Source,
        classifier: Classifier,
        detector: Detector | None = None,
        nearby: Detector | None = None,
        max_fps: float | None = None,
        profile: Profile | None = None,
    ) -> None:
        """detector: of whole frames; nearby: of the region around a known face; RetinaFace's when None.

        max_fps: answers a second of the source's own time at most; frames in between are passed over.
        profile: takes the durations of the stages.
        """
        self._profile = profile or Profile()
        self._source = source
        self._classifier = classifier
        self._tracker = Tracker(detector or RetinaFace(), nearby or RetinaFace.nearby(), self._profile)
        self._smoothers: dict[int, Smoother] = {}
        self._pause = 0.0 if max_fps is None else 1 / max_fps
        self._next = -inf  # when the next answer is due, seconds on the source's clock

    def __iter__(self) -> Iterator[tuple[Frame, Result]]:
        """Each frame that is not passed over, with its result. Raises FerError when the source holds no frame."""
        for frame in self._source.frames():
            if self._is_due(frame):
                yield frame, self.answer(frame)

    def _is_due(self, frame: Frame) -> bool:
        """Whether `max_fps` leaves time for this frame; the pace is kept on average, as frames seldom come on time."""
        if not self._pause or frame.at is None:
            return True
        if frame.at < self._next - self._pause / 100:
            return False
        self._next += self._pause
        if self._next <= frame.at:  # the first one, or one after a gap
            self._next = frame.at + self._pause
        return True

    def answer(self, frame: Frame) -> Result:
        """The faces of one frame that are seen in it, the longest known first."""
        tracks = self._tracker(frame)
        self._smoothers = {track.number: self._smoothers.get(track.number, Smoother()) for track in tracks}
        seen = [track for track in tracks if frame.at is None or track.seen == frame.at]
        faces = tuple(self._faces(frame, seen)) if seen else ()
        age_ms = (time.monotonic() - frame.captured) * 1e3
        self._profile.answered(age_ms)
        return Result(frame.index, frame.time, age_ms, faces, frame.name)

    def _faces(self, frame: Frame, tracks: list[Track]) -> Iterator[Face]:
        manifest, labels = self._classifier.manifest, self._classifier.labels
        size, colour = manifest.size, manifest.colour
        with self._profile.stage("crop"):
            crops = np.stack([crop(frame.image, t.detection.box, manifest.framing, size, colour) for t in tracks])
        with self._profile.stage("classify"):
            answers = self._classifier(crops)
        for track, raw in zip(tracks, answers, strict=True):
            smooth, shown = raw, int(raw.argmax())
            label = labels[shown]
            if frame.at is not None:
                with self._profile.stage("smooth"):
                    smooth, index = self._smoothers[track.number](raw, frame.at)
                label = UNCERTAIN if index is None else labels[index]
            x, y, width, height = (round(value) for value in track.detection.box)
            yield Face(
                track.number,
                (x, y, width, height),
                track.detection.score,
                label,
                self._by_label(smooth),
                labels[shown],
                self._by_label(raw),
            )

    def _by_label(self, probabilities: NDArray[np.float32]) -> dict[str, float]:
        return dict(zip(self._classifier.labels, probabilities.tolist(), strict=True))
