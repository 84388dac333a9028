"""fer-train: a run from zip to model.pt, its continuation, and its evaluation."""

import json
import os
import signal
import time
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from conftest import Run, start
from fer_benchmarks.demo_clip import render
from fer_runtime.data.dataset import Faces, load, training_split
from fer_runtime.faces.detection import RetinaFace
from fer_runtime.model.preprocessing import Framing, crop
from fer_train import checkpoint
from fer_train.balance import MIXES, balance, mix
from fer_train.data import degrade
from fer_train.data.augment import augment, drawn
from fer_train.model import build, fold, macs, normalize
from fer_train.recipe import Augmentation
from fer_train.training.calibration import framing, temperature
from fer_train.training.finalize import finish
from fer_train.training.soft_targets import aligned
from fer_train.training.state import read_result


def test_fit_learns_and_writes_everything(trained: Path) -> None:
    names = {path.name for path in trained.iterdir()}
    assert names == {"model.pt", "last.pt", "metrics.json", "curves.png", "confusion.png", "augmented.png"}
    metrics = json.loads((trained / "metrics.json").read_text())
    assert metrics["valid"]["accuracy"] > 0.7  # chance is 0.33
    assert metrics["train_copies_dropped"] == metrics["valid_copies_in_train"] == 3
    assert len(metrics["history"]) == 16
    best = max(metrics["history"], key=lambda row: row["valid_accuracy"])
    assert metrics["valid"]["accuracy"] == pytest.approx(best["valid_accuracy"], abs=1e-4)
    assert metrics["best_epoch"] == best["epoch"]


def test_checkpoint_is_plain_data_with_the_facts(trained: Path) -> None:
    plain = torch.load(trained / "model.pt", weights_only=True)
    assert plain["format"] == checkpoint.FORMAT
    loaded = checkpoint.load(trained / "model.pt")
    assert loaded.manifest.labels == ("happy", "neutral", "sad")
    assert loaded.manifest.macs == macs(loaded.network)
    assert loaded.ranges["relu"][0] == 0.0
    assert loaded.ranges["relu"][1] > 0.0


def test_the_same_checkpoint_gives_the_same_bytes(trained: Path, tmp_path: Path) -> None:
    loaded = checkpoint.load(trained / "model.pt")
    checkpoint.save(loaded, tmp_path / "a.pt")
    checkpoint.save(loaded, tmp_path / "b.pt")
    assert (tmp_path / "a.pt").read_bytes() == (tmp_path / "b.pt").read_bytes()


def test_framing_is_measured_where_the_detector_finds_faces() -> None:
    """Crops of the astronaut that are cut by a known framing give that framing back."""
    true = Framing(0.5, 0.55, 0.9)
    photo = render(50)
    box = RetinaFace()(photo)[0].box
    faces = np.stack([crop(photo, box, true, 48)] * 8)
    found = framing(Faces(faces, np.zeros(8, np.int64), tuple("abcdefgh")))
    assert found is not None
    assert found.centre_x == pytest.approx(true.centre_x, abs=0.05)
    assert found.centre_y == pytest.approx(true.centre_y, abs=0.05)
    assert found.height == pytest.approx(true.height, abs=0.08)


def test_an_existing_run_is_not_overwritten(command: Run, trained: Path, faces_zip: Path) -> None:
    before = (trained / "last.pt").read_bytes()
    done = command("fer-train", "fit", faces_zip, "--model", "nano", "--out", trained)
    assert done.returncode == 1
    assert "add --resume" in done.stderr
    other = command("fer-train", "fit", faces_zip, "--model", "nano", "--seed", 1, "--out", trained, "--resume")
    assert other.returncode == 1
    assert "belongs to another run: its recipe" in other.stderr or "its seed" in other.stderr
    assert (trained / "last.pt").read_bytes() == before


def test_interrupted_and_resumed_equals_uninterrupted(
    command: Run, trained: Path, faces_zip: Path, tmp_path: Path
) -> None:
    out = tmp_path / "again"
    arguments = ["fit", str(faces_zip), "--model", "nano", "--epochs", "16", "--device", "cpu", "--out", str(out)]
    process = start("fer-train", *arguments)
    deadline = time.monotonic() + 120
    while not (out / "last.pt").exists() and time.monotonic() < deadline:
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 130, errors
    assert "--resume continues" in errors
    assert "Traceback" not in errors
    assert not (out / "model.pt").exists()
    done = command("fer-train", *arguments, "--resume")
    assert done.returncode == 0, done.stderr
    assert "resuming after epoch" in done.stderr
    first, second = (torch.load(run / "model.pt", weights_only=True)["weights"] for run in (trained, out))
    assert all(torch.equal(first[name], second[name]) for name in first)


