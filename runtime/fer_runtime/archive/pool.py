"""The workers of this machine: started once, given one unit after the other, watched, and replaced when they die."""

import logging
import os
import re
import subprocess
import sys
import time
from collections import Counter
from dataclasses import dataclass, replace
from multiprocessing.connection import Connection, Pipe, wait
from pathlib import Path
from typing import Protocol

from fer_runtime.archive.messages import Beat, Failed, Finished, Ready, Setup, Split, Task
from fer_runtime.archive.units import Unit
from fer_runtime.archive.work import Counts, Refusal
from fer_runtime.errors import FerError

log = logging.getLogger(__name__)

MAX_AWAKE_S = 1.0  # between two looks at the workers that follow each other at once
MAX_START_S = 300.0  # in which a worker opens its networks
MAX_STARTS = 3  # of a worker that dies before its networks are open
MAX_DEATHS = 2  # of workers at one file, which is given up then: the first may have been another program's doing
GIVEN_UP = "and was given up; with a larger --memory or --timeout it is tried again"
TOO_MUCH, TOO_LONG = re.compile(r" took more than (\d+) MiB and"), re.compile(r" gave no frame for ([\d.e+]+) s and")
ONE_THREAD = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "ARROW_NUM_THREADS": "1"}


@dataclass(frozen=True)
class Limits:
    """When a file is given up."""

    silence_s: float = 120.0
    """Seconds in which a file yields no further frame."""
    memory_mib: int = 4096
    """Resident memory of its worker."""

    def allow_more(self, error: str) -> bool:
        """Whether a file that was given up with this error is allowed more now."""
        if memory := TOO_MUCH.search(error):
            return int(memory[1]) < self.memory_mib
        silence = TOO_LONG.search(error)
        return silence is not None and float(silence[1]) < self.silence_s


@dataclass(frozen=True)
class Progress:
    """A unit that is being scored."""

    unit: Unit
    so_far: Counts


@dataclass(frozen=True)
class Scored:
    """A unit whose rows are written."""

    unit: Unit
    counts: Counts


@dataclass(frozen=True)
class Pieces:
    """A unit that was a long video, and what is to be scored in its place."""

    unit: Unit
    pieces: list[Unit]


Event = Progress | Scored | Pieces


class Pool(Protocol):
    """Where units are scored."""

    @property
    def slots(self) -> int:
        """How many units it takes at a time."""

    def submit(self, unit: Unit) -> None:
        """Take a unit; at most `slots` at a time."""

    def wait(self) -> list[Event]:
        """What has happened, after some tenths of a second at the latest. Raises FerError."""

    def close(self) -> None:
        """End all work at once; units that are not finished leave nothing."""


@dataclass
class _Worker:
    process: subprocess.Popen[bytes]
    connection: Connection
    ready: bool = False
    task: Task | None = None
    place: int = 0  # of the file in the task's unit that it is at
    silence_s: float = 0.0  # since its last message, as far as this process was awake


