"""Which files are to be scored: folders, globs and lists become a sorted list of pictures and videos."""

import codecs
import glob
import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path, PurePath

from fer_runtime.archive import remote
from fer_runtime.data.decode import IMAGE_SUFFIXES
from fer_runtime.data.listing import is_ignored
from fer_runtime.errors import FerError

VIDEO_SUFFIXES = {
    ".mp4", ".m4v", ".mov", ".mkv", ".webm", ".avi", ".wmv", ".flv", ".3gp", ".3g2", ".ogv", ".mpg", ".mpeg", ".m2v",
    ".ts", ".mts", ".m2ts", ".vob", ".mjpg", ".mjpeg", ".mxf", ".asf", ".f4v", ".divx", ".dv",
}  # fmt: skip
LIST_SUFFIX = ".txt"


@dataclass(frozen=True, slots=True, order=True)
class SourceFile:
    """One picture or video, as it was when it was listed."""

    name: str
    """Absolute path, or URL."""
    size: int = -1
    """Bytes; -1 where there is no such file."""
    modified_ns: int = 0
    """Time of its last change, nanoseconds since 1970."""

    @property
    def shown(self) -> str:
        """The name as valid UTF-8, for tables and messages."""
        return readable(self.name)


@dataclass
class Listing:
    """What PATH... leads to."""

    files: list[SourceFile] = field(default_factory=list)
    """Sorted by name, each once."""
    others: list[str] = field(default_factory=list)
    """Files in the folders that are no picture or video by their names."""


def readable(text: str) -> str:
    """The text with bytes that are no UTF-8 as escapes, as in a file's name."""
    return os.fsencode(text).decode("utf-8", "backslashreplace")


def find(paths: Iterable[str], excluded: str) -> Listing:
    """All pictures and videos of the paths: files, folders with those below, globs, URLs, and lists of these (.txt).

    excluded: the results' folder, which may lie inside. A file that is named itself is taken whatever its suffix.
    Raises FerError for a path that does not exist.
    """
    found: dict[str, SourceFile] = {}
    listing = Listing()
    for path in _expanded(paths):
        if remote.is_url(path):
            _add_remote(path, found, listing)
        elif os.path.isdir(path):
            for name in _walk(os.path.abspath(path), os.path.abspath(excluded)):
                if is_media(name):
                    found[name] = _file(name)
                else:
                    listing.others.append(name)
        else:
            name = os.path.abspath(path)
            found[name] = _file(name)
    listing.files = sorted(found.values())
    listing.others = sorted(set(listing.others) - set(found))
    return listing


def is_media(name: str) -> bool:
    """Whether the name is a picture's or a video's."""
    return PurePath(name).suffix.lower() in IMAGE_SUFFIXES | VIDEO_SUFFIXES


def _expanded(paths: Iterable[str]) -> Iterator[str]:
    """Each path with globs and lists replaced by what they lead to. Raises FerError for what leads nowhere."""
    for path in paths:
        if remote.is_url(path) or os.path.isdir(path):
            yield path
        elif PurePath(path).suffix.lower() == LIST_SUFFIX and os.path.isfile(path):
            yield from _listed(Path(path))
        elif os.path.lexists(path):
            yield path
        elif glob.has_magic(path) and (matches := sorted(glob.glob(path, recursive=True))):
            yield from matches
        else:
            raise FerError(
                f"{path} does not exist: expected pictures, videos, folders of them, a glob or a list (.txt)"
            )


def _listed(path: Path) -> Iterator[str]:
    """The lines of a list; relative paths are meant from the list's folder. Raises FerError."""
    try:
        data = path.read_bytes()
    except OSError as error:
        raise FerError(f"cannot read the list {path}: {error.strerror}") from error
    if b"\0" in data:
        raise FerError(f"{path} is no list in UTF-8, maybe one in UTF-16: save it as UTF-8, one path a line")
    lines = (os.fsdecode(line).strip() for line in data.removeprefix(codecs.BOM_UTF8).split(b"\n"))
    for line in filter(None, lines):
        yield line if remote.is_url(line) else str(path.parent / line)


def _walk(folder: str, excluded: str) -> Iterator[str]:
    """Every file below a folder but hidden ones; links to files are followed, those to folders are not."""
    for here, folders, files in os.walk(folder, onerror=_refuse):
        folders[:] = [name for name in folders if not is_ignored(PurePath(name)) and f"{here}/{name}" != excluded]
        yield from (f"{here.rstrip('/')}/{name}" for name in files if not is_ignored(PurePath(name)))


def _refuse(error: OSError) -> None:
    raise FerError(f"cannot read the folder {error.filename}: {error.strerror}; leave it out or allow it") from error


def _file(name: str) -> SourceFile:
    try:
        status = os.stat(name)
    except OSError:  # a link to nowhere, or a list's line: becomes a row with an error
        return SourceFile(name)
    return SourceFile(name, status.st_size, status.st_mtime_ns)


def _add_remote(url: str, found: dict[str, SourceFile], listing: Listing) -> None:
    """What a URL leads to: a file, or all below a folder or glob. Raises FerError."""
    for name, size, modified_ns, named in remote.find(url):
        if named or is_media(name):
            found[name] = SourceFile(name, size, modified_ns)
        else:
            listing.others.append(name)