def test_evaluate_scores_every_split(command: Run, trained: Path, faces_zip: Path, tmp_path: Path) -> None:
    report = tmp_path / "scores.json"
    done = command("fer-train", "evaluate", trained / "model.pt", faces_zip, "--split", "all", "--json", report)
    assert done.returncode == 0, done.stderr
    scores = json.loads(report.read_text())["splits"]
    assert {name: split["n"] for name, split in scores.items()} == {
        "train": 387, "valid": 60, "valid, not in train": 57, "test": 30,
    }  # fmt: skip
    metrics = json.loads((trained / "metrics.json").read_text())
    assert metrics["valid"].items() <= scores["valid"].items()
    confusion = scores["valid"]["confusion"]
    assert scores["valid"]["accuracy"] == pytest.approx(sum(confusion[i][i] for i in range(3)) / 60, abs=1e-4)
    assert f"n = {57}" in done.stdout


def test_evaluate_takes_onnx_too(command: Run, trained: Path, exported: dict[str, Path], faces_zip: Path) -> None:
    torch_says = command("fer-train", "evaluate", trained / "model.pt", faces_zip)
    onnx_says = command("fer-train", "evaluate", exported["fp32"], faces_zip)
    assert torch_says.returncode == onnx_says.returncode == 0
    assert torch_says.stdout == onnx_says.stdout
    assert torch_says.stdout.startswith("valid: accuracy")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "is not a checkpoint of ours"),
        (b"just text", "is not a checkpoint of ours"),
        (None, "is not a file"),
    ],
)
def test_bad_checkpoints(command: Run, faces_zip: Path, tmp_path: Path, content: bytes | None, message: str) -> None:
    model = tmp_path / "model.pt"
    if content is not None:
        model.write_bytes(content)
    done = command("fer-train", "evaluate", model, faces_zip)
    assert done.returncode == 1
    assert message in done.stderr
    assert "Traceback" not in done.stderr


class Bomb:
    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.system, ("touch exploded",)


def test_a_pickle_that_runs_code_is_not_run(command: Run, faces_zip: Path, tmp_path: Path) -> None:
    torch.save({"format": Bomb()}, tmp_path / "model.pt")
    done = command("fer-train", "evaluate", tmp_path / "model.pt", faces_zip, cwd=tmp_path)
    assert done.returncode == 1
    assert "none was run" in done.stderr
    assert not (tmp_path / "exploded").exists()


def test_foreign_state_dicts_are_named(command: Run, faces_zip: Path, tmp_path: Path) -> None:
    torch.save({"layer.weight": torch.zeros(3)}, tmp_path / "model.pt")
    done = command("fer-train", "evaluate", tmp_path / "model.pt", faces_zip)
    assert done.returncode == 1
    assert "found keys ['layer.weight']" in done.stderr


def test_fit_refuses_bad_data(command: Run, tmp_path: Path) -> None:
    done = command("fer-train", "fit", tmp_path / "nowhere.zip", "--out", tmp_path / "out")
    assert done.returncode == 1
    assert "does not exist" in done.stderr
    assert not (tmp_path / "out").exists()


def test_folding_keeps_the_answers() -> None:
    torch.manual_seed(0)
    network = build("small", 7)
    faces = torch.randint(0, 256, (32, 1, 48, 48))
    network.train()(normalize(faces))  # gives the norms statistics to fold
    network.eval()
    with torch.no_grad():
        before = network(normalize(faces))
        after = fold(network)(normalize(faces))
    assert torch.allclose(before, after, atol=1e-4)


def test_augmentation_varies_each_face_and_keeps_the_range(faces_folder: Path) -> None:
    pixels = torch.from_numpy(training_split(load(faces_folder)).pixels[:1]).expand(64, -1, -1, -1)
    numbers = drawn(64, seed=0)
    first = augment(pixels, numbers, Augmentation(), 48)
    assert torch.equal(first, augment(pixels, drawn(64, seed=0), Augmentation(), 48))
    assert torch.equal(first[5:9], augment(pixels[5:9], numbers[5:9], Augmentation(), 48))
    assert first.shape == pixels.shape
    assert first.min() >= 0
    assert first.max() <= 255
    assert len({face.numpy().tobytes() for face in first}) == 64
    still = Augmentation(0, 0, 0, 0, 0, 0, 0, 0)
    same = (augment(pixels, numbers, still, 48) - pixels).abs().amax((1, 2, 3)) < 1
    mirrored = (augment(pixels, numbers, still, 48) - pixels.flip(3)).abs().amax((1, 2, 3)) < 1
    assert same.sum() > 16
    assert mirrored.sum() > 16


