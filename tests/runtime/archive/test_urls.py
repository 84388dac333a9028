"""Files and results at URLs: fsspec's file system in memory, and a real S3-compatible server."""

import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import cv2
import fsspec
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from conftest import Run
from fer_benchmarks.demo_clip import render
from fer_runtime.archive import inputs, ledger
from fer_runtime.archive.inputs import SourceFile
from fer_runtime.archive.scoring import Scorer, ScoringOptions
from fer_runtime.archive.store import FolderStore, UrlStore, open_store
from fer_runtime.archive.units import Unit
from fer_runtime.archive.work import score_unit
from fer_runtime.errors import FerError
from helpers.archives import make_archive, tables

SECRET = {"AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test", "AWS_DEFAULT_REGION": "us-east-1"}


def test_a_store_in_memory() -> None:
    store = open_store("memory://results/")
    assert isinstance(store, UrlStore)
    assert store.names("faces") == []
    with pytest.raises(FileNotFoundError):
        store.read("dataset.json")
    first, second = "faces/part-000000.parquet", "faces/part-000001.parquet"
    store.write(second, b"2")
    store.write(first, b"1")
    store.write(second, b"3")
    store.write("faces/photo.jpg", b"somebody else's")
    assert store.names("faces") == [first, second]
    assert store.read(second) == b"3"
    with store.writing("faces.csv") as path:
        path.write_bytes(b"4")
    assert store.has("faces.csv")
    assert store.read("faces.csv") == b"4"
    store.remove(second)
    store.remove(second)
    assert not store.has(second)
    assert store.names("faces") == [first]


def test_files_in_memory_are_listed_and_scored() -> None:
    memory = fsspec.filesystem("memory")
    memory.pipe_file("/archive/below/photo.jpg", cv2.imencode(".jpg", render(3))[1].tobytes())
    memory.pipe_file("/archive/notes.txt", b"")
    found = inputs.find(["memory://archive"], "nowhere")
    assert [file.name for file in found.files] == ["memory:///archive/below/photo.jpg"]
    assert found.others == ["memory:///archive/notes.txt"]
    assert found.files == inputs.find(["memory://archive/*/*.jpg"], "nowhere").files
    store = UrlStore("memory://scored")
    score_unit(Scorer(ScoringOptions()), store, Unit(tuple(found.files)), {}, lambda *_: None)
    ledger.merge(store, "part-000000", [[Unit(tuple(found.files)).id]])
    (row,) = pq.read_table(pa.BufferReader(store.read("sources/part-000000.parquet"))).to_pylist()
    assert (row["source"], row["faces"], row["error"]) == ("memory:///archive/below/photo.jpg", 2, None)
    assert len(row["sha256"]) == 64


def test_a_file_that_is_gone_becomes_a_row() -> None:
    gone = SourceFile("memory://archive/gone.mp4", 10, 0)
    (row,) = Scorer(ScoringOptions())(gone, lambda *_: None).sources.to_pylist()
    assert "gone.mp4" in row["error"]
    assert row["sha256"] is None


@pytest.mark.parametrize("url", ["nosuch://bucket", "memory://nothing/here"])
def test_what_cannot_be_opened_is_one_sentence(url: str) -> None:
    with pytest.raises(FerError, match=url):
        inputs.find([url], "nowhere")


def test_a_local_url_is_a_folder(tmp_path: Path) -> None:
    assert isinstance(open_store(f"file://{tmp_path}/out"), FolderStore)


@pytest.fixture(scope="module")
def s3() -> Iterator[str]:
    """A bucket of moto's server; its address."""
    pytest.importorskip("moto.server", reason="needs moto[server] and s3fs")
    pytest.importorskip("s3fs")
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    server = subprocess.Popen(
        [sys.executable, "-m", "moto.server", "-p", str(port)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    address = f"http://127.0.0.1:{port}"
    deadline = time.monotonic() + 120
    while True:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
            break
        except OSError:
            assert time.monotonic() < deadline
            time.sleep(0.2)
    yield address
    server.kill()
    server.wait()


def test_s3(command: Run, s3: str, clip: Path, tmp_path: Path) -> None:
    """Files of a bucket, results in a bucket; once more, and nothing is scored twice."""
    archive = make_archive(clip, tmp_path / "archive")
    client = fsspec.filesystem("s3", key="test", secret="test", client_kwargs={"endpoint_url": s3})
    client.mkdir("archive")
    client.mkdir("results")
    client.put(f"{archive}/", "archive/", recursive=True)
    variables = SECRET | {"AWS_ENDPOINT_URL": s3}
    done = command("fer-score", "s3://archive/", "--out", "s3://results/one", "--workers", 2, **variables)
    assert done.returncode == 0, done.stderr
    client.get("results/one/", str(tmp_path / "fetched"), recursive=True)
    assert command("fer-score", archive, "--out", tmp_path / "local").returncode == 0
    found, expected = tables(tmp_path / "fetched"), tables(tmp_path / "local")
    for table, rows in found.items():
        for row, other in zip(rows, expected[table], strict=True):
            assert row["source"] == other["source"].replace(str(archive), "s3://archive")
            assert {**row, "source": "", "error": ""} == {**other, "source": "", "error": ""}
            assert bool(row.get("error")) == bool(other.get("error"))
    before = client.info("results/one/sources/part-000000.parquet")["LastModified"]
    done = command("fer-score", "s3://archive/", "--out", "s3://results/one", **variables)
    assert done.returncode == 0, done.stderr
    client.invalidate_cache()
    assert client.info("results/one/sources/part-000000.parquet")["LastModified"] == before
