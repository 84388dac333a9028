"""Files written whole or not at all."""

import contextlib
import hashlib
import itertools
import logging
import os
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

from fer_runtime.errors import FerError

log = logging.getLogger(__name__)


@contextlib.contextmanager
def written_whole(path: Path, mode: int = 0o666) -> Iterator[Path]:
    """A temporary path in the same folder; on success it is renamed to `path`, on any exception `path` stays as it was.

    mode: permissions of the file, less the umask. Raises FerError when the folder does not exist or cannot be written.
    """
    path = path.resolve()  # a link stays one, and its target is written
    handle, name = _temp_file(path)
    os.close(handle)
    temp_path = Path(name)
    try:
        yield temp_path
        # mkstemp makes files private; ours get the permissions any new file would have.
        umask = os.umask(0)
        os.umask(umask)
        temp_path.chmod(mode & ~umask)
        os.replace(temp_path, path)
    except OSError as error:
        raise FerError(f"cannot write {path}: {error.strerror or error}; nothing was changed") from error
    finally:
        temp_path.unlink(missing_ok=True)


def reserve(path: Path) -> Path:
    """Make an empty file at `path` or, where something is already, at the next free name: NAME-2, NAME-3 and so on.

    So nothing is written over, also when several programs ask at once. Raises FerError where no file can be made.
    """
    names = itertools.chain([path], (path.with_stem(f"{path.stem}-{number}") for number in itertools.count(2)))
    for name in names:
        try:
            os.close(os.open(name, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666))
        except FileExistsError:
            continue
        except OSError as error:
            raise FerError(f"cannot write {name}: {error.strerror}; choose another place") from error
        if name != path:
            log.warning("%s exists already: writing %s", path, name)
        return name
    raise AssertionError("count() does not end")


def check_place(path: Path) -> None:
    """Raise FerError now, instead of after the work, where `written_whole(path)` cannot begin."""
    handle, name = _temp_file(path.resolve())
    os.close(handle)
    Path(name).unlink(missing_ok=True)


def _temp_file(path: Path) -> tuple[int, str]:
    """An open, empty file in `path`'s folder: handle and name. Raises FerError."""
    if path.exists() and not path.is_file():
        raise FerError(f"{path} is a folder or a device: expected the name of a file to write")
    try:
        return tempfile.mkstemp(dir=path.parent, prefix=f".{path.name[:32]}.", suffix=path.suffix)
    except OSError as error:
        raise FerError(f"cannot write {path}: {error.strerror}; choose another place") from error


def refuse_same(outputs: Sequence[str | Path | None], inputs: Sequence[str | Path | None]) -> None:
    """Raise FerError when an output is also an input or another output: what stood there would be lost."""
    taken = {Path(name).resolve() for name in inputs if name is not None}
    for name in (name for name in outputs if name is not None):
        path = Path(name).resolve()
        inside = path.exists() and any(folder in taken for folder in path.parents)  # a picture of a folder of pictures
        if path in taken or inside:
            raise FerError(f"{name} is also read or written elsewhere by this command: give the output another name")
        taken.add(path)


def write_text(path: Path, text: str) -> None:
    """Write UTF-8 text to `path`, whole or not at all; bytes of names that are none as escapes. Raises FerError."""
    with written_whole(path) as temp_path:
        temp_path.write_text(text, encoding="utf-8", errors="backslashreplace")


def make_folder(path: Path) -> None:
    """Make `path` and its parents. Raises FerError when that is not possible."""
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise FerError(f"cannot make the folder {path}: {error.strerror}; choose another place") from error


def sha256(path: Path) -> str:
    """Hex SHA-256 of a file's bytes."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