def test_cameras_blur_in_one_direction_and_add_noise() -> None:
    """Each to the asked share of the faces and up to the asked strength, and to no other pixel statistics."""
    still, numbers = Augmentation(0, 0, 0, 0, 0, 0, 0, 0), drawn(4000, seed=0)
    grey = torch.full((4000, 1, 48, 48), 120, dtype=torch.uint8)
    noisy = augment(grey, numbers, replace(still, noise=0.25, noise_sigma=0.06), 48) - 120
    deviations = noisy.std((1, 2, 3)) / 255
    assert (deviations > 1e-4).float().mean() == pytest.approx(0.25, abs=0.03)
    assert deviations.max() == pytest.approx(0.06, rel=0.05)
    assert deviations[deviations > 1e-4].mean() == pytest.approx(0.03, rel=0.1)
    assert noisy.mean((1, 2, 3)).abs().max() < 2
    assert not torch.equal(*noisy[deviations > 0.05][:2])

    point = torch.zeros(4000, 1, 48, 48, dtype=torch.uint8)
    point[:, :, 24, 24] = 255
    spread = augment(point, numbers, replace(still, blur=0.25, blur_sigma=0.035), 48)
    before = augment(point, numbers, still, 48)
    changed = (spread - before).abs().amax((1, 2, 3)) > 1
    assert changed.float().mean() == pytest.approx(0.25, abs=0.03)
    assert torch.allclose(spread.sum((1, 2, 3)), before.sum((1, 2, 3)), rtol=0.01)
    at = torch.arange(48) - 23.5
    light = spread[changed, 0] - spread.min()  # of black, gamma leaves a little
    shares = light / light.sum((1, 2), keepdim=True)
    moments = torch.stack(
        [(shares * w).sum((1, 2)) for w in (at**2 * torch.ones(48, 1), at[:, None] ** 2 * torch.ones(48))]
    )
    assert (moments[0] > 1.5 * moments[1]).any()  # along x
    assert (moments[1] > 1.5 * moments[0]).any()  # along y
    assert 1.5 < moments.max() < 3.2  # 0.035 of 48 pixels, squared, within a kernel of 7 pixels


@pytest.mark.parametrize("quality", [5, 30, 50, 75, 95])
def test_jpeg_is_what_a_coder_and_decoder_make_of_a_face(faces_zip: Path, quality: int) -> None:
    face = cv2.GaussianBlur(load(faces_zip).split("train").pixels[0, 0], (3, 3), 0)
    coded = cv2.imencode(".jpg", face, [cv2.IMWRITE_JPEG_QUALITY, quality])[1]
    decoded = torch.from_numpy(cv2.imdecode(coded, cv2.IMREAD_GRAYSCALE)).float()
    ours = degrade.jpeg(torch.from_numpy(face)[None, None].float(), torch.tensor([float(quality)]))[0, 0].round()
    lost = (decoded - torch.from_numpy(face)).abs().mean()
    assert lost > 0.2
    assert (ours - decoded).abs().mean() < 0.25 * lost  # libjpeg counts in integers, so ties fall differently


def test_compressed_faces_lose_pixels_as_asked(faces_zip: Path) -> None:
    """The asked share alone, at every size, and smaller ones lose more."""
    numbers = drawn(4000, seed=0)[:, -3:]
    faces = torch.from_numpy(load(faces_zip).split("train").pixels[:1]).float().expand(4000, -1, -1, -1)
    how = Augmentation(jpeg=0.25, jpeg_blocks=(2, 6))
    lost = (degrade.compressed(faces, numbers, how) - faces).abs().mean((1, 2, 3))
    assert (lost > 0).float().mean() == pytest.approx(0.25, abs=0.03)
    assert torch.equal(lost > 0, numbers[:, 0] < 0.25)
    sizes = (numbers[:, 1] * 5).long()
    means = [float(lost[(lost > 0) & (sizes == size)].mean()) for size in range(5)]
    assert means == sorted(means, reverse=True)
    assert means[0] > 1.5 * means[4]


