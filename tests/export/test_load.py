"""What fer-export takes: foreign networks are exported as they answer; whatever else is told what to type."""

import json
import sys
from pathlib import Path

import cv2
import numpy as np
import onnx
import pytest
import torch
from torch import nn

from fer_runtime.model.session import Classifier
from helpers.foreign import LABELS, export, faces, made, refused, saved_program


def test_bare_weights_with_their_class(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    network = made("Grey")
    torch.save({"epoch": 3, "model_state_dict": nn.DataParallel(network).state_dict()}, "weights.pt")
    export("weights.pt", "--arch", "nets:Grey", *LABELS, "--mean", "0.5", "--std", "0.5")
    told = capsys.readouterr().err
    assert "note: the weights' names begin with 'module.', which a wrapper has put there: it is left out" in told
    assert "note: normalization: (pixel - 0.5) / 0.5 with pixels of 0..1, as after ToTensor" in told
    classifier = Classifier(here / "weights.onnx")
    with torch.no_grad():
        expected = network((torch.from_numpy(faces(1)) / 255 - 0.5) / 0.5).numpy()
    assert np.abs(classifier.logits(faces(1)) - expected).max() < 1e-5
    manifest = classifier.manifest
    assert manifest.labels == ("happy", "neutral", "sad")
    assert (manifest.mean, manifest.std, manifest.colour) == (127.5, 127.5, "grey")
    assert manifest.parameters == sum(p.numel() for p in network.parameters())
    assert manifest.macs == 48 * 48 * 8 * 9 + 8 * 12 * 12 * 16 + 16 * 3
    operators = {node.op_type for node in onnx.load("weights.onnx").graph.node}
    assert "BatchNormalization" not in operators
    assert "Dropout" not in operators


@pytest.mark.parametrize("kind", ["weights", "program", "pickle"])
def test_colour_with_a_mean_for_each_channel(here: Path, kind: str) -> None:
    network = made("Colour", 3)
    path = saved_program(network, here / "model.pt2", 3) if kind == "program" else here / "model.pt"
    if kind == "weights":
        torch.save(network.state_dict(), path)
    if kind == "pickle":
        torch.save(network, path)
    options = {"weights": ["--arch", "nets:Colour"], "program": [], "pickle": ["--unsafe-pickle"]}[kind]
    mean, std = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
    numbers = ["--mean", ",".join(map(str, mean)), "--std", ",".join(map(str, std))]
    export(path, *options, *LABELS, *numbers, "--out", "colour.onnx")
    classifier = Classifier(here / "colour.onnx")
    shift, scale = (torch.tensor(values).view(1, 3, 1, 1) for values in (mean, std))
    with torch.no_grad():
        expected = network((torch.from_numpy(faces(3)) / 255 - shift) / scale).numpy()
    assert np.abs(classifier.logits(faces(3)) - expected).max() < 1e-5
    assert classifier.manifest.colour == "rgb"


def test_an_rgb_file_runs_on_pictures_in_its_own_channel_order(here: Path, clip: Path) -> None:
    """A red face is red in the first channel, through detector, crop and classifier."""
    from fer_runtime.model.preprocessing import crop, to_face
    from fer_runtime.pipeline.loop import Loop
    from fer_runtime.sources.factory import open_source

    red = np.zeros((48, 48, 3), np.uint8)
    red[:, :, 2] = 200  # OpenCV's order is blue, green, red
    assert to_face(red, 48, "rgb")[:, 0, 0].tolist() == [200, 0, 0]
    assert to_face(red[:, :, 2], 24, "rgb")[:, 0, 0].tolist() == [200, 200, 200]
    torch.save(made("Colour", 3).state_dict(), "weights.pt")
    export("weights.pt", "--arch", "nets:Colour", *LABELS)
    classifier = Classifier(here / "weights.onnx")
    frame, result = next(iter(Loop(open_source(str(clip)), classifier)))
    face = result.faces[0]
    cut = crop(frame.image, face.box, classifier.manifest.framing, 48, "rgb")
    assert cut.shape == (3, 48, 48)
    found = dict(zip(classifier.labels, classifier(cut[None])[0].tolist(), strict=True))
    assert found == pytest.approx(face.probabilities, abs=0.05)  # the box is rounded in the result


def test_a_foreign_network_in_int8_with_the_labels_of_the_data(here: Path, faces_folder: Path) -> None:
    torch.save(made("Grey").state_dict(), "weights.pt")
    arguments = ["--precision", "int8", "--data", faces_folder, "--max-drop", 100, "--json", "r.json"]
    export("weights.pt", "--arch", "nets:Grey", *arguments)
    report = json.loads(Path("r.json").read_text())
    assert report["files"]["int8"]["agreement"] >= 0.98
    assert report["files"]["int8"]["quantization"]["ranges"] in ("mse", "minmax", "percentile")
    assert Classifier(here / "weights.int8.onnx").labels == ("happy", "neutral", "sad")
    assert (here / "weights.int8.onnx").stat().st_size < 0.5 * report["files"]["fp32"]["bytes"]
    assert "give --calibration DATA for int8" in refused(
        "weights.pt", "--arch", "nets:Grey", *LABELS, "--precision", "int8"
    )


@pytest.mark.usefixtures("here")
def test_beginners_are_told_what_to_type() -> None:
    network = made("Grey")
    torch.save(network, "model.pt")
    whole = refused("model.pt", *LABELS)
    assert "model.pt is a whole pickled network (nets.Grey): loading it would run code from the file" in whole
    assert "torch.save(model.state_dict(), 'weights.pt')" in whole
    assert "fer-export weights.pt --arch nets:Grey --labels happy,neutral,sad; or" in whole
    assert "fer-export model.pt --unsafe-pickle --labels happy,neutral,sad" in whole
    torch.save(network.state_dict(), "weights.pt")
    bare = refused("weights.pt", *LABELS)
    assert "weights.pt holds weights alone (conv1.weight [8, 1, 3, 3], ...)" in bare
    assert "fer-export weights.pt --arch net:CLASS --labels happy,neutral,sad" in bare
    assert "carries no class names: give --labels" in refused("weights.pt", "--arch", "nets:Grey")


def test_a_network_whose_parts_are_called_as_ours(here: Path) -> None:
    network = made("Named")
    torch.save(network.state_dict(), "weights.pt")
    export("weights.pt", "--arch", "nets:Named", *LABELS)
    with torch.no_grad():
        expected = network(torch.from_numpy(faces(1)) / 255).numpy()
    assert np.abs(Classifier(here / "weights.onnx").logits(faces(1)) - expected).max() < 1e-5


@pytest.mark.usefixtures("here")
def test_a_class_of_a_notebook_is_not_here(monkeypatch: pytest.MonkeyPatch) -> None:
    network = made("Grey")
    type(network).__module__ = "__main__"
    monkeypatch.setattr(sys.modules["__main__"], "Grey", type(network), raising=False)
    torch.save(network, "model.pt")
    monkeypatch.delattr(sys.modules["__main__"], "Grey")
    assert "(__main__.Grey)" in refused("model.pt", *LABELS)
    told = refused("model.pt", *LABELS, "--unsafe-pickle")
    assert "model.pt names __main__.Grey, which is not here" in told
    assert "--arch net:Grey" in told


@pytest.mark.usefixtures("here")
@pytest.mark.parametrize(
    ("options", "told"),
    [
        (["--arch", "nets"], "--arch is 'nets': expected FILE:CLASS"),
        (["--arch", "missing:Grey"], "ModuleNotFoundError: No module named 'missing'"),
        (["--arch", "nets:Missing"], "AttributeError: module 'nets' has no attribute 'Missing'"),
        (["--arch", "nets:fails"], "OSError: no such disk"),
        (["--arch", "nets:broken"], "cannot be made"),
        (["--arch", "nets:Colour"], "it has features.0.weight [8, 3, 3, 3], the file nowhere"),
        (["--arch", "nets:Headless"], "it has fc2.weight nowhere, the file [3, 16]"),
        (["--arch", "nets:Grey", "--labels", "a,b"], "gives [64, 3] for a batch of 64: expected [64, 2]"),
        (["--arch", "nets:Grey", "--colour", "rgb"], "takes 1 channel: expected --colour grey"),
        (["--arch", "src/net.py:Net"], "there is no file src/net.py"),
        (["--arch", "nets:Bare"], "'classes'): expected a class that takes no arguments, or a function"),
        (["--arch", "script:Grey"], "--arch script:Grey cannot be made (SystemExit: 2)"),
        (["--arch", "nets:Grey", "--labels", "a,b,a"], "the labels are a, b, a: expected two or more different names"),
        (["--arch", "nets:Grey", "--mean", "129"], "--mean 129 is of pixels of 0..255: give their --std too"),
        (["--arch", "nets:Grey", "--mean", "-0.5"], "--mean is -0.5: expected 0 to 1"),
        (["--arch", "nets:Grey", "--std", "nan"], "--std is nan: expected"),
        (["--arch", "nets:Grey", "--mean", "0.1,0.2,0.3"], "--mean has 3 values: expected one"),
        (["--arch", "nets:Grey", "--std", "0"], "--std is 0: expected 3.9e-05 to 3.92157"),
    ],
)
def test_weights_that_do_not_fit(options: list[object], told: str) -> None:
    Path("script.py").write_text("import sys; sys.exit(2)")
    torch.save(made("Grey").state_dict(), "weights.pt")
    assert told in refused("weights.pt", *LABELS, *options)


def test_programs_that_do_not_fit(here: Path, trained: Path) -> None:
    saved_program(made("Grey"), here / "fixed.pt2", batch=False)
    assert 'dynamic_shapes=({0: torch.export.Dim("batch")},)' in refused("fixed.pt2", *LABELS)
    saved_program(made("Grey").train(), here / "training.pt2")
    assert "was exported in train mode" in refused("training.pt2", *LABELS)
    saved_program(made("Grey"), here / "fine.pt2")
    assert "leave out --arch" in refused("fine.pt2", *LABELS, "--arch", "nets:Grey")
    assert "expected a square, of --size if that is given" in refused("fine.pt2", *LABELS, "--size", 64)
    (here / "cut.pt2").write_bytes((here / "fine.pt2").read_bytes()[:3000])
    assert "cut.pt2 is not a checkpoint of ours" in refused("cut.pt2", *LABELS)
    assert "leave out --labels, --size" in refused(trained / "model.pt", *LABELS, "--size", 48)


def test_other_files_are_named(here: Path, exported: dict[str, Path]) -> None:
    assert "found an ONNX file" in refused(exported["fp32"], *LABELS)
    Path("model.h5").write_bytes(b"\x89HDF\r\n\x1a\n" + bytes(100))
    assert "found a Keras or HDF5 file" in refused("model.h5", *LABELS)
    Path("model.safetensors").write_bytes((2).to_bytes(8, "little") + b"{}")
    assert "is a safetensors file" in refused("model.safetensors", *LABELS)
    torch.save([1, 2], "list.pt")
    assert "holds no weights" in refused("list.pt", *LABELS)
    torch.save({"a": 1}, "dict.pt")
    assert "found a dict of ['a']" in refused("dict.pt", *LABELS)
    cv2.imwrite("face.png", np.zeros((48, 48), np.uint8))
    assert "nor any other that torch wrote" in refused("face.png", *LABELS)
    (here / "folder").mkdir()
    assert "is not a file" in refused("folder", *LABELS)
