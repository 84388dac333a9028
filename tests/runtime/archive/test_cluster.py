"""fer-score --ray: the same rows from real clusters, of which nodes, workers and the command are killed."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import cv2
import pyarrow.parquet as pq
import pytest

from conftest import Run, start
from fer_benchmarks.demo_clip import render
from helpers.archives import children, tables, write_video

pytest.importorskip("ray", reason="needs ray: pip install '.[ray]'")

PHOTOS = 200  # in four units


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("archive")
    for number in range(PHOTOS):
        cv2.imwrite(str(folder / f"{number:03}.jpg"), render(number % 100)[::2, ::2])
    write_video(folder / "a.avi", range(10, 40))
    (folder / "broken.mp4").touch()
    (folder / "nowhere.mp4").symlink_to("nothing")
    return folder


@pytest.fixture(scope="module")
def whole(command: Run, archive: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[dict[str, Any]]]:
    """The tables of a run without a cluster."""
    out = tmp_path_factory.mktemp("whole") / "out"
    assert command("fer-score", archive, "--out", out).returncode == 0
    return tables(out)


@pytest.fixture(scope="module")
def cluster() -> Iterator[Any]:
    """Two nodes of one core each; the head has none, so that all work is theirs. The last test kills one."""
    from ray.cluster_utils import Cluster

    made = Cluster(initialize_head=True, head_node_args={"num_cpus": 0, "include_dashboard": False})
    made.nodes = [made.add_node(num_cpus=1) for _ in range(2)]
    made.wait_for_nodes()
    yield made
    made.shutdown()


def test_a_local_cluster_gives_the_same_rows(
    command: Run, archive: Path, whole: dict[str, list[dict[str, Any]]], tmp_path: Path
) -> None:
    """Ctrl-C ends the command and its cluster; given again, it goes on with what is left."""
    process = start("fer-score", archive, "--out", tmp_path / "out", "--ray", "local", "--workers", 1)
    wait_for_a_unit(process, tmp_path / "out")
    below = descendants(process.pid)
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 130, errors
    assert errors.endswith("stopped\n")
    assert "Traceback" not in errors
    assert len(below) > 5
    wait_until(lambda: not any(map(is_alive, below)))
    finished = cpu_seconds(tmp_path / "out" / "unfinished")
    done = command("fer-score", archive, "--out", tmp_path / "out", "--ray", "local", "--workers", 2)
    assert done.returncode == 0, done.stderr
    assert tables(tmp_path / "out") == whole
    assert finished.items() <= cpu_seconds(tmp_path / "out" / "sources").items()


def test_a_node_that_lacks_a_part_is_named(command: Run, archive: Path, tmp_path: Path, cluster: Any) -> None:
    """A node whose Python finds neither our package nor OpenCV."""
    (tmp_path / "sitecustomize.py").write_text(
        "import sys\n"
        "class Finder:\n"
        "    def find_spec(self, name, *_):\n"
        "        if name in ('fer_runtime', 'cv2'): raise ModuleNotFoundError(name)\n"
        "sys.meta_path.insert(0, Finder())\n"
    )
    node = cluster.add_node(num_cpus=1, env_vars={"PYTHONPATH": str(tmp_path)})
    done = command("fer-score", archive, "--out", tmp_path / "out", "--ray", cluster.address)
    assert done.returncode == 1
    cluster.remove_node(node)
    assert f"the node {node.node_ip_address} lacks fer_runtime, cv2: install" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_node_and_a_worker_that_die_lose_nothing(
    archive: Path, whole: dict[str, list[dict[str, Any]]], tmp_path: Path, cluster: Any
) -> None:
    """What was finished when they died is not scored again: the seconds that it took stand there as they were."""
    process = start("fer-score", archive, "--out", tmp_path / "out", "--ray", cluster.address)
    wait_for_a_unit(process, tmp_path / "out")
    finished = cpu_seconds(tmp_path / "out" / "unfinished")
    first, second = (node.all_processes["raylet"][0].process.pid for node in cluster.nodes)
    for pid in descendants(second):
        if b"ray::score_on_node" in Path(f"/proc/{pid}/cmdline").read_bytes():
            os.kill(pid, signal.SIGKILL)
    os.kill(first, signal.SIGKILL)
    _, errors = process.communicate(timeout=300)
    assert process.returncode == 0, errors
    assert tables(tmp_path / "out") == whole
    assert finished.items() <= cpu_seconds(tmp_path / "out" / "sources").items()


def test_no_cluster_is_one_sentence(command: Run, archive: Path, tmp_path: Path) -> None:
    done = command("fer-score", archive, "--out", tmp_path / "out", "--ray", "127.0.0.1:1")
    assert done.returncode == 1
    assert "cannot use the Ray cluster at 127.0.0.1:1 ([Errno 111] Connection refused): expected" in done.stderr


def test_what_a_node_may_lack(tmp_path: Path) -> None:
    from importlib.metadata import version

    from fer_runtime.archive.node_check import what_is_missing

    assert "and the command is 999: install the same" in what_is_missing("999", [])
    assert f"does not see what is in {tmp_path}" in what_is_missing(version("fer-edge"), [f"{tmp_path}/no.mp4"])
    assert what_is_missing(version("fer-edge"), [sys.executable]) == ""


def cpu_seconds(folder: Path) -> dict[str, float]:
    """Of each source: how long it took, which no two runs share. Of what is staged or merged in that folder."""
    rows = [row for path in folder.glob("*.parquet") for row in sources(path)]
    return {row["source"]: row["cpu_s"] for row in rows}


def sources(path: Path) -> list[dict[str, Any]]:
    table = pq.read_table(path)
    return table.to_pylist() if "cpu_s" in table.column_names else []


def descendants(pid: int) -> list[int]:
    return [each for child in children(pid) for each in (child, *descendants(child))]


def is_alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except FileNotFoundError:
        return False


def wait_for_a_unit(process: subprocess.Popen[str], out: Path) -> None:
    """Wait until something is scored, and not all."""
    try:
        wait_until(lambda: process.poll() is not None or any(out.glob("unfinished/*.sources.parquet")))
    except AssertionError:
        process.kill()
        raise
    if process.poll() is not None:
        pytest.fail(f"it has ended with {process.returncode}: {process.communicate()[1]}")


def wait_until(what: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 180
    while not what():
        assert time.monotonic() < deadline
        time.sleep(0.02)
