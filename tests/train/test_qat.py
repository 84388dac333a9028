"""Fine-tuning for int8: the network that learns rounds as the file does, and the file keeps what it learned."""

from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from numpy.typing import NDArray

from conftest import Run
from fer_runtime.data.dataset import Faces, load
from fer_runtime.errors import FerError
from fer_runtime.model.session import Classifier
from fer_train import checkpoint
from fer_train.inference import predict
from fer_train.model import Architecture, FerNet, Stage, folded, normalize
from fer_train.ranges import activation_ranges
from fer_train.recipe import RECIPES
from fer_train.training.qat import Tuning, rounding, tune
from fer_train.training.soft_targets import SoftTargets, labelled

CPU = torch.device("cpu")


def tuned(source: checkpoint.Checkpoint, faces: Faces, how: Tuning, steps: list[int] | None = None) -> FerNet:
    recipe = RECIPES["nano"]
    wanted = SoftTargets(labelled(faces, 3, recipe, None)[None])
    count = [] if steps is None else steps
    return tune(source.network, source.ranges, faces, wanted, recipe, 0, CPU, lambda: count.append(1), how)


def int8_weights(file: Path, name: str) -> NDArray[np.float32]:
    stored = {tensor.name: onnx.numpy_helper.to_array(tensor) for tensor in onnx.load(file).graph.initializer}
    scale = stored[f"{name}.weight_scale"][:, None, None, None]
    return np.asarray(stored[f"{name}.weight_quantized"] * scale, np.float32)


def test_the_rounding_network_answers_as_the_int8_file(
    trained: Path, exported: dict[str, Path], faces_folder: Path
) -> None:
    faces = load(faces_folder).split("valid")
    source = checkpoint.load(trained / "model.pt")
    wanted = Classifier(exported["int8"]).logits(faces.pixels)
    got = predict(rounding(source.network, source.ranges), faces.pixels).numpy()
    assert np.median(np.abs(got - wanted)) < 1e-4  # a sum that lies on a step's edge may fall the other way
    assert (got.argmax(1) == wanted.argmax(1)).mean() > 0.98
    assert np.median(np.abs(predict(source.network, faces.pixels).numpy() - wanted)) > 1e-3


def test_every_kind_of_layer_is_rounded_as_in_the_file(
    command: Run, trained: Path, faces_folder: Path, tmp_path: Path
) -> None:
    faces = load(faces_folder).split("valid")
    torch.manual_seed(0)
    network = FerNet(Architecture(32, 1, (Stage(32, 2, 1), Stage(64, 1, 2)), 3)).train()
    with torch.no_grad():
        for norm in (module for module in network.modules() if isinstance(module, torch.nn.BatchNorm2d)):
            norm.bias.uniform_(-0.5, 0.5)
        for _ in range(20):  # the norms' averages
            network(normalize(torch.from_numpy(faces.pixels)))
    network.eval()
    source = checkpoint.load(trained / "model.pt")
    architecture = source.manifest.architecture | asdict(network.architecture)
    ranges = activation_ranges(network, faces)
    whole = replace(
        source, network=network, ranges=ranges, manifest=replace(source.manifest, architecture=architecture)
    )
    checkpoint.save(whole, tmp_path / "model.pt")
    done = command("fer-export", tmp_path / "model.pt", "--precision", "int8", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    wanted = Classifier(tmp_path / "model.int8.onnx").logits(faces.pixels)
    got = predict(rounding(network, ranges), faces.pixels).numpy()
    unrounded = predict(network, faces.pixels).numpy()
    assert np.median(np.abs(got - wanted)) < 0.1 * np.median(np.abs(unrounded - wanted))


def test_what_is_learned_is_what_the_file_answers(
    command: Run, trained: Path, faces_folder: Path, tmp_path: Path
) -> None:
    data = load(faces_folder)
    faces, valid = data.split("train"), data.split("valid")
    source, steps = checkpoint.load(trained / "model.pt"), list[int]()
    with torch.no_grad():
        source.network.head.bias.add_(torch.tensor([0.5, 0.0, -0.5]))  # so that there is something to learn
    network = tuned(source, faces, Tuning(epochs=2), steps)
    assert len(steps) == 2 * 4
    assert not network.training

    wanted = labelled(faces, 3, RECIPES["nano"], None)
    before, after = (
        torch.nn.functional.cross_entropy(predict(rounding(n, source.ranges), faces.pixels), wanted)
        for n in (source.network, network)
    )
    assert after < before

    checkpoint.save(replace(source, network=network), tmp_path / "model.pt")
    done = command("fer-export", tmp_path / "model.pt", "--precision", "int8", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    file = tmp_path / "model.int8.onnx"
    for name, conv in folded(network).named_modules():
        if isinstance(conv, torch.nn.Conv2d):
            assert np.allclose(int8_weights(file, name), conv.weight.detach().numpy(), rtol=1e-6, atol=0)
    got = predict(rounding(network, source.ranges), valid.pixels).numpy()
    assert np.median(np.abs(got - Classifier(file).logits(valid.pixels))) < 1e-4


def test_the_same_seed_gives_the_same_weights(trained: Path, faces_folder: Path) -> None:
    faces = load(faces_folder).split("valid")
    source = checkpoint.load(trained / "model.pt")
    first, second = (tuned(source, faces, Tuning(epochs=1)).state_dict() for _ in range(2))
    assert all(torch.equal(first[name], second[name]) for name in first)


def test_a_loss_that_is_not_finite_is_said(trained: Path, faces_folder: Path) -> None:
    faces = load(faces_folder).split("train")
    with pytest.raises(FerError, match=r"the loss became .* in epoch \d of tuning for int8: tune at a lower rate"):
        tuned(checkpoint.load(trained / "model.pt"), faces, Tuning(epochs=3, rate=1e30))
