"""The loop on a whole video as fast as it goes: what each part costs, how consistent and how steady its labels are."""

import os
import time
from collections import defaultdict
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np

FaceKey = tuple[int, int]  # index of the frame, number of the track
MIN_IOU = 0.5  # of two boxes that are the same face in two runs


class TimedNetwork:
    """A detector or classifier and the CPU seconds that it took; slowed, it runs several times per call."""

    def __init__(self, inner: Any, times: int = 1) -> None:
        self.inner, self.times, self.cpu_s = inner, times, 0.0

    def __call__(self, *inputs: Any) -> Any:
        """What the one inside returns."""
        begin = time.thread_time()
        for _ in range(self.times):
            result = self.inner(*inputs)
        self.cpu_s += time.thread_time() - begin
        return result

    def __getattr__(self, name: str) -> Any:
        return getattr(self.inner, name)


@dataclass
class VideoRun:
    """One run over a whole video."""

    labels: dict[FaceKey, tuple[str, str]] = field(default_factory=dict)
    """Smoothed and raw label of each face in each frame."""
    boxes: dict[FaceKey, tuple[int, int, int, int]] = field(default_factory=dict)
    """x, y, width, height in pixels."""
    frames: int = 0
    fps: float = 0
    """At full speed."""
    networks_ms_per_frame: float = 0
    """CPU time of the networks."""
    rest_ms_per_frame: float = 0
    """CPU time of everything else but capture and decoding."""

    def flips(self) -> tuple[int, int]:
        """Changes of the smoothed and the raw label from one frame of a track to its next; "uncertain" is a label."""
        tracks: dict[int, list[tuple[str, str]]] = defaultdict(list)
        for (_, track), pair in sorted(self.labels.items()):
            tracks[track].append(pair)
        counts = [[sum(a[i] != b[i] for a, b in pairwise(each)) for i in (0, 1)] for each in tracks.values()]
        smoothed, raw = np.sum(counts, axis=0).tolist() if counts else (0, 0)
        return smoothed, raw


def full_speed(video: Path, interval: float) -> VideoRun:
    """The whole file as fast as it goes. interval: seconds between searches of the whole frame.

    With 0 every whole frame is searched, and the detector alone follows the faces: what other runs are held against.
    """
    from fer_runtime.faces.detection import RetinaFace
    from fer_runtime.faces.locating import Locator
    from fer_runtime.model.session import Classifier
    from fer_runtime.outputs.jsonl import JsonLines
    from fer_runtime.pipeline.loop import Loop
    from fer_runtime.sources.factory import open_source
    from fer_runtime.system.profiler import Profile

    parts: list[Any] = [
        TimedNetwork(part)
        for part in (Classifier(), RetinaFace(), RetinaFace.nearby(), Locator(), RetinaFace.proposing())
    ]
    output = JsonLines(os.devnull)
    found, profile = VideoRun(), Profile()
    source = open_source(str(video), profile=profile)
    begin = time.perf_counter()
    classifier, whole, nearby, locator, proposer = parts
    loop = Loop(
        source,
        classifier,
        whole,
        nearby,
        profile=profile,
        interval=interval,
        locator=locator if interval else None,
        proposer=proposer if interval else None,
    )
    for frame, result in loop:
        output.write(frame.image, result)
        for face in result.faces:
            found.labels[frame.index, face.track] = (face.label, face.raw_label)
            found.boxes[frame.index, face.track] = face.box
        found.frames += 1
    found.fps = found.frames / (time.perf_counter() - begin)
    networks_s = sum(part.cpu_s for part in parts)
    found.networks_ms_per_frame = 1e3 * networks_s / found.frames
    found.rest_ms_per_frame = 1e3 * (profile.usage().loop_cpu_seconds - networks_s) / found.frames
    return found


def agreement(one: VideoRun, other: VideoRun) -> tuple[float, float]:
    """Shares of the faces in both runs, matched by their box, whose smoothed and whose raw label is the same."""
    same = [[a == b for a, b in zip(one.labels[i], other.labels[j], strict=True)] for i, j, _ in _matched(one, other)]
    smoothed, raw = np.mean(same, axis=0).tolist() if same else (1.0, 1.0)
    return smoothed, raw


def box_agreement(one: VideoRun, other: VideoRun) -> float:
    """Of the faces in both runs, the 5th percentile of their boxes' intersection over union."""
    shares = [iou for _, _, iou in _matched(one, other)]
    return float(np.percentile(shares, 5)) if shares else 1.0


def _matched(one: VideoRun, other: VideoRun) -> list[tuple[FaceKey, FaceKey, float]]:
    """Each face of one run with that of the other in the same frame whose box overlaps it most, and by how much."""
    from fer_runtime.faces.similarity import overlap

    by_frame: dict[int, list[FaceKey]] = defaultdict(list)
    for key in other.labels:
        by_frame[key[0]].append(key)
    pairs = []
    for key, box in one.boxes.items():
        iou, match = max(((overlap(box, other.boxes[k]), k) for k in by_frame[key[0]]), default=(0.0, key))
        if iou > MIN_IOU:
            pairs.append((key, match, iou))
    return pairs
