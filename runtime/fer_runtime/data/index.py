"""Which images a folder, zip or csv holds, and the split and class of each; nothing is decoded or unpacked."""

import contextlib
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

from fer_runtime.data import fer2013_csv
from fer_runtime.data.decode import IMAGE_SUFFIXES
from fer_runtime.errors import FerError

Split = str
SPLITS: tuple[Split, ...] = ("train", "valid", "test")
SPLIT_OF_FOLDER = {
    **dict.fromkeys(("train", "training"), "train"),
    **dict.fromkeys(("val", "valid", "validation"), "valid"),
    **dict.fromkeys(("test", "testing"), "test"),
}
LARGEST_IMAGE = 32 * 2**20  # bytes in the file; anything larger is no face crop


@dataclass(frozen=True)
class Entry:
    """One image. path: inside the data; folder: the split its folder names; label: its class; read: gives its bytes."""

    path: PurePosixPath
    folder: Split
    label: str
    read: Callable[[], bytes]

    @property
    def split(self) -> Split:
        """Its split: in a test folder FER2013's file names decide, PublicTest_* is validation."""
        return "valid" if self.folder == "test" and self.path.name.startswith("PublicTest") else self.folder

    @property
    def name(self) -> str:
        """`folder/class/file`, the folder being train, valid or test: file names alone are not unique."""
        return f"{self.folder}/{self.label}/{self.path.name}"


Image = tuple[PurePosixPath, Callable[[], bytes]]  # its path inside the data, and what gives its bytes


@dataclass
class _Found:
    images: list[Image] = field(default_factory=list)
    folders: set[PurePosixPath] = field(default_factory=set)


@contextlib.contextmanager
def images(path: Path) -> Iterator[list[Image]]:
    """All images of a folder or zip, in whatever folders, in the order of their names: path inside it, and its reader.

    They are readable while the context is open. Raises FerError for a missing, empty, encrypted or hostile input.
    """
    try:
        with _unplaced(path) as found:
            if not found.images:
                raise FerError(f"{path} holds no images: expected a folder or zip with some")
            yield found.images
    except (OSError, NotImplementedError, UnicodeDecodeError, zipfile.BadZipFile) as error:
        raise FerError(f"cannot read {path}: {getattr(error, 'strerror', None) or error}") from error


@contextlib.contextmanager
def opened(path: Path) -> Iterator[list[Entry]]:
    """The images of a folder or zip, in the order of their names, or of Kaggle's fer2013.csv, in that of its rows.

    They are readable while the context is open.
    Raises FerError for a missing, empty, encrypted or hostile input, an empty class, or a class that train lacks.
    """
    try:
        with _unplaced(path) as found:
            yield _placed(path, found)
    except (OSError, NotImplementedError, UnicodeDecodeError, zipfile.BadZipFile) as error:
        raise FerError(f"cannot read {path}: {getattr(error, 'strerror', None) or error}") from error


@contextlib.contextmanager
def _unplaced(path: Path) -> Iterator[_Found]:
    """What `opened` finds, before its place."""
    if path.is_dir():
        yield _in_folder(path)
    elif not path.exists():
        raise FerError(f"{path} does not exist: expected a folder or zip of images in class folders, or fer2013.csv")
    elif path.suffix.lower() == ".csv" and path.is_file():
        yield _Found(fer2013_csv.images(path))
    elif not path.is_file() or not zipfile.is_zipfile(path):
        raise FerError(
            f"{path} is neither a folder nor a complete zip file nor a .csv: expected images in class folders"
        )
    else:
        with zipfile.ZipFile(path) as archive:
            yield _in_zip(path, archive)


def _in_folder(root: Path) -> _Found:
    found = _Found()
    for file in sorted(root.rglob("*")):
        inside = PurePosixPath(file.relative_to(root).as_posix())
        if _ignored(inside):
            continue
        if file.is_dir():
            found.folders.add(inside)
        elif inside.suffix.lower() in IMAGE_SUFFIXES and file.is_file():
            small = file.stat().st_size <= LARGEST_IMAGE
            found.images.append((inside, file.read_bytes if small else bytes))
    return found


def _in_zip(path: Path, archive: zipfile.ZipFile) -> _Found:
    found = _Found()
    for member in sorted(archive.infolist(), key=lambda m: m.filename):
        inside = PurePosixPath(member.filename.replace("\\", "/"))
        if inside.is_absolute() or ".." in inside.parts:
            raise FerError(
                f"{path} holds a path that leaves its folder ({member.filename!r}): nothing was read from it"
            )
        if _ignored(inside):
            continue
        if member.is_dir():
            found.folders.add(inside)
        elif inside.suffix.lower() in IMAGE_SUFFIXES:
            if member.flag_bits & 0x1:
                raise FerError(f"{path} is encrypted: expected a plain zip; unpack it and give the folder")
            found.images.append((inside, _member_reader(archive, member)))
            found.folders.add(inside.parent)
    return found


def _ignored(inside: PurePosixPath) -> bool:
    return any(part.startswith((".", "__MACOSX")) for part in inside.parts)


def _member_reader(archive: zipfile.ZipFile, member: zipfile.ZipInfo) -> Callable[[], bytes]:
    return lambda: archive.read(member) if member.file_size <= LARGEST_IMAGE else b""


def _placed(path: Path, found: _Found) -> list[Entry]:
    """Every image in its split folder and class; data without split folders counts as train."""
    if not found.images:
        raise FerError(f"{path} holds no images: expected class folders with images, such as train/happy/1.jpg")
    split = any(_split_at(inside) is not None for inside, _ in found.images)
    if not split and len({len(inside.parts) for inside, _ in found.images}) > 1:
        raise FerError(f"{path} has images in folders of different depths: expected <class>/<image> for all")
    entries = [_entry(path, inside, read, split) for inside, read in found.images]
    leaves = found.folders - {parent for folder in found.folders for parent in folder.parents}
    if empty := sorted(leaves - {inside.parent for inside, _ in found.images}):
        raise FerError(f"class folder {empty[0]} in {path} holds no images: fill it or remove it")
    trained = {entry.label for entry in entries if entry.folder == "train"}
    for entry in entries:
        if trained and entry.label not in trained:
            raise FerError(
                f"class {entry.label!r} of {path} stands in {entry.folder} but not in train: name the folders alike"
            )
    return entries


def _entry(path: Path, inside: PurePosixPath, read: Callable[[], bytes], split: bool) -> Entry:
    """One image in its place. split: the data has train/ or test/ folders, and the folder below them is the class."""
    at = _split_at(inside) if split else len(inside.parts) - 3
    if at is None or len(inside.parts) < at + 3 or len(inside.parts) < 2:
        raise FerError(f"{path} has images outside class folders (first: {inside}): expected <class>/<image>")
    folder = SPLIT_OF_FOLDER[inside.parts[at].lower()] if split else "train"
    return Entry(inside, folder, inside.parts[at + 1], read)


def _split_at(inside: PurePosixPath) -> int | None:
    """Where in the path a folder names a split, or None."""
    folders = [part.lower() for part in inside.parts[:-1]]
    return next((index for index, part in enumerate(folders) if part in SPLIT_OF_FOLDER), None)
