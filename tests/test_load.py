"""What fer-export takes: foreign networks are exported as they answer; whatever else is told what to type."""

import io
import json
import os
import sys
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import onnx
import pytest
import torch
from torch import nn

from fer_export.archive import code_in
from fer_export.cli import cli
from fer_runtime.errors import FerError
from fer_runtime.session import Classifier

OLD = "what stood here"
CODE = """
import torch
from torch import nn

class Grey(nn.Module):  # a beginner's network
    def __init__(self):
        super().__init__()
        self.conv1 = nn.Conv2d(1, 8, 3, padding=1)
        self.bn1 = nn.BatchNorm2d(8)
        self.pool = nn.MaxPool2d(2)
        self.fc1 = nn.Linear(8 * 12 * 12, 16)
        self.dropout = nn.Dropout(0.5)
        self.fc2 = nn.Linear(16, 3)
    def forward(self, x):
        x = self.pool(self.pool(torch.relu(self.bn1(self.conv1(x)))))
        return self.fc2(self.dropout(torch.relu(self.fc1(x.flatten(1)))))

class Colour(nn.Module):  # depthwise, other activations
    def __init__(self):
        super().__init__()
        layers = [nn.Conv2d(3, 8, 3, 2, 1, bias=False), nn.BatchNorm2d(8), nn.ReLU6()]
        layers += [nn.Conv2d(8, 8, 3, padding=1, groups=8), nn.BatchNorm2d(8), nn.Hardswish()]
        self.features = nn.Sequential(*layers)
        self.classifier = nn.Linear(8, 3)
    def forward(self, x):
        return self.classifier(self.features(x).mean((2, 3)))

class Softmaxed(Grey):
    def forward(self, x):
        return super().forward(x).softmax(1)

class Squeezed(Grey):
    def forward(self, x):
        return super().forward(x).squeeze()

class Bare(Grey):
    def __init__(self, classes):
        super().__init__()

class Named(Grey):  # as the graph's own tensors
    def __init__(self):
        super().__init__()
        self.normalized, self.faces, self.logits = nn.BatchNorm2d(1), nn.Conv2d(1, 1, 1), nn.Linear(3, 3)
        self.temperature = nn.Parameter(torch.ones(3))
        self.faces_scale = nn.Parameter(torch.ones(3))
    def forward(self, x):
        x = self.logits(super().forward(self.faces(self.normalized(x))))
        return x * self.temperature * self.faces_scale

class Branching(Grey):
    def forward(self, x):
        return super().forward(x + 1 if x.sum() > 0 else x)

class Two(Grey):
    def forward(self, x):
        return super().forward(x), x

broken = 1 / 1
def fails():
    raise OSError("no such disk")
"""
LABELS = ["--labels", "happy,neutral,sad"]


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The current folder, with the networks' code in it."""
    (tmp_path / "nets.py").write_text(CODE)
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    sys.modules.pop("nets", None)
    yield tmp_path
    sys.modules.pop("nets", None)


def made(name: str, channels: int = 1) -> nn.Module:
    """One of CODE's networks with batch norms that have seen something, in eval mode."""
    import nets  # type: ignore[import-not-found]  # written by the fixture

    torch.manual_seed(0)
    network: nn.Module = getattr(nets, name)()
    for _ in range(3):
        network(torch.randn(16, channels, 48, 48) + 0.5)
    return network.eval()


def saved_program(network: nn.Module, path: Path, channels: int = 1, batch: bool = True) -> Path:
    shapes = ({0: torch.export.Dim("batch")},) if batch else None
    torch.export.save(torch.export.export(network, (torch.randn(2, channels, 48, 48),), dynamic_shapes=shapes), path)
    return path


def export(*arguments: object) -> None:
    cli.main([str(argument) for argument in arguments], standalone_mode=False)


def refused(*arguments: object) -> str:
    """The error's text; the output path stays as it was."""
    Path("out.onnx").write_text(OLD)
    with pytest.raises(FerError) as raised:
        export(*arguments, "--out", "out.onnx")
    assert Path("out.onnx").read_text() == OLD
    assert raised.value.exit_code == 1
    return str(raised.value)


def faces(channels: int) -> "np.ndarray[tuple[int, ...], np.dtype[np.uint8]]":
    return np.random.RandomState(0).randint(0, 256, (9, channels, 48, 48)).astype(np.uint8)


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
    from fer_runtime.framing import crop, to_face
    from fer_runtime.loop import Loop
    from fer_runtime.sources import open_source

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


