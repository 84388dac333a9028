"""fer-score: a folder of videos and photos becomes a dataset, whose rows are fer-run's."""

import codecs
import json
import os
import shutil
from importlib.metadata import version
from itertools import pairwise
from pathlib import Path
from typing import Any

import cv2
import pyarrow.parquet as pq
import pytest

from conftest import Run
from fer_benchmarks.demo_clip import FPS, FRAMES, render
from fer_runtime.archive import inputs
from fer_runtime.errors import FerError
from helpers.archives import TABLES, make_archive, tables

LABELS = ["angry", "disgust", "fear", "happy", "neutral", "sad", "surprise"]


@pytest.fixture(scope="module")
def archive(clip: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A clip, a shorter one below, a photo, a text file, and two broken files."""
    return make_archive(clip, tmp_path_factory.mktemp("archive"))


@pytest.fixture(scope="module")
def results(command: Run, archive: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("scored") / "results"
    done = command("fer-score", archive, "--out", out, "--csv", "--workers", 2)
    assert done.returncode == 0, done.stderr
    assert "2 videos" in done.stderr
    assert "1 pictures" in done.stderr
    assert "passed over 1 .txt" in done.stderr
    return out


def lines(command: Run, source: Path, *more: object) -> list[dict[str, Any]]:
    """What fer-run says of a file."""
    done = command("fer-run", "--source", source, "--headless", "--quiet", *more)
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


def rows_of(out: Path, table: str, source: Path) -> list[dict[str, Any]]:
    return [row for row in pq.read_table(out / table).to_pylist() if row["source"] == str(source)]


@pytest.mark.parametrize("name", ["long.mp4", "below/short.avi", "photo.jpg"])
def test_rows_are_fer_runs(command: Run, archive: Path, results: Path, name: str) -> None:
    expected = [
        (
            line["frame"], line.get("media_time_s"), face["track"], face["box"], face["score"],
            face["label"], face["raw"]["label"], list(face["probabilities"].values()),
        )
        for line in lines(command, archive / name)
        for face in line["faces"]
    ]  # fmt: skip
    found = rows_of(results, "faces", archive / name)
    assert len(found) == len(expected) > 0
    for row, (frame, time, track, box, score, label, raw, probabilities) in zip(found, expected, strict=True):
        assert (row["frame"], row["time_s"], row["track"], row["label"], row["raw_label"]) == (
            frame, time, track, label, raw,
        )  # fmt: skip
        assert [row["x"], row["y"], row["width"], row["height"]] == box
        assert [row[f"p_{name}"] for name in LABELS] == pytest.approx(probabilities, abs=1e-4)
        assert row["score"] == pytest.approx(score, abs=1e-4)


def test_sources_tell_what_each_file_is(archive: Path, results: Path) -> None:
    by_name = {Path(row["source"]).name: row for row in pq.read_table(results / "sources").to_pylist()}
    assert set(by_name) == {"long.mp4", "short.avi", "photo.jpg", "broken.mp4", "empty.png"}
    video, photo = by_name["long.mp4"], by_name["photo.jpg"]
    assert (video["kind"], video["width"], video["height"], video["fps"]) == ("video", 640, 480, FPS)
    assert (video["frames"], video["duration_s"], video["tracks"]) == (FRAMES, FRAMES / FPS, 2)
    assert video["bytes"] == (archive / "long.mp4").stat().st_size
    assert (photo["kind"], photo["frames"], photo["duration_s"], photo["error"]) == ("picture", 1, None, None)
    for name in ("broken.mp4", "empty.png"):
        assert name in by_name[name]["error"]
        assert (by_name[name]["frames"], by_name[name]["faces"]) == (0, 0)


def test_tracks_sum_their_faces_up(archive: Path, results: Path) -> None:
    faces = rows_of(results, "faces", archive / "long.mp4")
    for track in rows_of(results, "tracks", archive / "long.mp4"):
        own = [row for row in faces if row["track"] == track["track"]]
        assert (track["frames"], track["first_s"], track["last_s"]) == (
            len(own), own[0]["time_s"], own[-1]["time_s"],
        )  # fmt: skip
        for label in [*LABELS, "uncertain"]:
            shown = sum(row["label"] == label for row in own)
            assert track[f"seconds_{label}"] == pytest.approx(shown / FPS, abs=1e-3)
        for label in LABELS:
            mean = sum(row[f"p_{label}"] for row in own) / len(own)
            assert track[f"mean_{label}"] == pytest.approx(mean, abs=1e-3)
        assert track["changes"] == sum(a["label"] != b["label"] for a, b in pairwise(own))


def test_every_file_says_its_schema(results: Path) -> None:
    for table in TABLES:
        for path in (results / table).iterdir():
            metadata = json.loads(pq.read_schema(path).metadata[b"fer_score"])
            assert metadata == {"schema": 1, "table": table, "labels": LABELS}
            assert pq.ParquetFile(path).metadata.row_group(0).column(0).compression == "ZSTD"


def test_csv_has_the_same_rows(results: Path) -> None:
    csv = pytest.importorskip("pyarrow.csv")
    for table in TABLES:
        assert csv.read_csv(results / f"{table}.csv").num_rows == pq.read_table(results / table).num_rows > 0


def test_parquet_is_a_twelfth_of_json_lines(command: Run, clip: Path, tmp_path: Path) -> None:
    (tmp_path / "clips").mkdir()
    for number in range(6):
        shutil.copy(clip, tmp_path / "clips" / f"{number}.mp4")
    assert command("fer-score", tmp_path / "clips", "--out", tmp_path / "out").returncode == 0
    written = sum(path.stat().st_size for path in (tmp_path / "out").rglob("*.parquet"))
    done = command("fer-run", "--source", clip, "--headless", "--quiet")
    assert written * 12 <= 6 * len(done.stdout)


def test_nothing_is_scored_twice(command: Run, archive: Path, results: Path, tmp_path: Path) -> None:
    out = tmp_path / "again"
    shutil.copytree(results, out)
    before = {path: path.stat().st_ino for path in out.rglob("*.parquet")}
    assert command("fer-score", archive, "--out", out).returncode == 0
    assert {path: path.stat().st_ino for path in out.rglob("*.parquet")} == before


def test_a_changed_file_is_scored_anew(command: Run, clip: Path, tmp_path: Path) -> None:
    archive, out = make_archive(clip, tmp_path / "archive"), tmp_path / "out"
    assert command("fer-score", archive, "--out", out).returncode == 0
    first = tables(out)
    os.utime(archive / "long.mp4")  # only touched: the content counts
    cv2.imwrite(str(archive / "photo.jpg"), render(90))
    assert command("fer-score", archive, "--out", out).returncode == 0
    second = tables(out)
    for table in TABLES:
        kept = [row for row in first[table] if not row["source"].endswith("photo.jpg")]
        assert [row for row in second[table] if not row["source"].endswith("photo.jpg")] == kept
    old, new = ([row for row in rows["faces"] if row["source"].endswith("photo.jpg")] for rows in (first, second))
    assert len(new) == 2
    assert old != new
    command("fer-score", archive, "--out", tmp_path / "fresh")
    assert tables(tmp_path / "fresh") == second


def test_a_dataset_holds_one_models_results(command: Run, archive: Path, results: Path) -> None:
    for more in (["--model", "fer-small"], ["--max-fps", 5], ["--max-frames", 3]):
        done = command("fer-score", archive, "--out", results, *more)
        assert done.returncode == 1
        assert "give another --out" in done.stderr


def test_a_dataset_holds_one_versions_results(command: Run, archive: Path, results: Path, tmp_path: Path) -> None:
    """After an upgrade the loop may find other faces, so the rows of both would not be alike."""
    out = tmp_path / "out"
    shutil.copytree(results, out)
    settings = json.loads((out / "dataset.json").read_text())
    assert settings["version"] == version("fer-edge")
    (out / "dataset.json").write_text(json.dumps(settings | {"version": "0.0.1"}))
    done = command("fer-score", archive, "--out", out)
    assert done.returncode == 1
    assert "holds results of another version: give another --out" in done.stderr


@pytest.mark.parametrize(("options", "frames"), [(["--every", 1], 4), (["--max-fps", 5], 20), (["--max-frames", 7], 7)])
def test_sampling(command: Run, clip: Path, tmp_path: Path, options: list[object], frames: int) -> None:
    assert command("fer-score", clip, "--out", tmp_path / "out", *options).returncode == 0
    (row,) = pq.read_table(tmp_path / "out" / "sources").to_pylist()
    assert row["frames"] == frames


def test_lists_globs_and_files_lead_to_the_same(command: Run, archive: Path, tmp_path: Path) -> None:
    (tmp_path / "list.txt").write_text(f"{archive}/long.mp4\n\n{archive}/photo.jpg\n{archive}/missing.mp4\n")
    done = command(
        "fer-score", tmp_path / "list.txt", f"{archive}/*.jpg", archive / "photo.jpg", "--out", tmp_path / "o"
    )
    assert done.returncode == 0
    rows = {Path(row["source"]).name: row["error"] for row in pq.read_table(tmp_path / "o" / "sources").to_pylist()}
    assert list(rows) == ["long.mp4", "missing.mp4", "photo.jpg"]
    assert "No such file" in rows["missing.mp4"]


def test_lists_as_other_systems_write_them(tmp_path: Path) -> None:
    """A signature in front, as Windows' editor writes it, and names with letters that end lines elsewhere."""
    names = ["a.jpg", "b\u2028c.jpg", "d\x0be.jpg"]
    for name in names:
        (tmp_path / name).touch()
    (tmp_path / "list.txt").write_bytes(codecs.BOM_UTF8 + "\r\n".join(names).encode())
    found = inputs.find([str(tmp_path / "list.txt")], "nowhere")
    assert [file.name for file in found.files] == sorted(str(tmp_path / name) for name in names)
    (tmp_path / "list.txt").write_text("a.jpg\n", encoding="utf-16")
    with pytest.raises(FerError, match="save it as UTF-8"):
        inputs.find([str(tmp_path / "list.txt")], "nowhere")


def test_nothing_of_somebody_elses_is_removed(command: Run, tmp_path: Path) -> None:
    """Results in the folder of photos, which has folders of the same names as ours: the photos stay, and are scored."""
    photo = cv2.imencode(".jpg", render(3))[1].tobytes()
    theirs = ["faces/below/a.jpg", "faces/b.jpg", "unfinished/c.jpg", "unfinished/.d.parquet", "sources/e.parquet"]
    for number, name in enumerate(("f.jpg", *theirs)):
        if number == 3:  # the rest comes between two runs
            assert command("fer-score", ".", "--out", ".", "--workers", 1, cwd=tmp_path).returncode == 0
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(photo)
    again = command("fer-score", ".", "--out", ".", "--workers", 1, cwd=tmp_path)
    assert again.returncode == 0, again.stderr
    assert all((tmp_path / name).read_bytes() == photo for name in theirs)
    rows = pq.read_table(sorted((tmp_path / "sources").glob("part-*.parquet"))).to_pylist()
    assert {Path(row["source"]).name for row in rows if row["error"] is None} == {"f.jpg", "a.jpg", "b.jpg", "c.jpg"}


@pytest.mark.parametrize(
    ("options", "file"),
    [(["--html", "photo.png"], "photo.png"), (["--html", "list.txt"], "list.txt"), (["--csv"], "sources.csv")],
)
def test_nothing_of_somebody_elses_is_written_over(
    command: Run, tmp_path: Path, options: list[object], file: str
) -> None:
    cv2.imwrite(str(tmp_path / "photo.png"), render(0))
    (tmp_path / "list.txt").write_text("photo.png\n")
    (tmp_path / "sources.csv").write_text("theirs\n")
    before = {path: path.read_bytes() for path in tmp_path.iterdir()}
    done = command("fer-score", "list.txt", "--out", "." if file == "sources.csv" else "o", *options, cwd=tmp_path)
    assert done.returncode == 1
    assert file in done.stderr
    assert {path: path.read_bytes() for path in before} == before


def test_strict_makes_a_bad_file_exit_3(command: Run, archive: Path, results: Path) -> None:
    done = command("fer-score", archive, "--out", results, "--strict")
    assert done.returncode == 3
    assert "2 of 5 files could not be scored" in done.stderr


@pytest.mark.parametrize(
    ("arguments", "code", "text"),
    [
        (["nowhere", "--out", "o"], 1, "nowhere does not exist"),
        (["list.txt", "--out", "o"], 1, "no pictures or videos"),
        (["photo.png", "--out", "photo.png"], 1, "photo.png"),
        (["photo.png", "--out", "o", "--model", "photo.png"], 1, "is not an ONNX model"),
        (["photo.png", "--out", "o", "--every", "1", "--max-fps", "1"], 2, "give one"),
        (["photo.png"], 2, "--out"),
    ],
)
def test_what_cannot_be_done_is_one_sentence(
    command: Run, tmp_path: Path, arguments: list[object], code: int, text: str
) -> None:
    (tmp_path / "list.txt").touch()
    cv2.imwrite(str(tmp_path / "photo.png"), render(0))
    done = command("fer-score", *arguments, cwd=tmp_path)
    assert done.returncode == code
    assert text in done.stderr
    assert "Traceback" not in done.stderr
