"""What is finished: read from the dataset itself, so that no second record can contradict it."""

import hashlib
import json
from dataclasses import asdict, dataclass, field
from pathlib import PurePath
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from fer_runtime.archive import remote
from fer_runtime.archive.inputs import SourceFile
from fer_runtime.archive.joining import join
from fer_runtime.archive.pool import Limits
from fer_runtime.archive.schema import SCHEMA, TABLES, from_parquet, to_parquet
from fer_runtime.archive.scoring import Scored
from fer_runtime.archive.store import Store
from fer_runtime.archive.units import Part, plan
from fer_runtime.archive.work import STAGED, staged_name
from fer_runtime.errors import FerError

SETTINGS = "dataset.json"
CSV_FILES = {table: f"{table}.csv" for table in TABLES}
STATE = ["source", "sha256", "bytes", "modified_ns"]  # the columns of `sources` by which a file is known again
KEPT = [*STATE, "kind", "duration_s", "faces", "error"]  # and those that are summed up at the end


@dataclass(frozen=True)
class Settings:
    """What a dataset's rows depend on, beside the files; all rows of one dataset agree in it."""

    version: str  # of fer-edge, whose loop may find other faces in the next one
    model_sha256: str
    labels: tuple[str, ...]
    detector_sha256: str | None
    max_fps: float | None
    max_frames: int | None

    def differences(self, other: dict[str, Any]) -> list[str]:
        """The names of the settings in which a dataset differs, as plain data."""
        mine = json.loads(json.dumps(asdict(self)))
        return [name for name, value in mine.items() if other.get(name) != value]


@dataclass(frozen=True)
class Summary:
    """Some files in a dataset."""

    videos: int
    """Without an error."""
    pictures: int
    """Without an error."""
    video_s: float
    """Seconds of video."""
    faces: int
    """Rows of `faces`."""
    errors: dict[str, str]
    """What is wrong, by source."""


@dataclass
class Ledger:
    """Which files a dataset holds, in which state."""

    store: Store
    parts: dict[str, pa.Table] = field(default_factory=dict)
    """By name, the columns KEPT of its sources."""

    def take(self, name: str, sources: pa.Table) -> None:
        """Take note of a part. sources: its rows of `sources`."""
        self.parts[name] = sources.select(KEPT)

    def summary(self, files: list[SourceFile]) -> "Summary":
        """What the dataset holds of these files."""
        names = pa.array([file.shown for file in files], pa.string())
        rows = pa.concat_tables([*self.parts.values()])
        rows = rows.filter(pc.is_in(rows["source"], names))
        failed = rows.filter(pc.is_valid(rows["error"]))
        kinds = rows.filter(pc.is_null(rows["error"]))["kind"].to_pylist()
        return Summary(
            videos=kinds.count("video"),
            pictures=kinds.count("picture"),
            video_s=pc.sum(rows["duration_s"]).as_py() or 0.0,
            faces=pc.sum(rows["faces"]).as_py() or 0,
            errors=dict(zip(failed["source"].to_pylist(), failed["error"].to_pylist(), strict=True)),
        )

    def finished(self) -> dict[str, tuple[str | None, int, int]]:
        """By source: hash, bytes and time of change, of every file that has its rows."""
        return {
            source: (sha256, size, modified_ns)
            for table in self.parts.values()
            for source, sha256, size, modified_ns in zip(*(table[name].to_pylist() for name in STATE), strict=True)
        }

    def given_up(self, limits: Limits) -> set[str]:
        """The sources that were given up by narrower limits than these."""
        failed = pa.concat_tables([*self.parts.values()]).filter(pc.field("error").is_valid()) if self.parts else None
        pairs = zip(failed["source"].to_pylist(), failed["error"].to_pylist(), strict=True) if failed else ()
        return {source for source, error in pairs if limits.allow_more(error)}


def open_ledger(store: Store, settings: Settings) -> Ledger:
    """The ledger of a dataset, which is begun where there is none; what a killed run left half done is put right.

    Raises FerError for a dataset of other settings, and for a folder with something else in it.
    """
    _agree(store, settings)
    for folder in (*TABLES, STAGED):
        store.tidy(folder)
    ledger = Ledger(store)
    for name in store.names("sources"):
        ledger.parts[PurePath(name).stem] = from_parquet(store.read(name), KEPT)
    for table in ("faces", "tracks"):  # a part is there when its sources are, which are written last
        for name in store.names(table):
            if PurePath(name).stem not in ledger.parts:
                store.remove(name)
    return ledger


def _agree(store: Store, settings: Settings) -> None:
    try:
        found = json.loads(store.read(SETTINGS))
    except FileNotFoundError:
        if any(store.names(table) for table in TABLES):
            raise FerError(f"{store.place} holds results without {SETTINGS}: give another --out") from None
        if theirs := [name for name in CSV_FILES.values() if store.has(name)]:
            raise FerError(
                f"{store.place} holds a {theirs[0]}, which --csv would write over: give another --out"
            ) from None
        plain = {"schema": SCHEMA} | asdict(settings)
        store.write(SETTINGS, (json.dumps(plain, indent=2) + "\n").encode())
        return
    except ValueError:
        raise FerError(f"{store.place}/{SETTINGS} is damaged: give another --out") from None
    if not isinstance(found, dict) or found.get("schema") != SCHEMA:
        raise FerError(f"{store.place} holds results of another version of fer-score: give another --out")
    if differing := settings.differences(found):
        names = ", ".join(name.replace("_sha256", "") for name in differing)
        raise FerError(f"{store.place} holds results of another {names}: give another --out, or the same options")


