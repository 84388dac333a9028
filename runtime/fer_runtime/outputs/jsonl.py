"""Results as JSON lines."""

import contextlib
import errno
import io
import os
import sys
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from fer_runtime.errors import FerError
from fer_runtime.types import Result


class JsonLines:
    """One JSON object a frame; whatever happens, what was written ends with a whole line.

    The file is opened for the first line, so that a run without a frame leaves an older file alone.
    """

    def __init__(self, target: str) -> None:
        """target: a file's path, or - for standard output. Raises FerError where no file can be."""
        self._target = target
        self._file: io.FileIO | None = None
        self._whole = 0  # bytes
        if target == "-" and sys.stdout is None:
            raise FerError("standard output is closed: give --jsonl FILE or --record FILE")
        if target != "-" and (Path(target).is_dir() or not Path(target).parent.is_dir()):
            raise FerError(f"cannot write {target}: expected the name of a file in a folder that exists")

    def write(self, image: NDArray[np.uint8], result: Result) -> bool:  # noqa: ARG002 - the protocol's signature
        """Write one line; False when the reader of a pipe went away. Raises FerError when the disk is full."""
        line = (result.to_json() + "\n").encode()
        if self._file is None:
            self._file = self._open()
            self._whole = os.fstat(self._file.fileno()).st_size  # standard output may be appended to a log
        file = self._file
        try:
            if file.write(line) < len(line):
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        except BrokenPipeError:
            return False
        except OSError as error:
            with contextlib.suppress(OSError):  # a pipe or a device has nothing to take back
                file.truncate(self._whole)
            raise FerError(f"--jsonl {self._target} stopped at frame {result.frame}: {error.strerror}") from error
        self._whole += len(line)
        return True

    def close(self) -> None:
        """Close the file; standard output stays open."""
        if self._file is not None:
            self._file.close()

    def _open(self) -> io.FileIO:
        # Unbuffered: a line is out when it is written, and nothing is left to be flushed at a bad moment.
        try:
            if self._target == "-":
                return io.FileIO(sys.stdout.fileno(), "w", closefd=False)
            return io.FileIO(self._target, "w")
        except OSError as error:
            raise FerError(
                f"cannot write {self._target}: {error.strerror}; choose another place for --jsonl"
            ) from error
