"""The locator's training and export: photos -> scenes -> model.pt -> ONNX that the runtime takes."""

import json
import subprocess
import sys
from dataclasses import asdict
from pathlib import Path

import cv2
import numpy as np
import onnx
import pytest
import torch
from numpy.typing import NDArray

from fer_benchmarks.demo_clip import placements, render
from fer_export.locator import exported, regions_of
from fer_runtime.errors import FerError, GateError
from fer_runtime.faces import locating
from fer_runtime.faces.locating import Locator
from fer_train.locator.checkpoint import LocatorCheckpoint, load
from fer_train.locator.network import LocatorNet
from fer_train.locator.samples import CANVAS, Samples, prepared
from fer_train.locator.training import LocatorRecipe, observed_ranges, train
from fer_train.locator.views import plain, varied


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Photos that a drawn face fills, as those from the web do."""
    folder = tmp_path_factory.mktemp("photos")
    for index in range(0, 60, 3):
        x, y, w, h = (round(value) for value in placements(index)[index % 2].face)
        face = render(index)[max(0, y - h // 10) : y + h + h // 10, max(0, x - w // 5) : x + w + w // 5]
        cv2.imwrite(str(folder / f"{index}.png"), face)
    return folder


@pytest.fixture(scope="module")
def samples(photos: Path, tmp_path_factory: pytest.TempPathFactory) -> Samples:
    return prepared(photos, tmp_path_factory.mktemp("kept") / "0.npz", None, 0)


def trained(samples: Samples, state: Path, epochs: int = 2) -> LocatorNet:
    return train(samples, LocatorRecipe(epochs=epochs, batch=32), state, lambda *_: None)


def weights(network: LocatorNet) -> NDArray[np.float32]:
    return np.concatenate([value.numpy().ravel() for value in network.state_dict().values()])


def test_a_scene_holds_its_face_in_the_size_of_the_detectors_region(samples: Samples) -> None:
    places = samples.places[samples.faces]
    assert len(places) >= 10
    assert (~samples.faces).sum() >= 10
    longer = places[:, 2:4].max(1)
    assert np.abs(longer / (CANVAS / 2.2) - 1).max() < 0.2
    centres = places[:, :2] + places[:, 2:4] / 2
    assert np.abs(centres - CANVAS / 2).max() < 8
    eyes, mouth = places[:, [5, 7]].mean(1), places[:, [11, 13]].mean(1)
    assert (eyes < mouth).mean() > 0.9  # upright, but for a few that are turned far


def test_a_mirrored_face_has_its_left_eye_on_the_left(samples: Samples) -> None:
    """And every face of a batch stays where its place says, however it is shifted and scaled."""
    faces = np.flatnonzero(samples.faces)[:8]
    arrays = [torch.from_numpy(each[faces]) for each in (samples.scenes, samples.places, samples.faces)]
    torch.manual_seed(0)
    for _ in range(4):
        views = varied(*arrays)
        left, right = views.places[:, 4], views.places[:, 6]
        upright = torch.from_numpy(np.abs(samples.places[faces][:, 5] - samples.places[faces][:, 7]) < 8)
        assert (left < right)[upright].all()
        assert views.pixels.shape == (8, 1, locating.SIZE, locating.SIZE)
        assert 0 <= views.pixels.min() <= views.pixels.max() <= 255
    still = plain(*arrays)
    assert still.places[:, :2].abs().max() < 1e-5  # in the middle
    assert torch.exp(still.places[:, 2:4]).amax(1).sub(1 / locating.REGION).abs().max() < 1e-5


def test_an_interrupted_training_goes_on_to_the_same_network(samples: Samples, tmp_path: Path) -> None:
    whole = trained(samples, tmp_path / "whole.pt")

    def interrupt(epoch: int, _: float) -> None:
        if epoch == 1:
            raise KeyboardInterrupt

    recipe = LocatorRecipe(epochs=2, batch=32)
    with pytest.raises(KeyboardInterrupt):
        train(samples, recipe, tmp_path / "state.pt", interrupt)
    epochs: list[int] = []
    again = train(samples, recipe, tmp_path / "state.pt", lambda epoch, _: epochs.append(epoch))
    assert epochs == [2]
    assert np.array_equal(weights(whole), weights(again))


def test_from_photos_to_a_file_that_the_runtime_takes(photos: Path, tmp_path: Path) -> None:
    work, out = tmp_path / "work", tmp_path / "locator.pt"
    asked = [photos, "--valid", photos, "--work", work, "--out", out, "--epochs", "1"]
    subprocess.run([sys.executable, "-m", "fer_train.locator", *map(str, asked)], check=True, capture_output=True)
    assert load(out).metrics["conditions"]["eyes covered"]["faces"] > 0
    file = tmp_path / "locator.onnx"
    asked = [out, "--work", work, "--out", file]
    done = subprocess.run(
        [sys.executable, "-m", "fer_export.locator", *map(str, asked)], check=True, capture_output=True, text=True
    )
    assert "int8_agreement" in done.stdout
    model = onnx.load(file)
    assert [(opset.domain, opset.version) for opset in model.opset_import] == [("", 18)]
    assert json.loads(model.metadata_props[0].value)["region"] == locating.REGION
    assert str(tmp_path).encode() not in file.read_bytes()
    faces = [placed.face for placed in placements(0)]
    assert len(Locator(file.read_bytes())(render(0), faces)) == len(faces)


def test_a_file_that_is_not_as_good_is_not_written(samples: Samples, photos: Path, tmp_path: Path) -> None:
    """Ranges that clip everything: int8 says something else than fp32."""
    prepared(photos, tmp_path / "0.npz", None, 0)
    network = trained(samples, tmp_path / "state.pt")
    network.head.weight.data *= 30
    ranges = {site: (low / 50, high / 50) for site, (low, high) in observed_ranges(network, samples).items()}
    regions = regions_of(tmp_path / "0.npz")
    with pytest.raises(GateError, match="int8 moves boxes by"):
        exported(LocatorCheckpoint(network, ranges, {}, asdict(LocatorRecipe())), regions, regions)


@pytest.mark.parametrize("content", [b"", b"no checkpoint", None])
def test_what_is_no_locator_is_refused(content: bytes | None, tmp_path: Path) -> None:
    path = tmp_path / "locator.pt"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(FerError, match="is no locator"):
        load(path)
