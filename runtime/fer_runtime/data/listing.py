"""Which files lie in a folder, zip or tar; nothing is decoded or unpacked."""

import contextlib
import lzma
import os
import tarfile
import zipfile
import zlib
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path, PurePath, PurePosixPath
from typing import IO

from fer_runtime.data.decode import IMAGE_SUFFIXES
from fer_runtime.errors import FerError

MAX_IMAGE_BYTES = 32 * 2**20  # of the file; anything larger is no face crop
TAR_SUFFIXES = (".tar", ".tar.gz", ".tgz", ".tar.bz2", ".tbz2", ".tar.xz", ".txz")
DESKTOP_FILES = {"thumbs.db", "desktop.ini"}  # what systems leave in folders that were looked at

Image = tuple[PurePosixPath, Callable[[], bytes]]  # its path inside the data, and what gives its bytes
Other = tuple[PurePosixPath, Callable[[], IO[bytes]]]  # the same, opened as a stream


@dataclass
class Listing:
    """What was found, in the order of the paths."""

    images: list[Image] = field(default_factory=list)
    """Files with a known suffix; larger ones than MAX_IMAGE_BYTES give no bytes."""
    others: list[Other] = field(default_factory=list)
    """All other files but hidden ones."""
    folders: set[PurePosixPath] = field(default_factory=set)
    """Every folder, empty ones too."""
    loops: list[PurePosixPath] = field(default_factory=list)
    """Links that lead back to a folder around them."""


@contextlib.contextmanager
def listed(path: Path) -> Iterator[Listing]:
    """The files of a folder, zip or tar, readable while the context is open.

    Raises FerError for what is missing, encrypted, hostile or none of the three.
    """
    if path.is_dir():
        yield _in_folder(path)
    elif not path.exists():
        raise FerError(f"{path} does not exist: expected a folder or zip of images in class folders, or fer2013.csv")
    elif path.is_file() and zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as archive:
            yield _in_zip(path, archive)
    elif path.is_file() and path.name.lower().endswith(TAR_SUFFIXES):
        with _opened_tar(path) as tar:
            yield _in_tar(path, tar)
    else:
        raise FerError(
            f"{path} is neither a folder nor a complete zip file nor a .csv: expected images in class folders"
        )


def _in_folder(root: Path) -> Listing:
    found = Listing()
    files: list[PurePosixPath] = []
    _walk(root, PurePosixPath(), (), found, files)
    for inside in sorted(files):
        file = root / inside
        if inside.suffix.lower() not in IMAGE_SUFFIXES:
            found.others.append((inside, lambda file=file: file.open("rb")))  # type: ignore[misc]
        elif file.is_file() and file.stat().st_size <= MAX_IMAGE_BYTES:
            found.images.append((inside, file.read_bytes))
        else:  # too large, a link to nowhere, a device: counts as an image that cannot be decoded
            found.images.append((inside, bytes))
    return found


def _walk(
    folder: Path, inside: PurePosixPath, around: tuple[tuple[int, int], ...], found: Listing, files: list[PurePosixPath]
) -> None:
    """Collect files and folders below `folder`; links are followed. around: device and inode of the folders around."""
    status = folder.stat()
    around = (*around, (status.st_dev, status.st_ino))
    with os.scandir(folder) as entries:
        for entry in entries:
            path = inside / entry.name
            if is_ignored(path):
                continue
            if not _is_folder(entry):
                files.append(path)
                continue
            status = entry.stat()
            if (status.st_dev, status.st_ino) in around:
                found.loops.append(path)
            else:
                found.folders.add(path)
                _walk(Path(entry.path), path, around, found, files)


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:  # a link that leads to itself
        return False


def _in_zip(path: Path, archive: zipfile.ZipFile) -> Listing:
    found = Listing()
    members = [(_inside(path, member.filename), member) for member in archive.infolist()]
    for inside, member in sorted(members, key=lambda pair: pair[0]):  # as a folder's files are: by parts, not by text
        if is_ignored(inside):
            continue
        if member.is_dir():
            found.folders.add(inside)
            continue
        if member.flag_bits & 0x1:
            raise FerError(f"{path} is encrypted: expected a plain zip; unpack it and give the folder")
        found.folders.add(inside.parent)
        if inside.suffix.lower() in IMAGE_SUFFIXES:
            found.images.append((inside, _member_reader(archive, member)))
        else:
            found.others.append((inside, lambda member=member: archive.open(member)))  # type: ignore[misc]
    return found


def _member_reader(archive: zipfile.ZipFile, member: zipfile.ZipInfo) -> Callable[[], bytes]:
    return lambda: archive.read(member) if member.file_size <= MAX_IMAGE_BYTES else b""


def _in_tar(path: Path, tar: tarfile.TarFile) -> Listing:
    """Raises FerError for images: reading them in another order than they lie in would take hours."""
    found = Listing()
    for member in tar:
        inside = _inside(path, member.name)
        if not member.isfile() or is_ignored(inside):
            continue
        if inside.suffix.lower() in IMAGE_SUFFIXES:
            raise FerError(f"{path} holds images: unpack it (tar -xf {path.name}) and give the folder, or a zip")
        found.others.append((inside, lambda member=member: _stream(tar, member)))  # type: ignore[misc]
    return found


@contextlib.contextmanager
def _opened_tar(path: Path) -> Iterator[tarfile.TarFile]:
    try:
        with tarfile.open(path) as tar:
            yield tar
    except (tarfile.TarError, EOFError, zlib.error, lzma.LZMAError) as error:
        raise FerError(f"cannot read {path} ({error}): is it complete?") from error


def _stream(tar: tarfile.TarFile, member: tarfile.TarInfo) -> IO[bytes]:
    stream = tar.extractfile(member)
    assert stream is not None  # a plain file
    return stream


def _inside(path: Path, name: str) -> PurePosixPath:
    """A member's path. Raises FerError for one that leaves the archive's folder."""
    inside = PurePosixPath(name.replace("\\", "/"))
    if inside.is_absolute() or ".." in inside.parts:
        raise FerError(f"{path} holds a path that leaves its folder ({name!r}): nothing was read from it")
    return inside


def kinds(files: Iterable[Other]) -> str:
    """As `kinds_of`, of what a listing found."""
    return kinds_of(inside for inside, _ in files)


def kinds_of(files: Iterable[PurePath]) -> str:
    """How many files of which suffix, as "; found 12 .heic, 1 .txt"; empty for none."""
    counts = Counter(file.suffix.lower() or "without suffix" for file in files)
    return "; found " + ", ".join(f"{count} {kind}" for kind, count in counts.most_common(5)) if counts else ""


def is_ignored(inside: PurePath) -> bool:
    """Whether it is hidden, or what macOS and Windows leave behind."""
    hidden = any(part.startswith((".", "__MACOSX")) for part in inside.parts)
    return hidden or inside.name.lower() in DESKTOP_FILES