def test_a_checkpoint_with_numbers_of_numpys(here: Path) -> None:
    """As notebooks keep the best accuracy beside the weights."""
    torch.save({"model_state_dict": made("Grey").state_dict(), "best": np.float64(0.6)}, "best.pt")
    told = refused("best.pt", "--arch", "nets:Grey", *LABELS)
    assert "best.pt holds more than weights (numpy." in told
    assert "fer-export weights.pt --arch nets:Grey --labels happy,neutral,sad" in told
    assert "fer-export best.pt --unsafe-pickle --arch nets:Grey --labels happy,neutral,sad" in told
    export("best.pt", "--arch", "nets:Grey", *LABELS, "--unsafe-pickle")
    assert Classifier(here / "best.onnx").labels == ("happy", "neutral", "sad")


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


class Trap:
    """What a hostile pickle looks like."""

    def __reduce__(self) -> tuple[Callable[[str], None], tuple[str]]:
        return os.mkdir, ("trapped",)


@pytest.mark.usefixtures("here")
@pytest.mark.parametrize("old", [False, True])
def test_nothing_in_a_pickle_is_run(old: bool) -> None:
    torch.save({"weights": Trap()}, "trap.pt", _use_new_zipfile_serialization=not old)
    assert "would run code from the file" in refused("trap.pt", *LABELS)
    assert not Path("trapped").exists()


def pickled(content: object, **options: Any) -> bytes:
    buffer = io.BytesIO()
    torch.save(content, buffer, **options)
    return buffer.getvalue()


SAMPLES, GRAPH, WEIGHTS = "data/sample_inputs/model.pt", "models/model.json", "model_weights_config.json"
HOSTILE: dict[str, tuple[str, Callable[[bytes], bytes], str]] = {
    "samples": (SAMPLES, lambda _: pickled(Trap()), "a pickle of posix.mkdir in model.pt"),
    "samples, newer": (SAMPLES, lambda _: pickled(Trap(), pickle_protocol=4), "a pickle of unknown content"),
    "samples, older": (SAMPLES, lambda _: pickled(Trap(), _use_new_zipfile_serialization=False), "a pickle of"),
    "weights": (
        WEIGHTS,
        lambda text: text.replace(b'"use_pickle": false', b'"use_pickle": true'),
        "the pickled object",
    ),
    "object": (
        WEIGHTS,
        lambda text: text.replace(b'"weight_0"', b'"opaque_obj_0"'),
        "the pickled object 'opaque_obj_0'",
    ),
    "guard": (GRAPH, lambda text: with_guard(text, "__import__('os').mkdir('trapped')"), "the expression"),
    "guard, text": (GRAPH, lambda text: with_guard(text, "1 == 'a\", exit()) #'"), "the expression"),
    "size": (
        GRAPH,
        lambda text: text.replace(b"Symbol('s", b"__import__('os').mkdir('trapped') or ('s"),
        "the expression",
    ),
    "operator": (GRAPH, lambda text: text.replace(b"torch.ops.aten.relu.default", b"torch.os.mkdir"), "the operator"),
    "file": (GRAPH, lambda text: text.replace(b"aten.relu.default", b"aten.save.default"), "the operator"),
    "input": (GRAPH, lambda text: text.replace(b'"x"', b'"x=exit()"'), "the name 'x=exit()'"),
}


def with_guard(text: bytes, guard: str) -> bytes:
    return json.dumps(json.loads(text) | {"guards_code": [guard]}).encode()


def test_nothing_in_a_program_is_run(here: Path) -> None:
    """torch.export.load would unpickle, or evaluate, each of these."""
    saved_program(made("Grey"), here / "fine.pt2")
    assert code_in(here / "fine.pt2") == []
    for place, change, told in HOSTILE.values():
        with zipfile.ZipFile("fine.pt2") as fine, zipfile.ZipFile("trap.pt2", "w") as trap:
            for name in fine.namelist():
                trap.writestr(name, change(fine.read(name)) if name.endswith(place) else fine.read(name))
        text = refused("trap.pt2", *LABELS)
        assert told in text
        assert "loading it would run code from the file" in text
        assert not (here / "trapped").exists()


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
        (["--arch", "nets:Softmaxed"], "answers with probabilities: expected logits; remove the softmax"),
        (["--arch", "nets:Two"], "answers with a tuple: expected one tensor of logits"),
        (["--arch", "nets:Grey", "--labels", "a,b"], "answers with [1, 3] for a batch of 1: expected [1, 2]"),
        (["--arch", "nets:Grey", "--size", 40], "fails on 1x40x40 faces, 1 at once (RuntimeError: "),
        (["--arch", "nets:Grey", "--colour", "rgb"], "takes 1 channels"),
        (["--arch", "nets:Squeezed"], "answers with [3] for a batch of 1: expected [1, 3]"),
        (["--arch", "nets:Branching"], "cannot take the network (GuardOnDataDependentSymNode: Could not guard on"),
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
    assert "is not a file" in refused(here, *LABELS)
