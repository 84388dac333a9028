"""Foreign networks whose outputs are not logits, and networks that do not give one face one answer."""

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from fer_runtime.model.session import Classifier
from helpers.foreign import LABELS, export, faces, made, refused, saved_program, saved_weights


def expected(network: nn.Module, pixels: "np.ndarray[tuple[int, ...], np.dtype[np.uint8]]") -> torch.Tensor:
    with torch.no_grad():
        found: torch.Tensor = network(torch.from_numpy(pixels) / 255)
    return found


@pytest.mark.usefixtures("here")
@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("Softmaxed", "ends in a softmax: it is left out"),
        ("LogSoftmaxed", "ends in a softmax: it is left out"),
        ("ClippedSoftmax", "ends in a softmax: it is left out"),
        ("Averaged", "the outputs are probabilities: their logarithms serve as logits"),
    ],
)
def test_probabilities_come_out_as_the_network_gives_them(
    name: str, told: str, capsys: pytest.CaptureFixture[str]
) -> None:
    network = saved_weights(name)
    export("weights.pt", "--arch", f"nets:{name}", *LABELS)
    assert told in capsys.readouterr().err
    found = expected(network, faces(1))
    shares = found.exp() if name == "LogSoftmaxed" else found
    assert np.abs(Classifier(Path("weights.onnx"))(faces(1)) - shares.numpy()).max() < 1e-5


@pytest.mark.usefixtures("here")
def test_percentages_are_no_logits(capsys: pytest.CaptureFixture[str]) -> None:
    network = saved_weights("Percent")
    export("weights.pt", "--arch", "nets:Percent", *LABELS)
    assert "the outputs sum to 100 for every face: their logarithms serve as logits" in capsys.readouterr().err
    shares = expected(network, faces(1)).numpy() / 100
    assert np.abs(Classifier(Path("weights.onnx"))(faces(1)) - shares).max() < 1e-5


def test_a_program_that_ends_in_a_softmax(here: Path) -> None:
    network = made("Softmaxed")
    export(saved_program(network, here / "model.pt2"), *LABELS, "--out", "model.onnx")
    assert np.abs(Classifier(here / "model.onnx")(faces(1)) - expected(network, faces(1)).numpy()).max() < 1e-5


@pytest.mark.usefixtures("here")
@pytest.mark.parametrize("name", ["Two", "Named2", "WithProbabilities"])
def test_of_several_outputs_the_logits_are_taken(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    saved_weights(name)
    export("weights.pt", "--arch", f"nets:{name}", *LABELS)
    assert "gives the logits; left out: " in capsys.readouterr().err
    wanted = expected(plain_twin(), faces(1)).numpy()
    assert np.abs(Classifier(Path("weights.onnx")).logits(faces(1)) - wanted).max() < 1e-5


def plain_twin() -> nn.Module:
    """Grey with the same weights as the others."""
    network = made("Grey")
    network.load_state_dict(torch.load("weights.pt", weights_only=True))
    return network


@pytest.mark.usefixtures("here")
@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("Sigmoid", "ends in a sigmoid, so its outputs stay within"),
        ("Tanh", "ends in a tanh, so its outputs stay within"),
        ("Clipped", "ends in a clamp, so its outputs stay within"),
        ("Headless", "gives 16 numbers for each face and not 3, as labels: is it a network of features"),
        ("Maps", "gives [64, 8, 48, 48], maps of features"),
        ("Auxiliary", "gives several outputs of [batch, 3] (0, 1): let it return the one to use"),
        ("Argmax", "gives whole numbers [64], such as argmax does: expected logits [64, 3]"),
        ("Squeezed", "gives [3] for one face: expected [1, 3]"),
        ("Dropping", "gives other outputs each time for the same faces"),
        ("Noisy", "gives other outputs each time for the same faces"),
        ("BatchNormed", "gives a face other outputs alone than among others"),
        ("OverBatch", "gives a face other outputs alone than among others"),
        ("FixedView", "takes 1 face at once and not 64 (RuntimeError: "),
        ("FixedBatch", "takes 32 faces at once and not 64 (RuntimeError: "),
        ("Branching", "gives a face other outputs alone than among others"),
        ("Choosing", "its forward decides by the values of a face (an if, a loop or .item() on a tensor)"),
        ("Looping", "its forward decides by the values of a face (an if, a loop or .item() on a tensor)"),
    ],
)
def test_the_true_reason_is_told(name: str, told: str) -> None:
    torch.save(made(name, batch=32).state_dict(), "weights.pt")
    assert told in refused("weights.pt", "--arch", f"nets:{name}", *LABELS)