class LocalPool:
    """Processes of this machine, one thread each."""

    def __init__(self, setup: Setup, slots: int, limits: Limits) -> None:
        self.slots = slots
        self._setup, self._limits = setup, limits
        self._failed_starts = 0
        self._watched = time.monotonic()
        self._deaths: Counter[tuple[str, str]] = Counter()  # by unit's id and file's name
        self._workers = [self._start() for _ in range(slots)]

    def labels(self) -> tuple[str, ...]:
        """The model's classes, when the first worker has opened it. Raises FerError where that fails."""
        first, waited_s = self._workers[0], 0.0
        while True:
            if not first.connection.poll(MAX_AWAKE_S):
                waited_s += MAX_AWAKE_S  # not the clock's seconds: this process may have been stopped, as by Ctrl-Z
                if waited_s >= MAX_START_S:
                    raise FerError(f"a worker took more than {MAX_START_S:g} s to start: is the disk very slow?")
                continue
            message = self._receive(first)
            if isinstance(message, Ready):
                return message.labels
            if first not in self._workers:
                first = self._workers[0]

    def submit(self, unit: Unit) -> None:
        """See Pool."""
        self._give(next(worker for worker in self._workers if worker.task is None), Task(unit, {}))

    def wait(self) -> list[Event]:
        """See Pool."""
        events: list[Event] = []
        by_connection = {worker.connection: worker for worker in self._workers}
        for connection in wait(list(by_connection), timeout=0.2):
            worker = by_connection[connection]  # type: ignore[index]
            message, task = self._receive(worker), worker.task
            if isinstance(message, Beat) and task:
                so_far = Counts(0, 0, message.video_s, message.frames, message.faces)
                events.append(Progress(task.unit, so_far))
            elif isinstance(message, Finished) and task:
                worker.task = None
                events.append(Scored(task.unit, message.counts))
            elif isinstance(message, Split) and task:
                worker.task = None
                events.append(Pieces(task.unit, message.pieces))
        # A command that was stopped itself, as by Ctrl-Z, has waited for nobody meanwhile.
        now = time.monotonic()
        awake_s, self._watched = min(now - self._watched, MAX_AWAKE_S), now
        for worker in list(self._workers):
            self._watch(worker, awake_s)
        return events

    def close(self) -> None:
        """See Pool."""
        for worker in self._workers:
            worker.connection.close()
            worker.process.kill()
        for worker in self._workers:
            worker.process.wait()

    def _start(self) -> _Worker:
        ours, theirs = Pipe()
        with theirs:
            process = subprocess.Popen(  # noqa: S603 - our own module
                [sys.executable, "-m", "fer_runtime.archive.worker", str(theirs.fileno())],
                pass_fds=[theirs.fileno()],
                env=os.environ | ONE_THREAD,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=None if os.environ.get("FER_EDGE_DEBUG") else subprocess.DEVNULL,
                start_new_session=True,  # the terminal's Ctrl-C is for the command alone
            )
        worker = _Worker(process, ours)
        self._send(worker, self._setup)
        return worker

    def _give(self, worker: _Worker, task: Task) -> None:
        worker.task, worker.place, worker.silence_s = task, 0, 0.0
        self._send(worker, task)

    def _send(self, worker: _Worker, message: Setup | Task) -> None:
        try:
            worker.connection.send(message)
        except OSError:  # it has just died; its end is read next
            log.debug("a worker was gone before a message")

    def _receive(self, worker: _Worker) -> Beat | Finished | Ready | Split | None:
        """The next message; None where the worker has died, and another takes its place. Raises FerError."""
        try:
            message = worker.connection.recv()
        except (EOFError, OSError):
            self._replace(worker, None)
            return None
        worker.silence_s = 0.0
        if isinstance(message, Failed):
            raise FerError(message.message)
        if isinstance(message, Ready):
            worker.ready, self._failed_starts = True, 0
        if isinstance(message, Beat):
            worker.place = message.place
        return message  # type: ignore[no-any-return]

    def _watch(self, worker: _Worker, seconds: float) -> None:
        """Give up the file of a worker that is silent for too long or takes too much memory.

        seconds: since the last look.
        """
        if worker.task is None or not worker.ready:
            return
        worker.silence_s += seconds
        used = _resident_mib(worker.process.pid)
        if used > self._limits.memory_mib:
            self._replace(worker, f"took more than {self._limits.memory_mib} MiB {GIVEN_UP}")
        elif worker.silence_s > self._limits.silence_s:
            self._replace(worker, f"gave no frame for {self._limits.silence_s:.10g} s {GIVEN_UP}")

    def _replace(self, worker: _Worker, reason: str | None) -> None:
        """Put a new worker in the place of one, which takes over its task; reason: why its file is given up, if so."""
        worker.connection.close()
        worker.process.kill()
        code = worker.process.wait()
        if not worker.ready:
            self._failed_starts += 1
            if self._failed_starts >= MAX_STARTS:
                raise FerError(f"workers end while they start (exit code {code}): FER_EDGE_DEBUG=1 shows why")
        new = self._start()
        self._workers[self._workers.index(worker)] = new
        task = worker.task
        if task and worker.ready:
            task = self._without_culprit(task, worker.place, reason, code)
        if task:
            self._give(new, task)

    def _without_culprit(self, task: Task, place: int, reason: str | None, code: int) -> Task:
        """The task again, with the file refused at which a worker died once too often."""
        file = task.unit.files[place]
        self._deaths[task.unit.id, file.name] += 1
        if file.name in task.refused:  # even reading it for its hash is too much
            refusal = replace(task.refused[file.name], hashed=False)
        elif reason or self._deaths[task.unit.id, file.name] >= MAX_DEATHS:
            refusal = Refusal(reason or f"ended its worker {MAX_DEATHS} times (exit code {code}) and was given up")
        else:
            log.warning("a worker died (exit code %d) at %s: it is tried once more", code, file.shown)
            return task
        log.warning("%s %s", file.shown, refusal.reason)
        return Task(task.unit, {**task.refused, file.name: refusal})


def _resident_mib(pid: int) -> float:
    """Resident memory of a process; 0 where the system does not tell."""
    try:
        pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    except (OSError, IndexError, ValueError):
        return 0.0
    return pages * os.sysconf("SC_PAGE_SIZE") / 2**20