def test_balance_answers_each_class_as_often_as_its_mix_says() -> None:
    generator = torch.Generator().manual_seed(0)
    labels = torch.multinomial(torch.tensor([0.6, 0.3, 0.1]), 6_000, replacement=True, generator=generator)
    logits = 1.5 * torch.nn.functional.one_hot(labels, 3) + torch.randn(6_000, 3, generator=generator)
    logits += torch.tensor([0.8, 0.0, -0.8])  # as one that prefers frequent classes
    before, added = torch.bincount(logits.argmax(1)), balance(logits, torch.bincount(labels) / 6_000)
    after, wanted = torch.bincount((logits + added).argmax(1)), torch.bincount(labels)
    assert (before - wanted).abs().max() > 400
    assert (after - wanted).abs().max() < 60
    assert added.sum() == pytest.approx(0, abs=1e-4)
    assert added[2] > added[1] > added[0]


def test_mixes_of_classes() -> None:
    labels, votes = torch.tensor([90.0, 10.0]), torch.tensor([20.0, 80.0])
    found = {name: mix(name, labels, votes).tolist() for name in MIXES}
    wanted = {"labels": [0.9, 0.1], "votes": [0.2, 0.8], "between": [0.6, 0.4], "uniform": [0.5, 0.5]}
    assert found == {name: pytest.approx(shares) for name, shares in wanted.items()}


def test_the_balance_is_in_the_checkpoint(trained: Path, faces_folder: Path, tmp_path: Path) -> None:
    """What was added to the head stands in the manifest, and taking it away gives the run's own network."""
    run = read_result(trained / "last.pt")
    assert checkpoint.load(trained / "model.pt").manifest.balance == {}  # nano's recipe
    run = replace(run, config=replace(run.config, recipe=replace(run.config.recipe, balance="labels")))
    finish(run, load(faces_folder), tmp_path)
    found = checkpoint.load(tmp_path / "model.pt")
    assert found.manifest.balance["mix"] == "labels"
    assert found.manifest.balance["shares"] == pytest.approx([1 / 3] * 3, abs=0.01)
    added = torch.tensor(found.manifest.balance["added"])
    assert torch.allclose(found.network.head.bias - added, run.network().head.bias, atol=1e-3)
    reordered = [found.manifest.labels[i] for i in (2, 0, 1)]  # and so it teaches, in the data's order of classes
    assert torch.allclose(aligned(found, tuple(reordered)).head.bias, run.network().head.bias[[2, 0, 1]], atol=1e-3)


def test_temperature_finds_the_one_that_was_applied() -> None:
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(20_000, 7, generator=generator) * 2
    labels = torch.multinomial(logits.softmax(1), 1, generator=generator)[:, 0]
    assert temperature(logits * 3, labels) == pytest.approx(3, rel=0.05)
    assert temperature(logits * 3, logits.softmax(1) / 2) == pytest.approx(3, rel=0.05)  # votes of half the voters


def test_runs_of_before_are_read_and_resumed(command: Run, trained: Path, faces_zip: Path, tmp_path: Path) -> None:
    """The state that fer-train wrote when balance was yes or no, votes were one head, and its modules lay flat."""
    state = torch.load(trained / "last.pt", weights_only=True)
    recipe = state["job"]["recipe"]
    del recipe["label_share"], recipe["balance"]
    for later in ("blur", "blur_sigma", "noise", "noise_sigma", "jpeg", "jpeg_blocks", "jpeg_quality"):
        del recipe["augmentation"][later]
    recipe["balanced"] = False
    for row in state["history"]:
        del row["valid_log_loss"]
    torch.save(state, tmp_path / "last.pt")
    assert read_result(tmp_path / "last.pt").config.recipe.balance == "none"
    options = ["fit", faces_zip, "--model", "nano", "--epochs", 16, "--device", "cpu", "--out", tmp_path, "--resume"]
    done = command("fer-train", *options)
    assert done.returncode == 0, done.stderr
    assert "resuming after epoch 16 of 16" in done.stderr
    recipe["balanced"] = True
    torch.save(state, tmp_path / "last.pt")
    assert read_result(tmp_path / "last.pt").config.recipe.balance == "labels"
    assert "its balance is labels, now none" in command("fer-train", *options).stderr
