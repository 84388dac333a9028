"""fer-train says how it read the data before anything else, and trains on nothing that it was not meant to."""

from pathlib import Path

import pytest

from conftest import Run
from helpers.drawn import write_faces


def test_fit_and_audit_say_first_what_they_understood(command: Run, tmp_path: Path) -> None:
    write_faces(tmp_path / "data", "a", "train_set", 6, 0)
    write_faces(tmp_path / "data", "b", "test_set", 3, 1)
    understood = (
        "data: 18 train, 9 test (train_set is train, test_set is test); 3 classes in ImageFolder's order: "
        "happy, neutral, sad"
    )
    done = command("fer-train", "audit", ".", cwd=tmp_path / "data")
    assert done.stdout.splitlines()[0] == understood
    done = command(
        "fer-train", "fit", tmp_path / "data", "--model", "nano", "--epochs", 1, "--device", "cpu",
        "--out", tmp_path / "out",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert done.stderr.splitlines()[0] == understood
    assert "training nano on cpu: 15 train, 3 valid, 9 test faces" in done.stderr  # nothing of test_set is trained on


@pytest.mark.parametrize("words", [["fit", "--out", "out"], ["audit"]])
def test_folds_are_not_trained_on_as_classes_or_as_one_set(command: Run, tmp_path: Path, words: list[str]) -> None:
    for fold in ("fold_0", "fold_1"):
        write_faces(tmp_path / "data", "a", fold, 2, 0)
    done = command("fer-train", words[0], "data", *words[1:], cwd=tmp_path)
    assert done.returncode == 1
    assert "fold_0 is a part that may be trained or tested on: move what to train on into train" in done.stderr
    assert not (tmp_path / "out").exists()


def test_a_run_is_not_kept_among_the_faces(command: Run, tmp_path: Path) -> None:
    """Else its diagrams would be a class the next time."""
    write_faces(tmp_path, "a", "train", 2, 0)
    done = command("fer-train", "fit", ".", "--model", "nano", cwd=tmp_path / "train")
    assert done.returncode == 1
    assert "runs/nano is inside ., where its pictures would be read as faces: choose another --out" in done.stderr
    assert not (tmp_path / "train" / "runs").exists()


def test_class_names_of_any_letters_are_trained_on(command: Run, tmp_path: Path) -> None:
    write_faces(tmp_path / "data", "a", "train", 5, 0)
    names = {"happy": "快乐", "sad": "$\\nosuch$", "neutral": "ärger, groß"}
    for mood, name in names.items():
        (tmp_path / "data" / "train" / mood).rename(tmp_path / "data" / "train" / name)
    done = command("fer-train", "fit", "data", "--model", "nano", "--epochs", 1, "--device", "cpu", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "Warning" not in done.stderr
    assert (tmp_path / "runs" / "nano" / "confusion.png").exists()
    done = command("fer-train", "evaluate", "runs/nano/model.pt", "data", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert all(name in done.stdout for name in names.values())
