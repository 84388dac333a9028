"""What is handed to a worker at a time, and what becomes one part of the dataset; neither depends on the machine."""

import hashlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from math import inf

from fer_runtime.archive.cuts import Span
from fer_runtime.archive.inputs import SourceFile

UNIT_FILES, UNIT_BYTES = 64, 32 * 2**20  # about half a minute of work at most, unless one file is longer
ALONE_BYTES = 8 * 2**20  # from which a file is a unit by itself: it may be a long video, which is cut into pieces
PART_FILES, PART_BYTES = 4096, 4 * 2**30  # a part's Parquet files have some MB


@dataclass(frozen=True)
class Unit:
    """Some files that one worker scores, one after the other."""

    files: tuple[SourceFile, ...]
    """In the order of their names."""
    span: Span | None = None
    """Of its only file, where that is a piece of a long video."""

    @property
    def id(self) -> str:
        """The same for the same files in the same state; a piece's begins with its video's."""
        text = "\n".join(f"{file.shown}\t{file.size}\t{file.modified_ns}" for file in self.files)
        whole = hashlib.sha256(text.encode()).hexdigest()[:16]
        return f"{whole}-{self.span.number:03}" if self.span else whole

    @property
    def bytes(self) -> int:
        """Of its files."""
        return sum(max(0, file.size) for file in self.files)


@dataclass(frozen=True)
class Part:
    """Units whose rows become one Parquet file in each table."""

    name: str
    """As in `faces/NAME.parquet`."""
    units: tuple[Unit, ...]
    """In the order of their files."""


def plan(files: Iterable[SourceFile], taken: Iterable[str]) -> list[Part]:
    """The parts of a sorted list of files. taken: names of parts that are there already.

    The first part ends where it is full, whatever follows. So an interrupted run's rest is cut where the whole was.
    """
    names = _free_names(set(taken))
    return [
        Part(name, tuple(Unit(tuple(unit)) for unit in _filled(part, UNIT_FILES, UNIT_BYTES, ALONE_BYTES)))
        for name, part in zip(names, _filled(files, PART_FILES, PART_BYTES), strict=False)
    ]


def _free_names(taken: set[str]) -> Iterator[str]:
    number = 0
    while True:
        name = f"part-{number:06}"
        if name not in taken:
            yield name
        number += 1


def _filled(files: Iterable[SourceFile], max_files: int, max_bytes: int, alone: float = inf) -> list[list[SourceFile]]:
    """Runs of neighbours: a run ends before the file with which it would hold more than either.

    alone: bytes from which a file is a run by itself.
    """
    runs: list[list[SourceFile]] = []
    size = 0
    for file in files:
        full = not runs or len(runs[-1]) == max_files or size + file.size > max_bytes
        if full or file.size >= alone or runs[-1][-1].size >= alone:
            runs.append([])
            size = 0
        runs[-1].append(file)
        size += max(0, file.size)
    return runs
