"""Latency at batch 1: a fresh process a model, blocks of calls interleaved in random order."""

import json
import subprocess
import sys
from collections.abc import Callable
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from fer_runtime.errors import FerError

ROUNDS = 20
CALLS = 100  # in a block: short enough that a slow spell of the machine meets all models alike


@dataclass(frozen=True)
class Latency:
    """Milliseconds a call. p50, p95, p99: over all calls; spread: least and largest median of a block;
    n: calls; load_ms: opening the session; first_ms: the first call; peak_bytes: resident memory of the process.
    """

    p50: float
    p95: float
    p99: float
    spread: tuple[float, float]
    n: int
    load_ms: float
    first_ms: float
    peak_bytes: int


class _Worker:
    """A running fer_benchmarks.worker."""

    def __init__(self, model: Path, threads: int) -> None:
        command = [sys.executable, "-P", "-m", "fer_benchmarks.worker", str(model), str(threads)]
        self._process = subprocess.Popen(  # noqa: S603 - our own module
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        self._model = model
        self.ready = self._read()

    def block(self, calls: int) -> dict[str, Any]:
        assert self._process.stdin is not None
        with suppress(BrokenPipeError):  # a process that has died answers nothing, which _read tells
            self._process.stdin.write(f"{calls}\n")
            self._process.stdin.flush()
        return self._read()

    def close(self) -> None:
        self._process.kill()
        self._process.communicate()

    def _read(self) -> dict[str, Any]:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            _, errors = self._process.communicate()
            reason = errors.strip().splitlines()[-1] if errors.strip() else f"exit code {self._process.returncode}"
            raise FerError(f"timing {self._model} failed: {reason}")
        answer: dict[str, Any] = json.loads(line)
        return answer


def measure(models: list[Path], threads: int, tick: Callable[[], None], rounds: int = ROUNDS) -> list[Latency]:
    """Time every model; `tick` is called after each of the `rounds`. Raises FerError when a process dies."""
    rng = np.random.RandomState(0)
    with ExitStack() as closing:
        workers = []
        for model in models:
            worker = _Worker(model, threads)
            closing.callback(worker.close)
            workers.append(worker)
        blocks: list[list[dict[str, Any]]] = [[] for _ in models]
        for _ in range(rounds):
            for index in rng.permutation(len(workers)):
                blocks[index].append(workers[index].block(CALLS))
            tick()
        return [_summary(worker.ready, own) for worker, own in zip(workers, blocks, strict=True)]


def _summary(ready: dict[str, Any], blocks: list[dict[str, Any]]) -> Latency:
    samples = np.array([block["ms"] for block in blocks])
    p50, p95, p99 = np.percentile(samples, [50, 95, 99]).tolist()
    medians = np.median(samples, axis=1)
    return Latency(
        p50,
        p95,
        p99,
        (float(medians.min()), float(medians.max())),
        samples.size,
        ready["load_ms"],
        ready["first_ms"],
        blocks[-1]["peak_bytes"],
    )
