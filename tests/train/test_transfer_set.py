"""fer-train fit --unlabelled: faces without labels learn what the teachers predict for them."""

import signal
import time
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from conftest import Run, start
from fer_runtime.data.dataset import Faces, joined, load, load_unlabelled
from fer_train import checkpoint
from fer_train.data.augment import augment, drawn
from fer_train.data.ferplus import Votes
from fer_train.model import normalize
from fer_train.recipe import RECIPES
from fer_train.training.distributed import Group
from fer_train.training.progress_callback import ProgressCallback
from fer_train.training.soft_targets import Sources, training_targets
from fer_train.training.state import RunConfig
from helpers.drawn import draw_face, write_faces, zip_folder

SHORT = ("--model", "nano", "--epochs", 6, "--device", "cpu")


@pytest.fixture(scope="module")
def small_zip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """192 train and 30 PublicTest faces."""
    root = tmp_path_factory.mktemp("small")
    write_faces(root, "Training", "train", 64, 0)
    write_faces(root, "PublicTest", "test", 10, 1)
    return zip_folder(root, tmp_path_factory.mktemp("zip") / "small.zip")


def weights(folder: Path) -> dict[str, torch.Tensor]:
    found: dict[str, torch.Tensor] = torch.load(folder / "model.pt", weights_only=True)["weights"]
    return found


@pytest.fixture(scope="module")
def transfer_zip(small_zip: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """12 faces in no class folder, and a copy of an evaluation face."""
    root = tmp_path_factory.mktemp("transfer")
    rng = np.random.RandomState(5)
    for index in range(12):
        cv2.imwrite(str(root / f"{index}.png"), draw_face(("happy", "neutral", "sad")[index % 3], rng))
    cv2.imwrite(str(root / "copy.png"), load(small_zip).split("valid").pixels[0, 0])
    return zip_folder(root, tmp_path_factory.mktemp("zip") / "transfer.zip")


def test_faces_without_labels_learn_from_teachers_alone(
    trained: Path, small_zip: Path, transfer_zip: Path, tmp_path: Path
) -> None:
    """Their target is the teachers' prediction for the very view, at full weight; all others' is as without them."""
    data, transfer = load(small_zip), load_unlabelled(transfer_zip)[0]
    train, cpu = data.split("train"), torch.device("cpu")
    recipe = replace(RECIPES["nano"], epochs=1, label_share=0.25)
    network = checkpoint.load(trained / "model.pt").network
    config = RunConfig("nano", recipe, 0, data.classes, data.fingerprint, teachers=("a",), unlabelled="b")
    votes = Votes(dict.fromkeys(train.names, 0), np.array([[1, 0, 3, 6]], np.float32), 3)
    sources = Sources(votes, (network,))

    def targets(faces: Faces, config: RunConfig, folder: str) -> torch.Tensor:
        (tmp_path / folder).mkdir()
        made = training_targets(faces, config, sources, tmp_path / folder, Group(cpu), ProgressCallback())
        assert len(made.views) == 2  # no more than the epochs need
        return made.views

    found = targets(joined([train, transfer]), config, "with")
    for view in range(2):
        numbers = drawn(len(train) + len(transfer), view)[len(train) :]
        seen = augment(torch.from_numpy(transfer.pixels), numbers, recipe.augmentation, 48)
        with torch.inference_mode():
            wanted = network(normalize(seen)).softmax(1)
        assert torch.allclose(found[view, len(train) :, :3], wanted, atol=0.03)  # bfloat16
        assert torch.allclose(found[view, len(train) :, :3].sum(1), torch.ones(len(transfer)), atol=5e-3)
        assert not found[view, len(train) :, 3:].any()  # the second head learns labels
    alone = targets(train, replace(config, unlabelled=""), "without")
    assert torch.equal(found[:, : len(train), 3:], alone[..., 3:])
    assert torch.allclose(found[:, : len(train)].sum(2), alone.sum(2), atol=2e-3)


def test_fit_takes_faces_without_labels(
    command: Run, trained: Path, small_zip: Path, transfer_zip: Path, tmp_path: Path
) -> None:
    """Evaluation faces among them are dropped; a run stopped between two epochs ends with the same weights."""
    arguments = ["fer-train", "fit", small_zip, *SHORT, "--teacher", trained / "model.pt"]
    done = command(*arguments, "--unlabelled", transfer_zip, "--out", tmp_path / "a/run")
    assert done.returncode == 0, done.stderr
    assert "note: transfer.zip: 1 copies of evaluation faces were dropped" in done.stderr
    assert "192 train, 30 valid, 12 unlabelled faces" in done.stderr
    found = checkpoint.load(tmp_path / "a/run/model.pt")
    assert found.metrics["train_faces"] == 192
    started = start("fer-train", *arguments[1:], "--unlabelled", transfer_zip, "--out", tmp_path / "b/run")
    while not (tmp_path / "b/run/last.pt").exists() and started.poll() is None:
        time.sleep(0.02)
    started.send_signal(signal.SIGINT)
    assert started.wait(timeout=100) == 130
    other = command(*arguments, "--out", tmp_path / "b/run", "--resume")
    assert other.returncode == 1
    assert "belongs to another run: its unlabelled is" in other.stderr
    done = command(*arguments, "--unlabelled", transfer_zip, "--out", tmp_path / "b/run", "--resume")
    assert done.returncode == 0, done.stderr
    assert "resuming after epoch 1" in done.stderr
    assert all(torch.equal(weights(tmp_path / "a/run")[k], value) for k, value in weights(tmp_path / "b/run").items())


def test_faces_without_labels_need_a_teacher(command: Run, small_zip: Path, transfer_zip: Path, tmp_path: Path) -> None:
    done = command("fer-train", "fit", small_zip, *SHORT, "--unlabelled", transfer_zip, "--out", tmp_path / "run")
    assert done.returncode == 2
    assert "give --teacher too" in done.stderr
    (tmp_path / "empty").mkdir()
    options = ("--teacher", "none.pt", "--unlabelled", tmp_path / "empty", "--out", tmp_path / "run")
    done = command("fer-train", "fit", small_zip, *SHORT, *options)
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
