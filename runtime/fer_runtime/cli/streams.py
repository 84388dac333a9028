"""Standard output and error that no encoding, width, closed descriptor or vanished reader can break.

A command writes its files whatever happens to what it prints, and its exit code is that of what it found.
"""

import contextlib
import errno
import io
import os
import select
import sys
from typing import TYPE_CHECKING, TextIO

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer

GONE = (errno.EPIPE, errno.EIO)  # the reader of a pipe, or the terminal: nobody is left to read
MIN_COLUMNS, MAX_COLUMNS = 20, 500  # of COLUMNS in the environment


class _Stream(io.FileIO):
    """A standard stream that drops what it cannot write; `error` is the first reason."""

    def __init__(self, descriptor: int) -> None:
        super().__init__(descriptor, "w", closefd=False)
        self.error: OSError | None = None

    def write(self, data: "ReadableBuffer", /) -> int:
        """All of `data` counts as written, so that nobody tries again."""
        left = memoryview(data).cast("B")
        size = len(left)
        while left and self.error is None:
            try:
                written = super().write(left)
            except OSError as error:
                self.error = error
                break
            if written is None:  # another program made the terminal non-blocking
                select.select([], [self], [])
            left = left[written or 0 :]
        return size


def prepare() -> None:
    """Make the streams of this process safe, and COLUMNS a width that tables can have."""
    for descriptor in range(3):  # a file that is opened later must not become the standard output
        try:
            os.fstat(descriptor)
        except OSError:
            os.open(os.devnull, os.O_RDWR)
    columns = os.environ.get("COLUMNS", "")
    if not (columns.isascii() and columns.isdecimal() and MIN_COLUMNS <= int(columns[:9]) <= MAX_COLUMNS):
        os.environ.pop("COLUMNS", None)
    if sys.stdout is not None:
        sys.stdout = _safe(sys.stdout, "replace")
    if sys.stderr is not None:
        sys.stderr = _safe(sys.stderr, "backslashreplace")


def finish(code: int) -> int:
    """Flush what was printed: `code`, or 1 where standard output failed for another reason than a reader that left."""
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(OSError, AttributeError):  # None where it was closed from the start
            stream.flush()
    raw = getattr(getattr(sys.stdout, "buffer", None), "raw", None)
    error = raw.error if isinstance(raw, _Stream) else None
    if error is None or error.errno in GONE:
        return code
    print(f"{os.path.basename(sys.argv[0])}: standard output: {error.strerror}", file=sys.stderr)
    return code or 1


def _safe(stream: TextIO, errors: str) -> TextIO:
    """The stream over a `_Stream`; as it is where it has no descriptor of its own, as in a notebook."""
    try:
        raw = _Stream(stream.fileno())
    except (OSError, ValueError):
        return stream
    stream.flush()
    return io.TextIOWrapper(
        io.BufferedWriter(raw), stream.encoding, errors,
        line_buffering=bool(stream.line_buffering), write_through=getattr(stream, "write_through", False),
    )  # fmt: skip
