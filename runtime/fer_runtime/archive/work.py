"""One unit of work, wherever it is done: its files are scored, and their rows are written as unfinished business."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial

import pyarrow as pa
import pyarrow.compute as pc

from fer_runtime.archive.cuts import Span
from fer_runtime.archive.schema import TABLES, to_parquet
from fer_runtime.archive.scoring import Scorer
from fer_runtime.archive.store import Store
from fer_runtime.archive.units import Unit

STAGED = "unfinished"  # folder of units whose part is not complete
Beat = Callable[[int, int, float, int], None]  # takes the file's place in the unit, frames, seconds of video, faces


@dataclass(frozen=True)
class Refusal:
    """Why a file is given up that killed its worker."""

    reason: str
    hashed: bool = True
    """Whether it may be read for its hash."""


@dataclass(frozen=True)
class Counts:
    """What is told of progress."""

    files: int = 0
    failed: int = 0
    video_s: float = 0.0
    frames: int = 0
    faces: int = 0
    bytes: int = 0

    def __add__(self, other: "Counts") -> "Counts":
        return Counts(
            self.files + other.files,
            self.failed + other.failed,
            self.video_s + other.video_s,
            self.frames + other.frames,
            self.faces + other.faces,
            self.bytes + other.bytes,
        )


def score_unit(
    scorer: Scorer, store: Store, unit: Unit, refused: Mapping[str, Refusal], beat: Beat
) -> Counts | list[Unit]:
    """Score a unit's files and write their rows; `sources` last, by which the unit is finished. Raises FerError.

    Of a long video nothing is scored: its pieces are returned, each a unit. refused: files, by name, that are not
    opened again.
    """
    scored = []
    for place, file in enumerate(unit.files):
        beat(place, 0, 0.0, 0)
        report = partial(beat, place)
        if file.name in refused:
            scored.append(scorer.refuse(file, refused[file.name].reason, refused[file.name].hashed, report, unit.span))
            continue
        if len(unit.files) == 1 and not unit.span and (spans := scorer.pieces(file, report)):
            return [replace(unit, span=span) for span in spans]
        scored.append(scorer(file, report, unit.span))
    for name in TABLES:
        table = pa.concat_tables([getattr(each, name) for each in scored])
        store.write(staged_name(unit.id, name), to_parquet(table))
    found = counts(pa.concat_tables([each.sources for each in scored]))
    return found if unit.span is None else _of_piece(found, unit.span)


def _of_piece(found: Counts, span: Span) -> Counts:
    """A piece's counts: its share of the bytes, and the file with the last one."""
    last = span.number == span.count - 1
    return replace(
        found,
        files=int(last),
        failed=found.failed if last else 0,
        video_s=max(0.0, found.video_s - span.begin_s),
        bytes=found.bytes // span.count,
    )


def staged_name(unit_id: str, table: str) -> str:
    """Where a unit's rows of a table lie until its part is complete."""
    return f"{STAGED}/{unit_id}.{table}.parquet"


def counts(sources: pa.Table) -> Counts:
    """Sums over rows of `sources`."""

    def total(name: str) -> float:
        return float(pc.sum(sources[name]).as_py() or 0)

    return Counts(
        files=sources.num_rows,
        failed=sources.num_rows - sources["error"].null_count,
        video_s=total("duration_s"),
        frames=int(total("frames")),
        faces=int(total("faces")),
        bytes=int(pc.sum(pc.max_element_wise(sources["bytes"], 0)).as_py() or 0),
    )
