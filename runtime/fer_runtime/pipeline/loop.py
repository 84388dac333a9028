"""The loop: frame -> tracks -> crops -> one batch through the classifier -> smoothing -> result."""

import time
from collections.abc import Iterator
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from fer_runtime.faces.anonymize import Blur
from fer_runtime.faces.detection import Detector, RetinaFace
from fer_runtime.faces.similarity import difference
from fer_runtime.faces.smoothing import Smoother
from fer_runtime.faces.tracking import INTERVAL, Track, Tracker
from fer_runtime.model.preprocessing import crop, tilt
from fer_runtime.model.session import Classifier
from fer_runtime.pipeline.pacing import Pace
from fer_runtime.sources.base import OnIdle, Source, always
from fer_runtime.system.profiler import Profile
from fer_runtime.types import UNCERTAIN, Face, Frame, Result

UNCHANGED = 3.0  # mean difference of two crops' pixels, 0..255, under which the answer is not asked for again
OLDEST = 1.0  # seconds after which it is in any case


@dataclass
class Known:
    """What is remembered of a track. crop, raw: the last that was classified, and its answer; at: when, seconds."""

    smoother: Smoother = field(default_factory=Smoother)
    crop: NDArray[np.uint8] | None = None
    raw: NDArray[np.float32] | None = None
    at: float = 0.0


class Loop:
    """Follows the faces of a source's frames and names their expressions, in the caller's thread.

    Attribute waiting: is called a few times a second while a camera or stream gives nothing, with the seconds since the
    last frame; False ends the loop.
    """

    def __init__(
        self,
        source: Source,
        classifier: Classifier,
        detector: Detector | None = None,
        nearby: Detector | None = None,
        max_fps: float | None = None,
        profile: Profile | None = None,
        blur: Blur | None = None,
        interval: float = INTERVAL,
        pace: Pace | None = None,
    ) -> None:
        """detector: of whole frames; nearby: of the region around a known face; RetinaFace's when None.

        max_fps: answers a second of the source's own time at most; frames in between are passed over.
        profile: takes the durations of the stages. blur: makes the faces of every frame that is given unrecognisable.
        interval: seconds between looks at the whole frame. pace: in place of one of `max_fps` and the machine's heat.
        """
        self._profile = profile or Profile()
        self._source = source
        self._classifier = classifier
        self._tracker = Tracker(detector or RetinaFace(), nearby or RetinaFace.nearby(), self._profile, interval)
        self._tracks: list[Track] = []
        self._known: dict[int, Known] = {}
        self._pace = pace or Pace(max_fps, live=source.live)
        self._blur = blur
        self.waiting: OnIdle = always

    def __iter__(self) -> Iterator[tuple[Frame, Result]]:
        """Each frame that is not passed over, with its result. Raises FerError when the source holds no frame."""
        self._profile.looped()
        for frame in self._source.frames(self._pace.is_due, lambda seconds: self.waiting(seconds)):
            result = self.answer(frame)
            if self._blur:
                with self._profile.stage("blur"):
                    boxes = [track.detection.box for track in self._tracks]
                    frame = replace(frame, image=self._blur(frame.image, boxes, frame.at))
            yield frame, result
            self._profile.looped()
            if rest := self._pace.rest():
                time.sleep(rest)

    def answer(self, frame: Frame) -> Result:
        """The faces of one frame that are seen in it, the longest known first."""
        self._tracks = self._tracker(frame)
        self._known = {track.number: self._known.get(track.number) or Known() for track in self._tracks}
        seen = [track for track in self._tracks if frame.at is None or track.seen == frame.at]
        faces = tuple(self._faces(frame, seen)) if seen else ()
        age_ms = (time.monotonic() - frame.captured) * 1e3
        self._profile.answered(age_ms)
        return Result(frame.index, frame.time, age_ms, faces, frame.name)

    def _faces(self, frame: Frame, tracks: list[Track]) -> Iterator[Face]:
        labels = self._classifier.labels
        for track, raw in zip(tracks, self._answers(frame, tracks), strict=True):
            smooth, shown = raw, int(raw.argmax())
            label = labels[shown]
            if frame.at is not None:
                with self._profile.stage("smooth"):
                    smooth, index = self._known[track.number].smoother(raw, frame.at)
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

    def _answers(self, frame: Frame, tracks: list[Track]) -> list[NDArray[np.float32]]:
        """Each track's probabilities, float32 [classes]; crops that changed are classified, as one batch."""
        manifest = self._classifier.manifest
        known = [self._known[track.number] for track in tracks]
        with self._profile.stage("crop"):
            crops = [
                crop(frame.image, d.box, manifest.framing, manifest.size, manifest.colour, tilt(d.landmarks))
                for d in (track.detection for track in tracks)
            ]
            new = [i for i, each in enumerate(known) if _is_new(each, crops[i], frame.at)]
        if new:
            with self._profile.stage("classify"):
                answers = self._classifier(np.stack([crops[i] for i in new]))
            for i, raw in zip(new, answers, strict=True):
                known[i].crop, known[i].raw, known[i].at = crops[i], raw, frame.at or 0.0
        return [each.raw for each in known if each.raw is not None]

    def _by_label(self, probabilities: NDArray[np.float32]) -> dict[str, float]:
        return dict(zip(self._classifier.labels, probabilities.tolist(), strict=True))


def _is_new(known: Known, face: NDArray[np.uint8], at: float | None) -> bool:
    """Whether this crop is to be classified: it is not as the last one of its track, or that was long ago."""
    if known.crop is None or at is None or not 0 <= at - known.at < OLDEST:
        return True
    return difference(known.crop, face) >= UNCHANGED
