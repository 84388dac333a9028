"""The process of a model under test, seen from the benchmark."""

import json
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import fields
from pathlib import Path
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from fer_benchmarks.classifiers.specs import ModelSpec
from fer_benchmarks.protocol import Block, Ready, Scored
from fer_runtime.errors import FerError
from fer_runtime.records import from_plain

Message = TypeVar("Message", Ready, Block, Scored)


@contextmanager
def tolerating(spec: ModelSpec, fail: Callable[[str], None]) -> Iterator[None]:
    """What a peer or another engine cannot do goes to `fail`, for its row; what ours cannot do ends the run."""
    try:
        yield
    except FerError as error:
        if spec.required:
            raise
        fail(str(error))


class Worker:
    """A running classifier that speaks `protocol`. Raises FerError when it dies or sends something else."""

    def __init__(self, spec: ModelSpec, threads: int) -> None:
        begun = time.perf_counter()
        command = [word.replace("{threads}", str(threads)) for word in spec.command]
        self._spec = spec
        self._errors = tempfile.TemporaryFile()  # noqa: SIM115 - closed in close; a pipe nobody reads stops a talkative one
        try:
            self._process = subprocess.Popen(  # noqa: S603 - our own worker, or the peer that the user names
                command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self._errors, text=True
            )
        except OSError as error:
            raise FerError(f"{spec.name} does not start: {command[0]}: {error.strerror}") from error
        try:
            self.ready = self._read(Ready)
        except BaseException:  # Ctrl-C too must not leave the process behind
            self.close()
            raise
        self.start_ms = (time.perf_counter() - begun) * 1e3

    def block(self, calls: int, batch: int, pace_hz: float | None = None) -> Block:
        """So many timed calls."""
        block = self._ask(Block, calls=calls, batch=batch, pace_hz=pace_hz)
        if len(block.ms) != calls or min(block.ms) <= 0:
            raise FerError(
                f"{self._spec.name} sends {len(block.ms)} times for {calls} calls: expected one each, above 0"
            )
        return block

    def score(self, crops: Path, n: int) -> NDArray[np.float64]:
        """Probabilities [n, classes] of the n crops in a .npy file."""
        rows = self._ask(Scored, score=str(crops)).probabilities
        classes = len(self._spec.labels)
        if len(rows) != n or any(len(row) != classes for row in rows):
            found = f"{len(rows)} rows of {sorted({len(row) for row in rows})} numbers"
            raise FerError(
                f"{self._spec.name} gives {found} for {n} faces: expected a row per face, a number per label"
            )
        return np.array(rows, np.float64)

    def close(self) -> None:
        """End the process."""
        self._process.kill()
        self._process.communicate()
        self._errors.close()

    def _ask(self, kind: type[Message], **request: object) -> Message:
        assert self._process.stdin is not None
        with suppress(BrokenPipeError):  # a process that has died sends nothing, which _read reports
            self._process.stdin.write(json.dumps(request) + "\n")
            self._process.stdin.flush()
        return self._read(kind)

    def _read(self, kind: type[Message]) -> Message:
        """The next message, which is of this kind."""
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            code = f"exit code {self._process.wait()}"
            self._errors.seek(0)
            errors = self._errors.read().decode("utf-8", "replace").strip().splitlines()
            raise FerError(f"{self._spec.name} failed: {errors[-1] if errors else code}")
        try:
            return from_plain(kind, json.loads(line))
        except ValueError as error:
            keys = ", ".join(field.name for field in fields(kind))
            expected = f"expected a line of JSON with {keys}, as docs/benchmarks.md says"
            raise FerError(f"{self._spec.name} sends {line.strip()[:60]!r} ({error}): {expected}") from error
