"""What a system's answers are worth: faces by eye that it has, and how steady its labels are."""

from itertools import pairwise
from typing import Any

from fer_benchmarks.pipeline.faces_by_eye import MIN_IOU, Seen, compare, drawn
from fer_benchmarks.pipeline.throughput import VideoRun
from fer_runtime.errors import FerError
from fer_runtime.faces.similarity import overlap

Answers = list[list[dict[str, Any]]]


def seen(answers: Answers, video: str) -> Seen | None:
    """Its faces beside those by eye; None for a video whose faces nobody drew."""
    try:
        faces = drawn(video)
    except FerError:
        return None
    boxes = {(frame, number): face["box"] for frame, all_ in enumerate(answers) for number, face in enumerate(all_)}
    return compare(VideoRun(boxes=boxes, frames=len(answers)), faces)


def label_changes(answers: Answers) -> tuple[int, int]:
    """How many labels differ from the one of the same face a frame before, and of how many.

    The same face, for every system: of the boxes of two frames in a row, the pair that overlaps most (by 0.3 at least)
    is one face, then the next pair of those left, and so on. A system's own numbers of faces are not used.
    """
    changed = pairs = 0
    for before, now in pairwise(answers):
        ranked = sorted(
            ((overlap(a["box"], b["box"]), i, j) for i, a in enumerate(before) for j, b in enumerate(now)), reverse=True
        )
        taken: set[tuple[str, int]] = set()
        for iou, i, j in ranked:
            if iou >= MIN_IOU and not taken & {("before", i), ("now", j)}:
                taken |= {("before", i), ("now", j)}
                pairs += 1
                changed += before[i]["label"] != now[j]["label"]
    return changed, pairs