def pending(ledger: Ledger, files: list[SourceFile], limits: Limits) -> list[SourceFile]:
    """Those files that have no rows of their present state, or rows of narrower limits; their old rows are removed."""
    finished = ledger.finished()
    again = ledger.given_up(limits)
    left, stale = [], set()
    for file in files:
        known = finished.get(file.shown)
        if known is None or file.shown in again or not _is_same(file, known):
            left.append(file)
            if known is not None:
                stale.add(file.shown)
    if stale:
        _remove_rows(ledger, stale)
    return left


def _is_same(file: SourceFile, known: tuple[str | None, int, int]) -> bool:
    """Whether a file is as it was: by size and time of change, or else by its content."""
    sha256, size, modified_ns = known
    if sha256 is None:  # it could not be read
        return False
    if (file.size, file.modified_ns) == (size, modified_ns):
        return True
    if file.size != size or remote.is_url(file.name):
        return False
    try:
        with open(file.name, "rb") as opened:
            return hashlib.file_digest(opened, "sha256").hexdigest() == sha256
    except OSError:
        return False


def _remove_rows(ledger: Ledger, stale: set[str]) -> None:
    """Remove all rows of some sources. At any moment that this is cut short, they still count as not finished."""
    gone = pa.array(sorted(stale), pa.string())
    for name, known in ledger.parts.items():
        if not pc.any(pc.is_in(known["source"], gone)).as_py():
            continue
        sources = from_parquet(ledger.store.read(f"sources/{name}.parquet"))
        hit = pc.is_in(sources["source"], gone)
        unhashed = pc.if_else(hit, pa.scalar(None, pa.string()), sources["sha256"])
        marked = sources.set_column(sources.schema.get_field_index("sha256"), "sha256", unhashed)
        ledger.store.write(
            f"sources/{name}.parquet", to_parquet(marked.replace_schema_metadata(sources.schema.metadata))
        )
        for table in ("faces", "tracks"):
            rows = from_parquet(ledger.store.read(f"{table}/{name}.parquet"))
            kept = rows.filter(pc.invert(pc.is_in(rows["source"], gone)))
            ledger.store.write(f"{table}/{name}.parquet", to_parquet(kept))
        kept = sources.filter(pc.invert(hit))
        ledger.store.write(f"sources/{name}.parquet", to_parquet(kept))
        ledger.take(name, kept)


def staged_units(store: Store) -> set[str]:
    """Ids of the units whose rows are written and in no part yet."""
    return {PurePath(name).name.split(".")[0] for name in store.names(STAGED) if name.endswith(".sources.parquet")}


def merge(store: Store, name: str, units: list[list[str]]) -> pa.Table:
    """Write a part out of its units' rows, `sources` last, and remove those; -> its rows of `sources`.

    units: ids; those of one video's pieces together, all others by themselves.
    """
    joined = {ids[0]: _joined(store, ids) for ids in units if "-" in ids[0]}
    sources = None
    for table in TABLES:
        sources = pa.concat_tables(
            getattr(joined[first], table) if first in joined else from_parquet(store.read(staged_name(first, table)))
            for first, *_ in units
        )
        store.write(f"{table}/{name}.parquet", to_parquet(sources))
    for unit_id in (unit_id for ids in units for unit_id in ids):
        remove_staged(store, unit_id)
    assert sources is not None
    return sources


def _joined(store: Store, pieces: list[str]) -> Scored:
    """The rows of a long video out of its pieces'."""
    return join([Scored(*(from_parquet(store.read(staged_name(piece, name))) for name in TABLES)) for piece in pieces])


def remove_staged(store: Store, unit_id: str) -> None:
    """Remove a unit's rows; `sources` first, without which it counts as not begun."""
    for table in reversed(TABLES):
        store.remove(staged_name(unit_id, table))


def plan_rest(ledger: Ledger, files: list[SourceFile], limits: Limits) -> tuple[list[Part], set[str]]:
    """The parts that `files` still need, and the ids of their units that are scored already.

    Units that an earlier run scored and that are cut otherwise now, as where files came or went, become a part at once.
    """
    left = pending(ledger, files, limits)
    parts = plan(left, ledger.parts)
    staged = staged_units(ledger.store)
    planned = {unit.id for part in parts for unit in part.units}
    strangers = {unit_id for unit_id in staged if unit_id.partition("-")[0] not in planned}
    if strangers:
        _adopt(ledger, strangers, left)
        left = pending(ledger, files, limits)
        parts = plan(left, ledger.parts)
    return parts, staged - strangers


def _adopt(ledger: Ledger, strangers: set[str], left: list[SourceFile]) -> None:
    """Make a part of units that no plan has, but for those with a file that is finished or has changed since."""
    state = {file.shown: (file.size, file.modified_ns) for file in left}
    finished = ledger.finished()
    taken: dict[str, str] = {}  # the unit that has a source
    for unit_id in sorted(strangers):
        if "-" in unit_id:  # a piece of a video that has changed or gone
            remove_staged(ledger.store, unit_id)
            continue
        table = from_parquet(ledger.store.read(staged_name(unit_id, "sources")), STATE)
        rows = list(zip(*(table[name].to_pylist() for name in STATE), strict=True))
        fits = all(
            source not in finished and source not in taken and state.get(source, (size, modified)) == (size, modified)
            for source, _, size, modified in rows
        )
        if fits:
            taken |= dict.fromkeys((row[0] for row in rows), unit_id)
        else:
            remove_staged(ledger.store, unit_id)
    if taken:
        name = plan([SourceFile("")], ledger.parts)[0].name
        units = [[unit] for unit in dict.fromkeys(unit for _, unit in sorted(taken.items()))]
        ledger.take(name, merge(ledger.store, name, units))


def sweep(store: Store) -> None:
    """Remove all unfinished business, where there is none: what a killed merge left to be removed."""
    for name in store.names(STAGED):
        store.remove(name)
