"""fer-train crop: photos of one face become its crop; all others are listed with the reason."""

import csv
import json
import os
import zipfile
from pathlib import Path

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from conftest import Run
from fer_benchmarks.demo_clip import render
from fer_runtime.data.dataset import load
from fer_runtime.faces.detection import RetinaFace
from fer_runtime.model.preprocessing import FER2013, crop, tilt
from helpers.drawn import zip_folder


def one_face() -> NDArray[np.uint8]:
    return render(50)[:, :320]


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Four usable photos, one of them stored sideways with EXIF data; and one of each kind that is left out."""
    root = tmp_path_factory.mktemp("photos")
    for folder in ("train/happy", "train/sad", "test/happy", "test/sad"):
        (root / folder).mkdir(parents=True)
    face = one_face()
    for name in ("train/happy/a.jpg", "train/sad/a.jpg", "test/sad/PublicTest_a.jpg", "train/happy/crowd.jpg"):
        cv2.imwrite(str(root / name), render(50) if "crowd" in name else face)
    jpeg = cv2.imencode(".jpg", np.rot90(face))[1].tobytes()
    turn_right = b"\xff\xe1\x00\x22Exif\0\0MM\0\x2a\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0\x06\0\0\0\0\0\0"
    (root / "test/happy/a.jpeg").write_bytes(jpeg[:2] + turn_right + jpeg[2:])
    cv2.imwrite(str(root / "train/happy/wall.png"), np.full((300, 300, 3), 90, np.uint8))
    (root / "train/sad/torn.jpg").write_bytes(jpeg[:40])
    (root / "train/sad/phone.heic").write_bytes(b"\0\0\0\x18ftypheic")
    small = np.full((160, 160, 3), 110, np.uint8)
    shrunk = cv2.resize(face, None, fx=0.22, fy=0.22, interpolation=cv2.INTER_AREA)
    small[50 : 50 + len(shrunk), 50 : 50 + shrunk.shape[1]] = shrunk
    cv2.imwrite(str(root / "train/sad/far.png"), small)
    return root


def test_crops_are_the_cameras_and_keep_their_place(command: Run, photos: Path, tmp_path: Path) -> None:
    out = tmp_path / "faces.zip"
    done = command("fer-train", "crop", photos, "--out", out)
    assert done.returncode == 0, done.stderr
    assert "faces.zip: 4 faces of 9 photos; faces.left-out.csv lists the others" in done.stdout
    with (tmp_path / "faces.left-out.csv").open() as file:
        left_out = {row["photo"]: (row["reason"], row["faces"]) for row in csv.DictReader(file)}
    assert left_out == {
        "train/happy/crowd.jpg": ("several faces", "2"),
        "train/happy/wall.png": ("no face", "0"),
        "train/sad/torn.jpg": ("cannot be decoded", "0"),
        "train/sad/far.png": ("too small", "1"),
        "train/sad/phone.heic": ("unknown kind of file", "0"),
    }
    data = load(out)
    assert {name: faces.names for name, faces in data.splits.items()} == {
        "train": ("train/happy/a.png", "train/sad/a.png"),
        "valid": ("test/sad/PublicTest_a.png",),
        "test": ("test/happy/a.png",),
    }
    photo = np.asarray(cv2.imread(str(photos / "train/happy/a.jpg")), np.uint8)
    face = RetinaFace()(photo)[0]
    wanted = crop(photo, face.box, FER2013, 48, angle=tilt(face.landmarks))
    assert np.array_equal(data.split("train").pixels[0], wanted)
    upright = data.split("test").pixels[0].astype(int)
    assert np.abs(upright - wanted).mean() < 12  # compressed sideways, so not to the byte


def test_evaluate_scores_photos_as_the_camera_sees_them(
    command: Run, trained: Path, photos: Path, tmp_path: Path
) -> None:
    """The largest face of each photo counts, and a photo without one is wrong."""
    report = tmp_path / "scores.json"
    options = ["--photos", "--split", "all", "--json", report]
    done = command("fer-train", "evaluate", trained / "model.pt", photos, *options)
    assert done.returncode == 0, done.stderr
    train = json.loads(report.read_text())["splits"]["train"]
    assert [sum(row) for row in train["confusion"]] == [2, 0, 2]  # happy: a, crowd; sad: a, far
    assert train["missed"] == [1, 0, 1]  # wall, torn
    right = [train["confusion"][index][index] for index in (0, 2)]
    wanted = {"accuracy": sum(right) / 6, "macro_recall": sum(right) / 6}
    assert train["with_missed"] == {name: pytest.approx(value, abs=1e-4) for name, value in wanted.items()}
    assert "no face found on 2 photos; with these as wrong: accuracy" in done.stdout
    (tmp_path / "data/train/happy").mkdir(parents=True)
    cv2.imwrite(str(tmp_path / "data/train/happy/wall.png"), np.full((300, 300, 3), 90, np.uint8))
    none = command("fer-train", "evaluate", trained / "model.pt", tmp_path / "data", "--photos")
    assert none.returncode == 1
    assert "no face was found on any photo" in none.stderr


def test_verify_and_bench_score_photos_as_evaluate_does(
    command: Run, exported: dict[str, Path], photos: Path, tmp_path: Path
) -> None:
    file, report = exported["fp32"], tmp_path / "scores.json"
    given = [photos / "train", "--photos", "--json", report]
    done = command("fer-train", "evaluate", file, *given)
    assert done.returncode == 0, done.stderr
    section = json.loads(report.read_text())["splits"]["train"]
    wanted = section["with_missed"]
    assert section["missed"] == [1, 0, 1]
    verified = command("fer-verify", file, "--data", photos / "train", "--photos")
    assert verified.returncode == 0, verified.stdout
    assert f"accuracy on photos, train {wanted['accuracy']:.2%}" in " ".join(verified.stdout.split())
    assert "(n = 6, 2 without a face)" in verified.stdout
    compared = command("fer-bench", file, "--data", *given, "--duration", 0.2, COLUMNS="200")
    assert compared.returncode in (0, 3), compared.stderr  # 3: a noisy machine
    assert "2 photos show no face that the detector finds" in compared.stderr
    assert "of all photos" in compared.stdout
    scores = json.loads(report.read_text())["models"][0]["scores"]
    assert (scores["missed"], scores["with_missed"]) == (section["missed"], wanted)
    assert scores["confusion"] == section["confusion"]
    for name in ("fer-verify", "fer-bench"):
        refused = command(name, file, "--photos")
        assert refused.returncode == 2
        assert "give --data too" in refused.stderr


def test_a_zip_gives_the_same_bytes_as_its_folder(command: Run, photos: Path, tmp_path: Path) -> None:
    archive = zip_folder(photos, tmp_path / "photos.zip")
    for source, name in ((photos, "a.zip"), (archive, "b.zip")):
        assert command("fer-train", "crop", source, "--out", tmp_path / name).returncode == 0
    assert (tmp_path / "a.zip").read_bytes() == (tmp_path / "b.zip").read_bytes()


def test_flat_photos_of_one_name_stay_apart(command: Run, tmp_path: Path) -> None:
    folder = tmp_path / "photos"
    folder.mkdir()
    for name in ("a.jpg", "a.png", "b.png"):
        cv2.imwrite(str(folder / name), one_face())
    assert command("fer-train", "crop", folder, "--out", tmp_path / "faces.zip").returncode == 0
    assert zipfile.ZipFile(tmp_path / "faces.zip").namelist() == ["a.jpg.png", "a.png.png", "b.png"]


def test_names_that_are_no_text(command: Run, tmp_path: Path) -> None:
    """Bytes that are no UTF-8, line ends and commas: the faces keep their classes, and the list its lines."""
    for folder in ("happy", "sad"):
        (tmp_path / "photos" / folder).mkdir(parents=True)
    cv2.imwrite(str(tmp_path / "photos/sad/a.jpg"), one_face())
    jpeg = (tmp_path / "photos/sad/a.jpg").read_bytes()
    for name in (b"happy/\xff.jpg", b"happy/\xfe.jpg", b"happy/b,\nc.jpg"):
        (tmp_path / "photos" / os.fsdecode(name)).write_bytes(jpeg)
    (tmp_path / "photos" / os.fsdecode(b"sad/torn,\n\xff.jpg")).write_bytes(jpeg[:40])
    done = command("fer-train", "crop", tmp_path / "photos", "--out", tmp_path / "faces.zip")
    assert done.returncode == 0, done.stderr
    with zipfile.ZipFile(tmp_path / "faces.zip") as archive:
        assert archive.namelist() == ["happy/b,\nc.png", "happy/%FE.png", "happy/%FF.png", "sad/a.png"]
    assert load(tmp_path / "faces.zip").classes == ("happy", "sad")
    with (tmp_path / "faces.left-out.csv").open(encoding="utf-8", newline="") as file:
        (row,) = csv.DictReader(file)
    assert row["photo"] == "sad/torn,\n\\udcff.jpg"


def test_without_a_usable_face_nothing_is_written(command: Run, tmp_path: Path) -> None:
    folder = tmp_path / "photos"
    folder.mkdir()
    cv2.imwrite(str(folder / "wall.png"), np.full((300, 300, 3), 90, np.uint8))
    done = command("fer-train", "crop", folder, "--out", tmp_path / "faces.zip")
    assert done.returncode == 1
    assert "none of the 1 photos" in done.stderr
    assert "1 no face" in done.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["photos"]
    over = command("fer-train", "crop", folder, "--out", folder / "wall.png")
    assert over.returncode == 1
    assert "also read" in over.stderr
