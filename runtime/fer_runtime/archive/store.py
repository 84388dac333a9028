"""Where the results lie: a folder, or a URL of fsspec. A file is there as a whole or not at all."""

import os
import re
import tempfile
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any, Protocol

from fer_runtime.archive import remote
from fer_runtime.errors import FerError
from fer_runtime.files import make_folder, written_whole

# Parts and units; whatever else lies in the folders is somebody else's, and is neither read nor removed.
OWN = re.compile(r"(part-\d{6,}|[0-9a-f]{16}(-\d{3,})?\.(faces|tracks|sources))\.parquet")
BEGUN = re.compile(r"\.(part-\d{6,}|[0-9a-f]{16})[-.].*\.parquet")  # what `written_whole` calls them meanwhile


class Store(Protocol):
    """A folder of files, named relative to it, as `faces/part-000000.parquet`."""

    place: str
    """Its path or URL."""

    def prepare(self) -> None:
        """Make the folder where there is none. Raises FerError where it cannot be."""

    def write(self, name: str, data: bytes) -> None:
        """Write a file, whole or not at all, and so that it outlives a power cut. Raises FerError."""

    def writing(self, name: str) -> AbstractContextManager[Path]:
        """A path to write a file of any size to, which is then there as with `write`. Raises FerError."""

    def has(self, name: str) -> bool:
        """Whether there is such a file. Raises FerError where that cannot be told."""

    def read(self, name: str) -> bytes:
        """A file's bytes. Raises FileNotFoundError, or FerError where it cannot be read."""

    def names(self, folder: str) -> list[str]:
        """The parts or units in a folder, sorted, with the folder's name; none where there is no such folder."""

    def remove(self, name: str) -> None:
        """Remove a file that may be gone already."""

    def tidy(self, folder: str) -> None:
        """Remove what a killed run began to write there."""


def open_store(place: str) -> Store:
    """The store at a path or URL. Raises FerError."""
    if place.startswith("file://"):
        return FolderStore(Path(place.removeprefix("file://")))
    return UrlStore(place) if remote.is_url(place) else FolderStore(Path(place))


class FolderStore:
    """A folder of this machine, or of a shared file system."""

    def __init__(self, folder: Path) -> None:
        self.place = str(folder.absolute())
        self._folder = folder.absolute()

    def prepare(self) -> None:
        """See Store."""
        if not self._folder.is_dir():
            make_folder(self._folder)

    def write(self, name: str, data: bytes) -> None:
        """See Store."""
        with self.writing(name) as path:
            path.write_bytes(data)

    @contextmanager
    def writing(self, name: str) -> Iterator[Path]:
        """See Store."""
        path = self._folder / name
        if not path.parent.is_dir():
            make_folder(path.parent)
        with written_whole(path) as temp_path:
            yield temp_path
            _synchronized(temp_path)
        _synchronized(path.parent)  # the new name, too

    def has(self, name: str) -> bool:
        """See Store."""
        return (self._folder / name).exists()

    def read(self, name: str) -> bytes:
        """See Store."""
        try:
            return (self._folder / name).read_bytes()
        except FileNotFoundError:
            raise
        except OSError as error:
            raise FerError(f"cannot read {self._folder / name}: {error.strerror}") from error

    def names(self, folder: str) -> list[str]:
        """See Store."""
        try:
            found = sorted(os.listdir(self._folder / folder))
        except FileNotFoundError:
            return []
        return [f"{folder}/{name}" for name in found if OWN.fullmatch(name)]

    def remove(self, name: str) -> None:
        """See Store."""
        (self._folder / name).unlink(missing_ok=True)

    def tidy(self, folder: str) -> None:
        """See Store."""
        for path in (self._folder / folder).glob(".*.parquet"):
            if BEGUN.fullmatch(path.name):
                path.unlink(missing_ok=True)


class UrlStore:
    """A folder at a URL; object stores write whole objects only."""

    def __init__(self, url: str) -> None:
        self.place = url.rstrip("/")
        self._files: Any
        self._files, self._root = remote.filesystem(self.place)

    def prepare(self) -> None:
        """See Store: object stores have no folders."""

    def write(self, name: str, data: bytes) -> None:
        """See Store."""
        path = f"{self._root}/{name}"
        try:
            self._files.makedirs(path.rpartition("/")[0], exist_ok=True)
            self._files.pipe_file(path, data)
        except Exception as error:  # each file system has errors of its own
            raise FerError(f"cannot write {self.place}/{name} ({type(error).__name__}: {error})") from error

    @contextmanager
    def writing(self, name: str) -> Iterator[Path]:
        """See Store."""
        with tempfile.NamedTemporaryFile(prefix="fer-score-") as file:
            yield Path(file.name)
            try:
                self._files.put_file(file.name, f"{self._root}/{name}")
            except Exception as error:  # each file system has errors of its own
                raise FerError(f"cannot write {self.place}/{name} ({type(error).__name__}: {error})") from error

    def has(self, name: str) -> bool:
        """See Store."""
        try:
            return bool(self._files.exists(f"{self._root}/{name}"))
        except Exception as error:  # each file system has errors of its own
            raise FerError(f"cannot read {self.place}/{name} ({type(error).__name__}: {error})") from error

    def read(self, name: str) -> bytes:
        """See Store."""
        try:
            return bytes(self._files.cat_file(f"{self._root}/{name}"))
        except FileNotFoundError:
            raise
        except Exception as error:  # each file system has errors of its own
            raise FerError(f"cannot read {self.place}/{name} ({type(error).__name__}: {error})") from error

    def names(self, folder: str) -> list[str]:
        """See Store."""
        self._files.invalidate_cache()
        try:
            found = self._files.ls(f"{self._root}/{folder}", detail=True)
        except FileNotFoundError:
            return []
        names = (info["name"].rpartition("/")[2] for info in found if info["type"] == "file")
        return sorted(f"{folder}/{name}" for name in names if OWN.fullmatch(name))

    def remove(self, name: str) -> None:
        """See Store."""
        if self._files.exists(f"{self._root}/{name}"):
            self._files.rm_file(f"{self._root}/{name}")

    def tidy(self, folder: str) -> None:
        """See Store: an object that was begun is not there."""


def _synchronized(path: Path) -> None:
    """Wait until a file or folder is on the disk."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
