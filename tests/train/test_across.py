"""fer-train evaluate with several data sets: a table, and the confusion that differs most."""

import json
from pathlib import Path

import cv2
import numpy as np
import pytest

from conftest import Run
from fer_runtime.data.metrics import Scores, bootstrap, score, with_missed
from fer_runtime.model.session import default_model
from fer_train.evaluation.across import most_different
from helpers.drawn import draw_face, zip_folder

CLASSES = ("happy", "neutral", "sad")


def scores_of(confusion: list[list[int]]) -> Scores:
    true, predicted = np.indices((3, 3)).reshape(2, -1).repeat(np.ravel(confusion), 1)
    return score(predicted, true, CLASSES)


def test_the_most_different_confusion_is_a_sure_one() -> None:
    """Sad for neutral: 5 of 100 and 60 of 200; not the two of two faces that are otherwise wrong."""
    one = scores_of([[50, 0, 0], [0, 2, 0], [0, 5, 95]])
    other = scores_of([[50, 0, 0], [2, 0, 0], [0, 60, 140]])
    found = most_different({"one": one, "other": other})
    assert found is not None
    assert (found.true, found.predicted) == ("sad", "neutral")
    assert found.rates == {"one": 0.05, "other": 0.3}
    low, high = found.interval
    assert low < -0.25 < high < 0
    assert most_different({"one": one, "again": one}) is None
    assert most_different({"one": one}) is None


def test_photos_without_a_face_are_wrong_in_figures_and_intervals() -> None:
    scores, missed = scores_of([[30, 0, 0], [0, 20, 0], [0, 0, 0]]), np.array([10, 0, 5])
    accuracy, recall = with_missed(scores, missed)
    assert accuracy == pytest.approx(50 / 65)
    assert recall == pytest.approx((30 / 40 + 1 + 0) / 3)
    ends = bootstrap(scores, missed)
    assert ends["accuracy"][0] < accuracy < ends["accuracy"][1] < 0.9
    assert ends["macro_recall"][0] < recall < ends["macro_recall"][1]
    assert bootstrap(scores)["macro_recall"] == (1, 1)


def test_a_table_of_all_sets(command: Run, trained: Path, faces_zip: Path, tmp_path: Path) -> None:
    """Its figures are those of each set alone; here the second calls sad what the first calls happy."""
    rng = np.random.RandomState(3)
    for folder, mood in (("happy", "happy"), ("neutral", "neutral"), ("sad", "happy")):
        (tmp_path / "other" / folder).mkdir(parents=True)
        for index in range(30):
            cv2.imwrite(str(tmp_path / "other" / folder / f"{index}.png"), draw_face(mood, rng))
    report = tmp_path / "scores.json"
    model = trained / "model.pt"
    done = command("fer-train", "evaluate", model, faces_zip, tmp_path / "other", "--json", report)
    assert done.returncode == 0, done.stderr
    assert "faces.zip, valid" in done.stdout
    assert "most different: sad taken for happy" in done.stdout
    plain = json.loads(report.read_text())
    assert plain["differing_confusion"]["true"] == "sad"
    for row, source, path in zip(plain["table"], plain["sources"], (faces_zip, tmp_path / "other"), strict=True):
        alone = command("fer-train", "evaluate", model, path, "--json", tmp_path / "alone.json")
        assert alone.returncode == 0, alone.stderr
        own = json.loads((tmp_path / "alone.json").read_text())
        assert source["splits"] == own["splits"]
        assert source["data"] == own["data"]
        section = own["splits"][row["section"]]
        assert (row["n"], row["accuracy"], row["macro_recall"]) == tuple(
            section[key] for key in ("n", "accuracy", "macro_recall")
        )
        assert row["ece"] == section["ece"][1]
        assert row["bootstrap"]["accuracy"] == section["bootstrap"]["accuracy"]
    for option in ("--votes", "--html"):
        refused = command("fer-train", "evaluate", model, faces_zip, tmp_path / "other", option, tmp_path / "x")
        assert refused.returncode == 2
        assert "is for one DATA: found 2" in refused.stderr


def test_each_set_counts_once_and_notes_name_theirs(command: Run, tmp_path: Path) -> None:
    for mood in ("happy", "sad"):
        (tmp_path / "faces" / mood).mkdir(parents=True)
        cv2.imwrite(str(tmp_path / "faces" / mood / "0.png"), draw_face(mood, np.random.RandomState(0)))
    zip_folder(tmp_path / "faces", tmp_path / "faces.zip")
    twice = command("fer-train", "evaluate", default_model(), "faces", "faces.zip", "./faces", cwd=tmp_path)
    assert twice.returncode == 2
    assert "faces is given twice" in twice.stderr
    done = command("fer-train", "evaluate", default_model(), "faces", "faces.zip", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    for name in ("faces", "faces.zip"):
        assert f"note: {name}: no validation or test split found" in done.stderr