@pytest.mark.usefixtures("here")
def test_the_size_that_it_takes_is_told() -> None:
    torch.save(made("Grey").state_dict(), "weights.pt")
    assert "it takes 1x48x48; give --size 48" in refused("weights.pt", "--arch", "nets:Grey", *LABELS, "--size", 40)


@pytest.mark.usefixtures("here")
@pytest.mark.parametrize("name", ["InDouble", "InHalf"])
def test_outputs_of_another_precision(name: str) -> None:
    network = saved_weights(name)
    export("weights.pt", "--arch", f"nets:{name}", *LABELS)
    wanted = expected(network, faces(1)).float().numpy()
    assert np.abs(Classifier(Path("weights.onnx")).logits(faces(1)) - wanted).max() < 1e-3


@pytest.mark.usefixtures("here")
def test_a_relu_at_the_end_is_kept_as_trained(capsys: pytest.CaptureFixture[str]) -> None:
    network = saved_weights("Rectified")
    export("weights.pt", "--arch", "nets:Rectified", *LABELS)
    assert "ends in a ReLU" in capsys.readouterr().err
    wanted = expected(network, faces(1)).numpy()
    assert np.abs(Classifier(Path("weights.onnx")).logits(faces(1)) - wanted).max() < 1e-5


@pytest.mark.usefixtures("here")
@pytest.mark.parametrize("name", ["Attention", "OwnNames", "Suffixed", "Dotted"])
@pytest.mark.parametrize("precision", ["fp32", "fp16", "int8"])
def test_layers_and_functions_of_any_name(name: str, precision: str, faces_folder: Path) -> None:
    network = saved_weights(name)
    more = ["--calibration", faces_folder] if precision == "int8" else []
    export("weights.pt", "--arch", f"nets:{name}", *LABELS, "--precision", precision, *more, "--out", "out.onnx")
    wanted = expected(network, faces(1)).numpy()
    off = np.abs(Classifier(Path("out.onnx")).logits(faces(1)) - wanted).max()
    assert off < {"fp32": 1e-4, "fp16": 2e-2, "int8": 0.5}[precision]


@pytest.mark.usefixtures("here")
@pytest.mark.parametrize("name", ["Normalized", "NormalizedWide"])
def test_networks_that_amplify_rounding_on_flat_images(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    network = saved_weights(name)
    export("weights.pt", "--arch", f"nets:{name}", *LABELS)
    assert "the network amplifies rounding" in capsys.readouterr().err
    wanted = expected(network, faces(1)).numpy()
    assert np.abs(Classifier(Path("weights.onnx")).logits(faces(1)) - wanted).max() < 1e-4


@pytest.mark.usefixtures("here")
@pytest.mark.parametrize("colour", ["grey", None])
def test_three_channels_are_fed_as_they_were_trained(colour: str | None, capsys: pytest.CaptureFixture[str]) -> None:
    network = saved_weights("Colour", channels=3)
    numbers = ["--mean", "0.485,0.456,0.406", "--std", "0.229,0.224,0.225"]
    export("weights.pt", "--arch", "nets:Colour", *LABELS, *numbers, *(["--colour", colour] if colour else []))
    told = capsys.readouterr().err
    classifier = Classifier(Path("weights.onnx"))
    assert classifier.manifest.colour == (colour or "rgb")
    assert ("colour: rgb is assumed" in told) == (colour is None)
    pixels = faces(1 if colour else 3)
    mean, std = (torch.tensor(v).view(1, 3, 1, 1) for v in ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)))
    with torch.no_grad():
        wanted = network((torch.from_numpy(pixels) / 255 - mean) / std).numpy()
    assert np.abs(classifier.logits(pixels) - wanted).max() < 1e-4


@pytest.mark.usefixtures("here")
def test_grey_in_three_channels_in_int8(faces_folder: Path) -> None:
    """One mean for all three channels, and --data in grey."""
    network = saved_weights("Colour", channels=3)
    arguments = ["--colour", "grey", "--mean", 0.5, "--std", 0.5, "--precision", "int8", "--data", faces_folder]
    export("weights.pt", "--arch", "nets:Colour", *arguments, "--max-drop", 100)
    found = Classifier(Path("weights.int8.onnx")).logits(faces(1))
    with torch.no_grad():
        wanted = network(((torch.from_numpy(faces(1)) / 255 - 0.5) / 0.5).expand(-1, 3, -1, -1)).numpy()
    assert found.shape == wanted.shape
    assert np.abs(found - wanted).max() < 0.3
