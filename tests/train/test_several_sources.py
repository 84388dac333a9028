"""fer-train fit with several data sets: classes matched, copies dropped, shares, validation of each."""

import json
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from conftest import Run
from fer_runtime.data import class_names
from fer_runtime.data.dataset import load, training_split
from fer_runtime.errors import FerError
from fer_train import checkpoint
from fer_train.data import sources
from fer_train.data.batches import epoch_order
from helpers.drawn import draw_face, write_faces, zip_folder

SHORT = ("--model", "nano", "--epochs", 2, "--device", "cpu")
MEANT = {"happy": "Happiness", "neutral": "neutrality", "sad": "sadness"}


@pytest.fixture(scope="module")
def fer_zip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """FER2013's layout: 192 train and 30 PublicTest faces."""
    root = tmp_path_factory.mktemp("fer")
    write_faces(root, "Training", "train", 64, 0)
    write_faces(root, "PublicTest", "test", 10, 1)
    return zip_folder(root, tmp_path_factory.mktemp("zip") / "fer.zip")


@pytest.fixture(scope="module")
def photos(fer_zip: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """30 faces in folders of other names, and a class more, without a split; two faces are fer.zip's."""
    root = tmp_path_factory.mktemp("sets") / "photos"
    rng, fer = np.random.RandomState(7), load(fer_zip)
    for mood, folder in (*MEANT.items(), ("sad", "contempt")):
        (root / folder).mkdir(parents=True)
        for index in range(10 if folder != "contempt" else 4):
            cv2.imwrite(str(root / folder / f"{index}.png"), draw_face(mood, rng))
    for name, split in (("train", "train"), ("valid", "valid")):
        at = int(np.flatnonzero(fer.split(split).labels == 0)[0])
        cv2.imwrite(str(root / MEANT["happy"] / f"copy_{name}.png"), fer.split(split).pixels[at, 0])
    return root


def test_class_names_are_matched_by_their_meaning() -> None:
    found = class_names.match(
        ("Anger", "3_happy", "surprised_faces", "sad", "pain", "not_happy"), ("angry", "happy", "surprise", "sad")
    )
    assert found == {
        "Anger": "angry", "3_happy": "happy", "surprised_faces": "surprise", "sad": "sad",
        "pain": None, "not_happy": None,
    }  # fmt: skip
    assert class_names.match(("anger",), ("angry", "anger")) == {"anger": "anger"}
    assert class_names.match(("ang",), ("angry", "anger")) == {"ang": None}
    with pytest.raises(FerError, match="joy and happiness would both be happy"):
        class_names.match(("joy", "happiness"), ("happy", "sad"))


def test_sets_are_joined_without_copies(fer_zip: Path, photos: Path) -> None:
    data = sources.load((fer_zip, photos), {"contempt": None})
    fer = load(fer_zip)
    assert data.classes == ("happy", "neutral", "sad")
    assert data.sources == ("1: fer.zip", "2: photos")
    assert data.renamed == ("2:Happiness=happy", "2:contempt=-", "2:neutrality=neutral", "2:sadness=sad")
    train, valid = training_split(data), data.split("valid")
    assert train.sources is not None
    assert valid.sources is not None
    own = train.sources == 1
    assert 24 <= own.sum() <= 30
    assert (train.sources == 0).sum() == len(fer.split("train"))
    assert len({pixels.tobytes() for pixels in train.pixels}) == len(train)
    held = {pixels.tobytes() for pixels in valid.pixels}
    assert not held & {pixels.tobytes() for pixels in train.pixels}
    assert len(held) == len(valid)
    for name, label, source in zip(train.names, train.labels, train.sources, strict=True):
        assert name.startswith("2:train/") == (source == 1)
        assert (MEANT if source else {c: c for c in data.classes})[data.classes[label]] in name
    with pytest.raises(FerError, match="contempt=- to leave it out"):
        sources.load((fer_zip, photos), {})
    with pytest.raises(FerError, match="none of the data has a class 'rage'"):
        sources.load((fer_zip, photos), {"rage": None})
    four = sources.load((fer_zip, photos), {"contempt": "contempt"})
    assert four.classes == ("happy", "neutral", "sad", "contempt")
    assert (four.split("train").labels == 3).sum() >= 3
    merged = sources.load((fer_zip, photos), {"contempt": "sadness"})
    assert merged.classes == data.classes
    assert (merged.split("train").labels == 2).sum() > (data.split("train").labels == 2).sum()


def test_an_epoch_has_the_shares_asked_for(fer_zip: Path, photos: Path) -> None:
    train = training_split(sources.load((fer_zip, photos), {"contempt": None}))
    assert train.sources is not None
    generator = torch.Generator().manual_seed(0)
    order = epoch_order(train, (0.25, 0.75), generator).numpy()
    assert len(order) == len(train)
    drawn = train.sources[order] == 1
    assert drawn.mean() == pytest.approx(0.75, abs=0.01)
    times = np.bincount(order[drawn], minlength=len(train))[train.sources == 1]
    assert times.max() - times.min() <= 1
    assert np.bincount(order[~drawn]).max() == 1
    assert not np.array_equal(order, epoch_order(train, (0.25, 0.75), generator).numpy())
    assert sorted(epoch_order(train, (), generator).tolist()) == list(range(len(train)))


def test_fit_takes_several_sets(command: Run, fer_zip: Path, photos: Path, tmp_path: Path) -> None:
    """It says what it understood, measures each, chooses by their mean, and resumes on the same data alone."""
    given = [fer_zip, photos, "--classes", "contempt=-", "--share", "2,1"]
    done = command("fer-train", "fit", *given, *SHORT, "--out", tmp_path / "run")
    assert done.returncode == 0, done.stderr
    assert (
        "photos: class Happiness is happy, contempt is left out, neutrality is neutral, sadness is sad" in done.stderr
    )
    assert "stand in earlier data and were dropped" in done.stderr
    metrics = json.loads((tmp_path / "run/metrics.json").read_text())
    assert list(metrics["valid_sources"]) == ["1: fer.zip", "2: photos"]
    assert metrics["valid_sources"]["1: fer.zip"]["n"] == 30
    for row in metrics["history"]:
        each = [row["valid_accuracy 1: fer.zip"], row["valid_accuracy 2: photos"]]
        assert row["valid_accuracy"] == pytest.approx(sum(each) / 2)
    best = max(metrics["history"], key=lambda row: row["valid_accuracy"])
    assert metrics["best_epoch"] == best["epoch"]
    found = checkpoint.load(tmp_path / "run/model.pt")
    assert found.recipe["shares"] == pytest.approx([2 / 3, 1 / 3])
    resume = ["--out", tmp_path / "run", "--resume"]
    other = command("fer-train", "fit", *given[:-1], "1,1", *SHORT, *resume)
    assert other.returncode == 1
    assert "belongs to another run: its shares" in other.stderr
    again = command("fer-train", "fit", *given, *SHORT, *resume)
    assert again.returncode == 0, again.stderr
    assert "resuming after epoch 2 of 2" in again.stderr
    finish = ["fer-train", "finish", tmp_path / "run", fer_zip, photos]
    refused = command(*finish, "--classes", "contempt=sad")
    assert refused.returncode == 1
    assert "is not what" in refused.stderr
    assert command(*finish, "--classes", "contempt=-", "--balance", "labels").returncode == 0


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--share", "1"], "expected a number for each DATA"),
        (["--share", "1,0"], "photos has training faces: give it more than 0"),
        (["--share", "1,x"], "expected a number for each DATA"),
        (["--classes", "contempt"], "expected OLD=NEW"),
        (["--classes", "contempt=sad,contempt=-"], "'contempt' is given two names"),
        (["--classes", "rage=-"], "none of the data has a class 'rage'"),
    ],
)
def test_what_cannot_be_meant(
    command: Run, fer_zip: Path, photos: Path, tmp_path: Path, options: list[str], message: str
) -> None:
    given = options if "--classes" in options else [*options, "--classes", "contempt=-"]
    done = command("fer-train", "fit", fer_zip, photos, *given, *SHORT, "--out", tmp_path / "run")
    assert done.returncode in (1, 2)
    assert message in " ".join(done.stderr.split())
    assert "Traceback" not in done.stderr


def test_a_model_is_scored_on_classes_of_other_names(
    command: Run, trained: Path, faces_folder: Path, tmp_path: Path
) -> None:
    for mood, folder in MEANT.items():
        (tmp_path / "data" / folder).mkdir(parents=True)
        for file in sorted((faces_folder / "test" / mood).glob("PublicTest_*.png")):
            (tmp_path / "data" / folder / file.name).write_bytes(file.read_bytes())
    done = command("fer-train", "evaluate", trained / "model.pt", tmp_path / "data")
    assert done.returncode == 0, done.stderr
    assert "matched by their meaning: Happiness is happy" in done.stderr
    own = command("fer-train", "evaluate", trained / "model.pt", faces_folder, "--split", "valid")
    assert done.stdout.split("accuracy")[1].split(",")[0] == own.stdout.split("accuracy")[1].split(",")[0]
