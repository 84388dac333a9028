"""The loop on a whole video as fast as it goes: what each part costs, how alike and how steadily it answers."""

import os
import time
from collections import defaultdict
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray


class Timed:
    """A detector or classifier with the CPU seconds that it took, and called several times where it is slowed."""

    def __init__(self, inner: Any, times: int = 1) -> None:
        self.inner, self.times, self.seconds = inner, times, 0.0

    def __call__(self, pixels: NDArray[np.uint8]) -> Any:
        """What the one inside answers."""
        begin = time.thread_time()
        for _ in range(self.times):
            answer = self.inner(pixels)
        self.seconds += time.thread_time() - begin
        return answer

    def __getattr__(self, name: str) -> Any:
        return getattr(self.inner, name)


def full_speed(video: Path, interval: float) -> dict[str, Any]:
    """The whole file as fast as it goes: frames a second, the share of each part, and every answer."""
    from fer_runtime.faces.detection import RetinaFace
    from fer_runtime.model.session import Classifier
    from fer_runtime.outputs.jsonl import JsonLines
    from fer_runtime.pipeline.loop import Loop
    from fer_runtime.sources.factory import open_source
    from fer_runtime.system.profiler import Profile

    parts: list[Any] = [Timed(part) for part in (Classifier(), RetinaFace(), RetinaFace.nearby())]
    output = JsonLines(os.devnull)
    labels: dict[tuple[int, int], tuple[str, str]] = {}
    places: dict[tuple[int, int], tuple[int, ...]] = {}
    frames = 0
    profile = Profile()
    source = open_source(str(video), profile=profile)
    begin = time.perf_counter()
    classifier, whole, nearby = parts
    for frame, result in Loop(source, classifier, whole, nearby, profile=profile, interval=interval):
        output.write(frame.image, result)
        for face in result.faces:
            labels[frame.index, face.track] = (face.label, face.raw_label)
            places[frame.index, face.track] = face.box
        frames += 1
    took = time.perf_counter() - begin
    networks = sum(part.seconds for part in parts)
    rest = profile.plain()["loop_cpu_seconds"] - networks
    return {
        "frames": frames,
        "frames_a_second": frames / took,
        "rest_ms_a_frame": 1e3 * rest / frames,
        "networks_ms_a_frame": 1e3 * networks / frames,
        "labels": labels,
        "places": places,
    }


def agreement(one: dict[str, Any], other: dict[str, Any]) -> tuple[float, float]:
    """Share of the faces in both runs, matched by their box, with the same label, and with the same raw one."""
    from fer_runtime.faces.similarity import overlap

    by_frame: dict[int, list[tuple[int, int]]] = defaultdict(list)
    for key in other["labels"]:
        by_frame[key[0]].append(key)
    same = []
    for key, labels in one["labels"].items():
        box = one["places"][key]
        share, match = max(((overlap(box, other["places"][k]), k) for k in by_frame[key[0]]), default=(0.0, key))
        if share > 0.5:
            same.append([a == b for a, b in zip(labels, other["labels"][match], strict=True)])
    label, raw = np.mean(same, axis=0).tolist() if same else (1.0, 1.0)
    return label, raw


def flips(labels: dict[tuple[int, int], tuple[str, str]]) -> tuple[int, int]:
    """Changes of the label, and of the raw one, between an answer of a track and its next; "uncertain" is one more."""
    tracks: dict[int, list[tuple[str, str]]] = defaultdict(list)
    for (_, track), pair in sorted(labels.items()):
        tracks[track].append(pair)
    counts = [[sum(a[i] != b[i] for a, b in pairwise(each)) for i in (0, 1)] for each in tracks.values()]
    shown, raw = np.sum(counts, axis=0).tolist() if counts else (0, 0)
    return shown, raw
