"""The pieces of a long video put together: tracks go on across the cuts, and what was scored twice counts once."""

from collections import Counter

import numpy as np
from numpy.typing import NDArray

from fer_runtime.archive.rows import Columns, read_piece
from fer_runtime.archive.scoring import Scored, source_row
from fer_runtime.faces.similarity import overlap

MIN_OVERLAP = 0.5  # intersection over union of one face in the same frame of two pieces
COMMON_S = 2.0  # before a cut, in which tracks are compared


def join(pieces: list[Scored]) -> Scored:
    """One source's rows out of its pieces', in their order."""
    rows = [piece.sources.to_pylist()[0] for piece in pieces]
    errors = [row["error"] for row in rows if row["error"]]
    columns, begins = zip(*(read_piece(piece.faces) for piece in pieces), strict=True)
    if errors:
        columns = tuple(each.where(np.zeros(len(each.track), np.bool_)) for each in columns)
    joined = columns[0]
    for begin, piece in zip(begins[1:], columns[1:], strict=True):
        joined = joined.followed_by(_continued(joined, piece, begin))
    source = rows[0]["source"]
    row = rows[0] | {
        "sha256": rows[0]["sha256"] if all(row["sha256"] for row in rows) else None,
        "frames": 0 if errors else sum(row["frames"] for row in rows),
        "faces": len(joined.track),
        "tracks": len(np.unique(joined.track)),
        "duration_s": None if errors else rows[-1]["duration_s"],
        "cpu_s": sum(row["cpu_s"] or 0.0 for row in rows),
        "error": errors[0] if errors else None,
        "notes": "; ".join(row["notes"] for row in rows if row["notes"]) or None,
    }
    return Scored(joined.faces(source), joined.tracks(source), source_row(row, tuple(joined.labels)))


def _continued(before: Columns, piece: Columns, begin: float) -> Columns:
    """A piece's rows from `begin` on, with the numbers that its tracks have in the pieces before it."""
    number = _same_tracks(before, piece, begin)
    after = piece.where(piece.times >= begin)
    highest = int(before.track.max(initial=0))
    for track in dict.fromkeys(after.track.tolist()):  # by first appearance
        if track not in number:
            highest += 1
            number[track] = highest
    after.track = np.array([number[track] for track in after.track.tolist()], np.int32)
    order = np.lexsort((after.track, after.frame))
    return after.where(order)


def _same_tracks(before: Columns, piece: Columns, begin: float) -> dict[int, int]:
    """Which track of before each of the piece's is: the pairs that lie on each other in most frames first."""
    common: Counter[tuple[int, int]] = Counter()
    earlier = before.where((before.times >= begin - COMMON_S) & (before.times < begin))
    later = piece.where((piece.times >= begin - COMMON_S) & (piece.times < begin))
    for i in range(len(later.track)):
        for j in np.flatnonzero(earlier.frame == later.frame[i]).tolist():
            if overlap(_box(later.box[i]), _box(earlier.box[j])) >= MIN_OVERLAP:
                common[int(later.track[i]), int(earlier.track[j])] += 1
    number: dict[int, int] = {}
    for (mine, known), _ in common.most_common():
        if mine not in number and known not in number.values():
            number[mine] = known
    return number


def _box(row: NDArray[np.int32]) -> tuple[float, float, float, float]:
    x, y, width, height = row.tolist()
    return x, y, width, height
