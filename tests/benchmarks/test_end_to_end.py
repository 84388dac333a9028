"""The end-to-end benchmark on data whose figures are known."""

import json
import subprocess
import sys
from pathlib import Path
from unittest.mock import ANY

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from conftest import ROOT
from fer_benchmarks.demo_clip import FACE, placements, render
from fer_benchmarks.pipeline import detection_recall
from fer_benchmarks.pipeline.compositing import FacePlacement, backgrounds, paste, place
from fer_benchmarks.pipeline.end_to_end import FaceOutcome, measure, summary
from fer_benchmarks.pipeline.tilt_and_lag import TiltResult, tilted
from fer_runtime.data.dataset import Faces
from fer_runtime.errors import FerError
from fer_runtime.faces.detection import RetinaFace
from fer_runtime.model.preprocessing import FER2013, Framing, crop
from fer_runtime.model.session import Classifier

WHOLE = Framing(0.5, 0.5, 1.0)  # the square itself
HAPPY, SAD = 3, 5  # of the default model's classes


@pytest.fixture(scope="module")
def smile() -> NDArray[np.uint8]:
    """The astronaut's face as FER2013 would hold it, uint8 [1, 48, 48]."""
    from skimage.data import astronaut

    return crop(np.ascontiguousarray(astronaut()[:, :, ::-1]), FACE, FER2013, 48)


def run(*arguments: object, cwd: Path) -> "subprocess.CompletedProcess[str]":
    command = [sys.executable, "-m", "fer_benchmarks.pipeline.end_to_end", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, cwd=cwd, check=False)


def test_a_known_face_gives_known_figures(smile: NDArray[np.uint8]) -> None:
    """Eight smiles of which two are labelled sad, and two blank faces: recall 80 %, three quarters right, both ways."""
    classifier = Classifier()
    assert classifier.labels[HAPPY] == "happy"
    assert classifier.labels[SAD] == "sad"
    blank = np.full((1, 48, 48), 128, np.uint8)
    labels = np.array([HAPPY] * 6 + [SAD] * 2 + [HAPPY] * 2)
    faces = Faces(np.stack([smile] * 8 + [blank] * 2), labels, tuple(map(str, range(10))))
    told = []
    result = measure(classifier, faces, sizes=(160, 224), angles=(0,), advance=lambda: told.append(1))
    assert len(told) == result.all.faces == 10
    assert result.all.found == 8
    assert result.all.recall == 0.8
    assert result.all.accuracy == result.all.raw_accuracy == result.all.direct_accuracy == 0.75
    assert result.all.difference == 0
    assert result.all.interval == (0, 0)
    assert result.false_alarms == 0
    assert {size: subset.faces for size, subset in result.by_size.items()} == {"160": 5, "224": 5}
    assert {angle: subset.faces for angle, subset in result.by_angle.items()} == {"0": 10}
    assert result == measure(classifier, faces, sizes=(160, 224), angles=(0,))  # seeded


def test_the_difference_is_paired_and_of_found_faces_alone() -> None:
    at = FacePlacement(100, 100, 80, 0)
    outcomes = [FaceOutcome(at, answer, answer, False, 0) for answer in (0, 0, 1, 1, None)]
    found = summary(outcomes, np.array([0, 1, 1, 0, 0]), np.array([0, 0, 0, 0, 0])).all
    assert found.recall == 0.8
    assert found.accuracy == found.direct_accuracy == 0.5  # each is right where the other is wrong, once
    assert found.difference == 0
    half = 1.96 * np.std([0, 1, 0, -1], ddof=1) / 2
    assert found.interval == pytest.approx((-half, half), abs=1e-4)


def test_a_pasted_face_lies_where_it_is_said_to_lie(smile: NDArray[np.uint8]) -> None:
    rng = np.random.RandomState(0)
    scene = np.zeros((480, 640, 3), np.uint8)
    for size, angle in ((96, 0), (144, 0), (192, 0)):
        placed = place(size, angle, rng)
        x, y, width, height = placed.box
        assert x >= 0
        assert y >= 0
        assert x + width < 640
        assert y + height <= 480
        seen = crop(paste(smile, scene, placed), placed.box, WHOLE, 48)
        assert np.abs(seen[:, 6:-6, 6:-6].astype(int) - smile[:, 6:-6, 6:-6]).mean() < 8


