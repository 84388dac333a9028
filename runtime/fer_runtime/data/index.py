"""Which images a folder, zip or csv holds, and the split and class of each; nothing is decoded or unpacked."""

import contextlib
import zipfile
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import IO

from fer_runtime.data import fer2013_csv, layout
from fer_runtime.data.folder_names import SPLITS, Split
from fer_runtime.data.listing import Listing, kinds, listed
from fer_runtime.errors import FerError

__all__ = ["SPLITS", "Entry", "Index", "Split", "images", "opened"]

IMAGEFOLDER_ORDER = "in ImageFolder's order"
CSV_ORDER = "in the order of the csv's numbers"


@dataclass(frozen=True)
class Entry:
    """One image."""

    path: PurePosixPath
    """Inside the data."""
    folder: Split
    """The split its folder names."""
    label: str
    """Its class."""
    inside: str
    """Its path inside the class folder, mostly the file's name."""
    read: Callable[[], bytes]
    """Gives the file's bytes."""

    @property
    def split(self) -> Split:
        """Its split: in a test folder FER2013's file names decide, PublicTest_* is validation."""
        return "valid" if self.folder == "test" and self.path.name.startswith("PublicTest_") else self.folder

    @property
    def name(self) -> str:
        """`folder/class/file`, the folder being train, valid or test: file names alone are not unique."""
        return f"{self.folder}/{self.label}/{self.inside}"


@dataclass(frozen=True)
class Index:
    """What a dataset holds."""

    entries: list[Entry]
    """Its images: a folder's and a zip's in the order of their paths, a csv's in that of its rows."""
    classes: tuple[str, ...]
    """The labels, in the data's own order."""
    order: str
    """What order that is, in words."""
    understood: str
    """In one sentence: which folders are which split, how many images, which classes."""
    notes: tuple[str, ...]
    """What was passed over."""


@contextlib.contextmanager
def images(path: Path) -> Iterator[Listing]:
    """All images of a folder or zip, in whatever folders, and what else lies there; readable while the context is open.

    Raises FerError for a missing, empty, encrypted or hostile input.
    """
    with _sentences(path), listed(path) as found:
        if not found.images:
            raise FerError(f"{path} holds no images: expected a folder or zip with some{kinds(found.others)}")
        yield found


@contextlib.contextmanager
def opened(path: Path) -> Iterator[Index]:
    """The images of a folder, zip, csv, or of the csv in one of these or in a tar; readable while the context is open.

    Raises FerError for a missing, empty, encrypted or hostile input, for folders that can be read in two ways
    (fer_runtime.data.layout), and for a class that train lacks.
    """
    with _sentences(path):
        if path.suffix.lower() == ".csv" and path.is_file():
            with path.open("rb") as stream:
                yield _of_table(path, PurePosixPath(), stream, ())
        else:
            with listed(path) as found:
                yield _of_images(path, found) if found.images else _of_archived_table(path, found)


@contextlib.contextmanager
def _sentences(path: Path) -> Iterator[None]:
    try:
        yield
    except (OSError, NotImplementedError, UnicodeDecodeError, zipfile.BadZipFile) as error:
        name = getattr(error, "filename", None) or path
        raise FerError(f"cannot read {name}: {getattr(error, 'strerror', None) or error}") from error


def _of_images(path: Path, found: Listing) -> Index:
    understood = layout.understood(path, [inside for inside, _ in found.images])
    entries, strays = [], []
    for (inside, read), place in zip(found.images, understood.places, strict=True):
        if place is None:
            strays.append(inside)
        else:
            entries.append(Entry(inside, place.split, place.label, place.inside, read))
    _check_trained(path, entries)
    notes = _notes(found, entries, strays)
    folders = [f"{folder} is {split}" for folder, split in understood.splits.items() if folder != split]
    if any(entry.split != entry.folder for entry in entries):
        folders.append("PublicTest_* in test is valid")
    head = f"{path.resolve().name}/{understood.wrapper}".rstrip("/")
    classes = tuple(sorted({entry.label for entry in entries}))
    return _index(entries, classes, IMAGEFOLDER_ORDER, head, folders, notes)


