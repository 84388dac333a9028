"""A classifier's process, seen from the benchmark."""

import json
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fer_benchmarks.classifiers.specs import Entrant
from fer_runtime.errors import FerError


@contextmanager
def tolerating(entrant: Entrant, fail: Callable[[str], None]) -> Iterator[None]:
    """What a peer or another engine cannot do goes to `fail`, for its row; what ours cannot ends the run."""
    try:
        yield
    except FerError as error:
        if entrant.ours:
            raise
        fail(str(error))


class Worker:
    """A running classifier that speaks `protocol`. Raises FerError when it dies or says something else."""

    def __init__(self, entrant: Entrant, threads: int) -> None:
        begun = time.perf_counter()
        command = [
            word.replace('"{threads}"', str(threads)).replace("{threads}", str(threads)) for word in entrant.command
        ]
        self._entrant = entrant
        self._errors = tempfile.TemporaryFile()  # noqa: SIM115 - closed in close; a pipe nobody reads stops a talkative one
        try:
            self._process = subprocess.Popen(  # noqa: S603 - our own worker, or the peer that the user names
                command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self._errors, text=True
            )
        except OSError as error:
            raise FerError(f"{entrant.name} does not start: {command[0]}: {error.strerror}") from error
        try:
            self.ready = self._read("load_ms", "first_ms")
        except BaseException:  # Ctrl-C too must not leave the process behind
            self.close()
            raise
        self.start_ms = (time.perf_counter() - begun) * 1e3

    def block(self, calls: int, batch: int, pace: float | None = None) -> dict[str, Any]:
        """So many timed calls."""
        return self._ask({"calls": calls, "batch": batch, "pace": pace}, "ms", "cpu_ms", "peak_bytes")

    def score(self, crops: Path, n: int) -> NDArray[np.float64]:
        """Probabilities [n, classes] of the n crops in a .npy file."""
        try:
            found = np.array(self._ask({"score": str(crops)}, "probabilities")["probabilities"], np.float64)
        except ValueError as error:
            raise FerError(f"{self._entrant.name} answers rows of different lengths: expected one a label") from error
        if found.shape != (n, len(self._entrant.labels)) or not np.isfinite(found).all():
            raise FerError(
                f"{self._entrant.name} answers {found.shape} for {n} faces, expected finite numbers, one a label"
            )
        return found

    def close(self) -> None:
        """End the process."""
        self._process.kill()
        self._process.communicate()
        self._errors.close()

    def _ask(self, plain: dict[str, Any], *keys: str) -> dict[str, Any]:
        assert self._process.stdin is not None
        with suppress(BrokenPipeError):  # a process that has died answers nothing, which _read tells
            self._process.stdin.write(json.dumps(plain) + "\n")
            self._process.stdin.flush()
        return self._read(*keys)

    def _read(self, *keys: str) -> dict[str, Any]:
        """The next answer, which has these keys."""
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            code = f"exit code {self._process.wait()}"
            self._errors.seek(0)
            errors = self._errors.read().decode("utf-8", "replace").strip().splitlines()
            raise FerError(f"{self._entrant.name} failed: {errors[-1] if errors else code}")
        try:
            answer: dict[str, Any] = json.loads(line)
            _ = [answer[key] for key in keys]
        except (ValueError, KeyError, TypeError) as error:
            said = f"expected a line of JSON with {', '.join(keys)}, as docs/benchmarks.md says"
            raise FerError(f"{self._entrant.name} answers {line.strip()[:60]!r}: {said}") from error
        return answer