def test_a_tilted_face_is_aligned_by_its_eyes(smile: NDArray[np.uint8]) -> None:
    """The same smile at 30 degrees: found, and named rightly when it is turned upright."""
    faces = Faces(np.stack([smile] * 4), np.array([HAPPY] * 4), tuple("abcd"))
    assert tilted(Classifier(), faces, 30) == TiltResult(found=4, direct=1.0, unaligned=ANY, aligned=1.0)
    blank = Faces(np.full((2, 1, 48, 48), 128, np.uint8), np.array([HAPPY] * 2), ("a", "b"))
    assert tilted(Classifier(), blank, 0).found == 0


def test_backgrounds_hold_no_face() -> None:
    for picture in backgrounds():
        assert picture.shape == (480, 640, 3)
        assert RetinaFace()(picture) == []


@pytest.fixture
def album(tmp_path: Path) -> Path:
    """Two faces of which both are labelled, with one that is not there; two that are not; and nobody."""
    for name, picture in (("two.png", render(0)), ("more.png", render(50)), ("nobody.png", backgrounds()[0])):
        cv2.imwrite(str(tmp_path / name), picture)
    cv2.imwrite(str(tmp_path / "unnamed.png"), render(20))
    rows = [f"two.png,{','.join(str(round(v)) for v in placed.face)}" for placed in placements(0)]
    rows += ["two.png,600,0,30,30", "more.png,,,,", "nobody.png,,,,"]
    (tmp_path / "boxes.csv").write_text("image,x,y,w,h\n" + "\n".join(rows) + "\n")
    return tmp_path


@pytest.mark.parametrize("seconds", [0.0, 0.5])
def test_found_and_false_faces_of_photographs_are_counted(album: Path, seconds: float) -> None:
    """As pictures, and as videos that stand still."""
    found = detection_recall.measure(album, Classifier(), seconds)
    assert (found.photos, found.faces, found.found, found.false_alarms) == (3, 3, 2, 2)
    assert found.missed == ("two.png (600.0, 0.0, 30.0, 30.0)",)


def test_a_found_face_counts_for_one_labelled_face() -> None:
    assert detection_recall.match([(0, 0, 10, 10)], [(0, 0, 10, 10), (1, 1, 10, 10)]) == [(0, 0, 10, 10)]
    assert detection_recall.match([(0, 0, 10, 10), (2, 2, 4, 4)], [(0, 0, 10, 10)]) == [(0, 0, 10, 10)]
    assert detection_recall.match([(40, 40, 20, 20)], [(0, 0, 100, 100)]) == [
        (0, 0, 100, 100)
    ]  # its centre lies inside
    assert detection_recall.match([(0, 0, 10, 10)], [(20, 20, 10, 10)]) == []


@pytest.mark.parametrize("text", ["image,x,y\na.png,1,2\n", "image,x,y,w,h\ntwo.png,1,2,3,wide\n", None])
def test_bad_boxes_are_told_in_one_sentence(album: Path, text: str | None) -> None:
    if text is None:
        (album / "boxes.csv").unlink()
    else:
        (album / "boxes.csv").write_text(text)
    with pytest.raises(FerError, match=r"boxes\.csv cannot be read as boxes"):
        detection_recall.measure(album, Classifier())


def test_the_command(album: Path, faces_folder: Path) -> None:
    """Drawn faces are none to the detector: recall 0, and no accuracy is made up."""
    done = run(faces_folder, "--photos", album, "--limit", 6, "--json", album / "report.json", cwd=ROOT)
    assert done.returncode == 0, done.stderr
    plain = json.loads((album / "report.json").read_text())
    assert plain["split"] == "valid"
    assert plain["composited"]["all"]["faces"] == 6
    assert plain["composited"]["all"]["found"] == 0
    assert plain["composited"]["all"]["accuracy"] is None
    assert plain["photos"]["false_alarms"] == 2
    assert plain["stills"]["found"] == 2
    for kind in ("photos", "photos as still videos"):
        assert f"{kind}: 2 of 3 faces found, 2 false alarms" in done.stdout


def test_the_command_says_what_it_wants(tmp_path: Path) -> None:
    nothing = run(cwd=tmp_path)
    assert nothing.returncode == 2
    assert "give DATA with labelled faces, or --photos FOLDER, or both" in nothing.stderr
    assert "Example: python -m fer_benchmarks.pipeline.end_to_end" in run("--help", cwd=tmp_path).stdout
    absent = run("missing.zip", cwd=tmp_path)
    assert absent.returncode == 1
    assert "Traceback" not in absent.stderr
