"""The same units of work on a Ray cluster: Ray places them, and gives those of a node that dies to another."""

import os
import signal
import socket
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from functools import cache
from importlib.metadata import version
from typing import Any

from fer_runtime.archive import node_check, remote
from fer_runtime.archive.inputs import SourceFile
from fer_runtime.archive.messages import Setup
from fer_runtime.archive.pool import Event, Limits, LocalPool, Pieces, Scored
from fer_runtime.archive.units import Unit
from fer_runtime.errors import FerError

LOCAL = "local"
STOPS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
QUEUED = 2  # units per core that are submitted, so that no core waits for the command
CONNECT_S = 10.0
LOCAL_STORE = 2**27  # bytes of a local cluster's object store, of which next to nothing is used


class RayPool:
    """A Ray cluster; each unit is a task of one core."""

    def __init__(
        self, setup: Setup, address: str, slots: int | None, limits: Limits, files: Sequence[SourceFile]
    ) -> None:
        """address: of a running cluster, or LOCAL for one on this machine that ends with the command.

        slots: units at a time; None: what the cluster has cores for. files: the inputs, which every node is to see.
        Raises FerError where the cluster cannot be reached, or a node lacks a part.
        """
        self._ray = _connected(address, slots)
        self._setup, self._limits, self._max = setup, limits, slots
        self._check_nodes(files)
        self._task = self._ray.remote(num_cpus=1, max_retries=-1)(score_on_node)
        self._running: dict[Any, Unit] = {}

    @property
    def slots(self) -> int:
        """How many units it takes at a time; a cluster may grow and shrink."""
        return self._max or QUEUED * max(1, int(self._ray.cluster_resources().get("CPU", 0)))

    def labels(self) -> tuple[str, ...]:
        """The model's classes. Raises FerError for what is no model."""
        from fer_runtime.model.session import Classifier, default_model

        return Classifier(self._setup.options.model or default_model()).labels

    def submit(self, unit: Unit) -> None:
        """See Pool."""
        self._running[self._task.remote(self._setup, self._limits, unit)] = unit

    def wait(self) -> list[Event]:
        """See Pool."""
        tasks = list(self._running)
        if not self._ray.wait(tasks, num_returns=1, timeout=0.2)[0]:
            return []
        done, _ = self._ray.wait(tasks, num_returns=len(tasks), timeout=0)
        return [self._event(task) for task in done]

    def close(self) -> None:
        """See Pool."""
        for task in self._running:
            with suppress(Exception):
                self._ray.cancel(task, force=True)
        self._ray.shutdown()

    def _event(self, task: Any) -> Event:
        unit = self._running.pop(task)
        try:
            found = self._ray.get(task)
        except self._ray.exceptions.RayTaskError as error:
            if isinstance(error.cause, FerError):
                raise error.cause from error
            self._check_nodes()  # of a node that came later
            raise FerError(f"a task failed on the cluster ({error.cause})") from error
        except self._ray.exceptions.RayError as error:
            raise FerError(f"the cluster lost a task ({_first_line(error)}): give the same command again") from error
        return Pieces(unit, found.pieces) if isinstance(found, Pieces) else Scored(unit, found.counts)

    def _check_nodes(self, files: Sequence[SourceFile] = ()) -> None:
        """Raise FerError where a node lacks a package or has another version, or does not see the results or files."""
        there = [file.name for file in files if file.size >= 0 and not remote.is_url(file.name)]
        with _probe(self._setup.place) as probe:
            for address, lack in self._on_each_node([*there[:1], *there[-1:], *probe]):
                if lack:
                    raise FerError(f"the node {address} {lack}")

    def _on_each_node(self, paths: list[str]) -> list[tuple[str, str]]:
        """Each node's address, and what is missing there."""
        from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

        self._ray.cloudpickle.register_pickle_by_value(node_check)  # it must run where our package is missing
        check = self._ray.remote(num_cpus=0)(node_check.what_is_missing)
        nodes = {node["NodeID"]: node["NodeManagerAddress"] for node in self._ray.nodes() if node["Alive"]}
        answers = [
            check.options(scheduling_strategy=NodeAffinitySchedulingStrategy(node, soft=False)).remote(
                version("fer-edge"), paths
            )
            for node in nodes
        ]
        return list(zip(nodes.values(), self._ray.get(answers), strict=True))


@contextmanager
def _probe(place: str) -> Iterator[list[str]]:
    """The path of a file in the results' folder for the while; none where that is a URL."""
    if remote.is_url(place):
        yield []
        return
    with tempfile.NamedTemporaryFile(dir=place, prefix=".node-check-") as file:
        yield [file.name]


def _connected(address: str, slots: int | None) -> Any:
    """The module ray, connected. Raises FerError."""
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # nothing is sent anywhere
    try:
        import ray
    except ImportError as error:
        raise FerError("--ray needs ray: install it with: pip install 'fer-edge[ray]'") from error
    where = (
        {"num_cpus": slots, "include_dashboard": False, "object_store_memory": LOCAL_STORE}
        if address == LOCAL
        else {"address": address}
    )
    _check_address(address)
    handlers = {number: signal.getsignal(number) for number in STOPS}  # Ray takes some of them for itself
    try:
        ray.init(**where, log_to_driver=False, logging_level="ERROR")
    except (ConnectionError, ValueError, RuntimeError) as error:
        raise _unusable(address, error) from error
    finally:
        for number, handler in handlers.items():
            signal.signal(number, handler)
    return ray


def _check_address(address: str) -> None:
    """Raise FerError where nothing listens at HOST:PORT, for which Ray itself waits ten minutes."""
    host, colon, port = address.rpartition("//")[2].rpartition(":")
    if colon and port.isdecimal():
        try:
            socket.create_connection((host, int(port)), timeout=CONNECT_S).close()
        except OSError as error:
            raise _unusable(address, error) from error


def _unusable(address: str, error: Exception) -> FerError:
    return FerError(
        f"cannot use the Ray cluster at {address} ({_first_line(error)}): expected `auto`, or HOST:PORT of one that "
        "was started by `ray start --head`, with the Ray and Python of this machine"
    )


def _first_line(error: Exception) -> str:
    return str(error).strip().partition("\n")[0]


def score_on_node(setup: Setup, limits: Limits, unit: Unit) -> Scored | Pieces:
    """Score a unit on this node, in a process of its own that is watched and reused. Raises FerError."""
    pool = _pool(setup, limits)
    pool.submit(unit)
    while True:
        for event in pool.wait():
            if isinstance(event, Scored | Pieces):
                return event


@cache
def _pool(setup: Setup, limits: Limits) -> LocalPool:
    """The worker of the process that runs this node's tasks, one after the other."""
    return LocalPool(setup, 1, limits)
