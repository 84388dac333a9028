"""Results as JSON lines."""

import contextlib
import errno
import io
import logging
import os
import select
import stat
import sys
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from fer_runtime.errors import FerError
from fer_runtime.outputs.flush import Flusher
from fer_runtime.types import Result

log = logging.getLogger(__name__)

BLOCK = 65536  # bytes of a file that are read at once


class JsonLines:
    """One JSON object per frame, appended to a file; whatever happens, what was written ends with a whole line.

    The file is opened for the first line, and anew when it was moved or removed, as logrotate does.
    """

    def __init__(self, target: str) -> None:
        """target: a file's path, or - for standard output. Raises FerError where no file can be."""
        self._target, self._path = target, Path(target)
        self._file: io.FileIO | None = None
        self._flusher = Flusher()
        if target == "-" and sys.stdout is None:
            raise FerError("standard output is closed: give --jsonl FILE or --record FILE")
        if target != "-" and (self._path.is_dir() or not self._path.parent.is_dir()):
            raise FerError(f"cannot write {target}: expected the name of a file in a folder that exists")
        place = target if os.path.exists(target) else self._path.parent
        if target != "-" and not os.access(place, os.W_OK):
            reason = errno.EROFS if os.statvfs(place).f_flag & os.ST_RDONLY else errno.EACCES
            raise FerError(f"cannot write {target}: {os.strerror(reason)}; choose another place for --jsonl")

    def write(self, image: NDArray[np.uint8], result: Result) -> bool:  # noqa: ARG002 - the protocol's signature
        """Write one line; False when the reader of a pipe went away. Raises FerError when the disk is full."""
        line = (result.to_json() + "\n").encode()
        file = self._current_file()
        left = memoryview(line)
        try:
            while left:
                written: int | None = file.write(left)  # typeshed leaves None out
                if written is None:  # another program made the pipe or terminal non-blocking
                    select.select([], [file], [])
                left = left[written or 0 :]
        except BrokenPipeError:
            return False
        except OSError as error:
            _take_back(file, len(line) - len(left))
            raise FerError(f"--jsonl {self._target} stopped at frame {result.frame}: {error.strerror}") from error
        if self._target != "-":
            self._flusher.after_write(self._path)
        return True

    def close(self) -> None:
        """Close the file; standard output stays open."""
        if self._file is not None:
            self._file.close()

    def _current_file(self) -> io.FileIO:
        """The file to append to. Raises FerError where it cannot be opened."""
        if self._file is not None and self._target != "-" and _is_elsewhere(self._file, self._target):
            log.warning("%s was moved or removed: further lines go to a new file of this name", self._target)
            self._file.close()
            self._file = None
        if self._file is None:
            self._file = self._open()
        return self._file

    def _open(self) -> io.FileIO:
        # Unbuffered: a line is out when it is written, and nothing is left to be flushed at a bad moment.
        try:
            if self._target == "-":
                return io.FileIO(sys.stdout.fileno(), "w", closefd=False)
            file = io.FileIO(self._target, "a")
        except OSError as error:
            raise FerError(
                f"cannot write {self._target}: {error.strerror}; choose another place for --jsonl"
            ) from error
        status = os.fstat(file.fileno())
        if stat.S_ISREG(status.st_mode) and status.st_size:
            log.info("%s has lines of earlier runs: appending", self._target)
            _mend_end(file, self._target)
        return file


def _is_elsewhere(file: io.FileIO, path: str) -> bool:
    """Whether `path` no longer leads to this open file."""
    try:
        return not os.path.samestat(os.fstat(file.fileno()), os.stat(path))
    except OSError:
        return True


def _mend_end(file: io.FileIO, path: str) -> None:
    """Mend what a power cut has left: zeros at the end go, and a line without an end gets one.

    ext4 may have noted a file's new length when the cut came, and not yet its last lines: they are read as zeros then.
    """
    with contextlib.suppress(OSError), open(path, "rb") as written:
        size = end = written.seek(0, os.SEEK_END)
        block = b""
        while end and not block:
            start = max(0, end - BLOCK)
            written.seek(start)
            block = written.read(end - start).rstrip(b"\0")
            end = start + len(block)
        if end < size:
            file.truncate(end)
            log.warning("%s ended in %d zeros, as after a power cut: they are removed", path, size - end)
        if end and not block.endswith(b"\n"):
            file.write(b"\n")


def _take_back(file: io.FileIO, count: int) -> None:
    """Remove the last `count` bytes, a part of a line, unless another run has written behind them."""
    with contextlib.suppress(OSError):  # a pipe or a device has nothing to take back
        end = file.tell()
        if os.fstat(file.fileno()).st_size == end:
            file.truncate(end - count)
