"""The loop: frame -> tracks -> crops -> one batch through the classifier -> smoothing -> result."""

import time
from collections.abc import Iterator
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from fer_runtime.faces.anonymize import Blur
from fer_runtime.faces.detection import Detector, RetinaFace
from fer_runtime.faces.locating import Locator
from fer_runtime.faces.searching import DEFAULT_INTERVAL_S
from fer_runtime.faces.similarity import difference
from fer_runtime.faces.state import FaceState
from fer_runtime.faces.tracking import Tracker
from fer_runtime.model.preprocessing import crop, tilt
from fer_runtime.model.session import Classifier
from fer_runtime.pipeline.pacing import Pace
from fer_runtime.sources.base import OnIdle, Source, always
from fer_runtime.system.profiler import Profile
from fer_runtime.types import UNCERTAIN, Face, Frame, Result, new_run_id

UNCHANGED = 3.0  # mean difference of two crops' pixels, 0..255, under which a face is not classified again
MAX_AGE_S = 1.0  # of a face's probabilities, after which it is in any case


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
        blur: Blur | None = None,
        interval: float = DEFAULT_INTERVAL_S,
        pace: Pace | None = None,
        on_idle: OnIdle = always,
        locator: Locator | None = None,
        proposer: Detector | None = None,
    ) -> None:
        """detector: of whole frames; nearby: of the region around a known face; RetinaFace's when None.

        locator: follows faces between the detectors' looks. proposer: searches frames for places where faces may be,
        at which `nearby` looks. When None, the package's own do so where `nearby` is a RetinaFace, of which the locator
        has learned where a face is, and `interval` is not 0; else `nearby` and `detector` do.

        max_fps: frames per second of the source's own time at most; frames in between are passed over.
        profile: takes the durations of the stages. blur: makes the faces of every frame that is given unrecognisable.
        interval: seconds between searches of the whole frame. pace: in place of one of `max_fps` and of the machine's
        heat. on_idle: called a few times per second while a camera or stream gives nothing, with the seconds since the
        last frame; False ends the loop.
        """
        self._profile = profile or Profile()
        self._source = source
        self._classifier = classifier
        detector, nearby = detector or RetinaFace(), nearby or RetinaFace.nearby()
        if interval and isinstance(nearby, RetinaFace):
            locator, proposer = locator or Locator(), proposer or RetinaFace.proposing(nearby.threads)
        self._tracker = Tracker(detector, nearby, self._profile, interval, locator, proposer, source.live)
        self._faces: list[FaceState] = []
        self._pace = pace or Pace(max_fps, live=source.live)
        self._blur = blur
        self._on_idle = on_idle
        self._run = new_run_id()

    def __iter__(self) -> Iterator[tuple[Frame, Result]]:
        """Each frame that is not passed over, with its result. Raises FerError when the source holds no frame.

        A live source's frame may be searched for further faces when the next one is asked for: draw on a copy.
        """
        self._profile.mark_loop()
        for frame in self._source.frames(self._pace.is_due, self._on_idle):
            result = self._answer(frame)
            shown = frame
            if self._blur:
                with self._profile.stage("blur"):
                    boxes = [face.detection.box for face in self._faces]
                    shown = replace(frame, image=self._blur(frame.image, boxes, frame.at))
            yield shown, result
            self._tracker.look_around(frame)
            self._profile.mark_loop()
            if rest := self._pace.rest():
                time.sleep(rest)

    def process(self, frame: Frame) -> Result:
        """The faces that are seen in one frame, the longest known first."""
        result = self._answer(frame)
        self._tracker.look_around(frame)
        return result

    def _answer(self, frame: Frame) -> Result:
        self._faces = self._tracker(frame)
        seen = [face for face in self._faces if frame.at is None or face.seen == frame.at]
        if seen:
            self._classify(frame, seen)
        with self._profile.stage("smooth"):
            faces = tuple(self._face(state, frame.at) for state in seen)
        age_ms = (time.monotonic() - frame.captured) * 1e3
        self._profile.count_result(age_ms)
        return Result(frame.index, frame.time, age_ms, faces, frame.name, frame.at, frame.media_time, self._run)

    def _classify(self, frame: Frame, states: list[FaceState]) -> None:
        """Bring the faces' probabilities up to date: those whose crop changed are classified, as one batch."""
        manifest = self._classifier.manifest
        with self._profile.stage("crop"):
            crops = [
                crop(frame.image, d.box, manifest.framing, manifest.size, manifest.colour, tilt(d.landmarks))
                for d in (state.detection for state in states)
            ]
            new = [i for i, state in enumerate(states) if _is_new(state, crops[i], frame.at)]
        if new:
            with self._profile.stage("classify"):
                batch = self._classifier(np.stack([crops[i] for i in new]))
            for i, probabilities in zip(new, batch, strict=True):
                states[i].crop, states[i].probabilities, states[i].classified = crops[i], probabilities, frame.at or 0.0

    def _face(self, state: FaceState, at: float | None) -> Face:
        """The result for one face; its probabilities are smoothed where the frame has a time."""
        labels, raw = self._classifier.labels, state.probabilities
        assert raw is not None  # _classify came before
        smooth, best = raw, int(raw.argmax())
        label = labels[best]
        if at is not None:
            smooth, index = state.smoother(raw, at)
            label = UNCERTAIN if index is None else labels[index]
        x, y, width, height = (round(value) for value in state.detection.box)
        return Face(
            state.number,
            (x, y, width, height),
            state.detection.score,
            label,
            self._by_label(smooth),
            labels[best],
            self._by_label(raw),
        )

    def _by_label(self, probabilities: NDArray[np.float32]) -> dict[str, float]:
        return dict(zip(self._classifier.labels, probabilities.tolist(), strict=True))


def _is_new(state: FaceState, face: NDArray[np.uint8], at: float | None) -> bool:
    """Whether this crop is to be classified: it is not as the face's last one, or that was long ago."""
    if state.crop is None or at is None or not 0 <= at - state.classified < MAX_AGE_S:
        return True
    return difference(state.crop, face) >= UNCHANGED