def _of_archived_table(path: Path, found: Listing) -> Index:
    """The csv in a folder, zip or tar. Raises FerError where there is none, or several that may be meant."""
    tables = {}
    for inside, read in found.others:
        if inside.suffix.lower() == ".csv":
            with read() as stream:
                if columns := fer2013_csv.columns_of(stream):
                    tables[inside] = (read, columns)
    if not tables:
        raise FerError(
            f"{path} holds no images: expected class folders with images, such as train/happy/1.jpg, or fer2013.csv"
            f"{kinds(found.others)}"
        )
    chosen = [inside for inside, (_, columns) in tables.items() if columns & set(fer2013_csv.USAGE)] or list(tables)
    if len(chosen) > 1:
        raise FerError(f"{path} holds {len(chosen)} tables of faces ({', '.join(map(str, chosen))}): give one of them")
    passed = [f"{inside} was passed over: it does not say which rows are for training" for inside in tables]
    notes = tuple(note for inside, note in zip(tables, passed, strict=True) if inside != chosen[0])
    with tables[chosen[0]][0]() as stream:
        return _of_table(path, chosen[0], stream, notes)


def _of_table(path: Path, inside: PurePosixPath, stream: IO[bytes], notes: tuple[str, ...]) -> Index:
    """The csv at `path`, or at `inside` in what lies there."""
    rows = fer2013_csv.rows(path / inside, stream)
    entries = [
        Entry(PurePosixPath(row.folder, row.label, row.file), row.folder, row.label, row.file, row.read) for row in rows
    ]
    _check_trained(path, entries)
    present = {row.label for row in rows}
    classes = tuple(label for label in fer2013_csv.CLASSES if label in present)
    return _index(entries, classes, CSV_ORDER, str(path.resolve().name / inside), [], notes)


def _index(
    entries: list[Entry], classes: tuple[str, ...], order: str, head: str, folders: list[str], notes: tuple[str, ...]
) -> Index:
    counts = Counter(entry.split for entry in entries)
    found = ", ".join(f"{counts[split]} {split}" for split in SPLITS if counts[split])
    read_as = f" ({', '.join(folders)})" if folders else ""
    understood = f"{head}: {found}{read_as}; {len(classes)} classes {order}: {', '.join(classes)}"
    return Index(entries, classes, order, understood, notes)


def _notes(found: Listing, entries: list[Entry], strays: list[PurePosixPath]) -> tuple[str, ...]:
    """What of a folder or zip is not read, for the user."""
    notes = []
    if strays:
        notes.append(f"{len(strays)} images outside class folders were passed over (first: {strays[0]})")
    filled = {(entry.path.parent, entry.inside.count("/")) for entry in entries}  # with its depth in the class folder
    classes = {(folder, *folder.parents)[depth] for folder, depth in filled}
    above = {parent for folder in classes for parent in folder.parents}
    if unknown := [file for file in found.others if file[0].parent not in above]:
        notes.append(f"{len(unknown)} files of other kinds were passed over{kinds(unknown)} (first: {unknown[0][0]})")
    shown = {inside.parent for inside, _ in found.images}
    shown |= {parent for folder in shown | found.folders for parent in folder.parents}
    if empty := sorted(found.folders - shown):
        notes.append(f"{len(empty)} folders without images were passed over (first: {empty[0]})")
    if found.loops:
        notes.append(f"{len(found.loops)} links to a folder around them were not followed (first: {found.loops[0]})")
    for inside, read in found.others:
        if inside.suffix.lower() == ".csv":
            with read() as stream:
                if fer2013_csv.columns_of(stream):
                    notes.append(f"{inside} was passed over, as there are images: to read it, give it by itself")
    return tuple(notes)


def _check_trained(path: Path, entries: list[Entry]) -> None:
    """Raise FerError for a class that is tested and never trained."""
    trained = {entry.label for entry in entries if entry.folder == "train"}
    for entry in entries:
        if trained and entry.label not in trained:
            raise FerError(
                f"class {entry.label!r} of {path} stands in {entry.folder} but not in train: name the folders alike"
            )
