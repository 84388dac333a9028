"""Every gate of fer-export has a test in which it must fail, and what stood at the output path stays."""

import copy
import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import onnx
import pytest
import torch
from onnx import helper, numpy_helper

from fer_export.cli import cli
from fer_export.graph import export as graph
from fer_export.quantization.accuracy_budget import DropError, paired_drop
from fer_export.validation import speedup
from fer_export.validation.parity import ParityError
from fer_export.validation.speedup import SpeedError, Timing
from fer_runtime.errors import FerError, GateError
from fer_runtime.model.manifest import LOGITS, Manifest, parse
from fer_runtime.model.session import Classifier
from fer_train import checkpoint
from fer_train.model import FerNet, folded

Fault = Callable[[onnx.ModelProto], onnx.ModelProto]
OLD = "what stood here"


def export(out: Path, *arguments: object) -> None:
    """Run the command in this process, where faults can be planted, with something at its output path."""
    out.write_text(OLD)
    cli.main([*map(str, arguments), "--out", str(out)], standalone_mode=False)


@pytest.fixture(scope="module")
def judged_on(faces_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The validation faces alone: no training split that int8 could be calibrated on."""
    root = tmp_path_factory.mktemp("judged")
    shutil.copytree(faces_folder / "test", root / "test")
    return root


def corrupted_weight(model: onnx.ModelProto) -> onnx.ModelProto:
    for tensor in model.graph.initializer:
        if tensor.name == "blocks.1.conv1.weight":
            values = numpy_helper.to_array(tensor).copy()
            values[3, 5, 1, 1] += 1
            tensor.CopyFrom(numpy_helper.from_array(values, tensor.name))
            return model
    raise AssertionError("no such weight")


def not_a_number(model: onnx.ModelProto) -> onnx.ModelProto:
    for tensor in model.graph.initializer:
        if tensor.name == "head.bias":
            values = numpy_helper.to_array(tensor).copy()
            values[0] = np.nan
            tensor.CopyFrom(numpy_helper.from_array(values, tensor.name))
    return model


def transposed(model: onnx.ModelProto) -> onnx.ModelProto:
    first = model.graph.node[0]
    turned = helper.make_node("Transpose", [first.input[0]], ["turned"], name="turn", perm=[0, 1, 3, 2])
    first.input[0] = "turned"
    model.graph.node.insert(0, turned)
    return model


def renamed(model: onnx.ModelProto) -> onnx.ModelProto:
    model.graph.output[0].name = "scores"
    model.graph.node.append(helper.make_node("Identity", [LOGITS], ["scores"], name="renamed"))
    return model


@pytest.mark.parametrize(
    ("fault", "message", "layer"),
    [
        (corrupted_weight, "in PyTorch, beyond 0.0001", "blocks.1.conv1"),
        (not_a_number, "is nan in onnxruntime", LOGITS),
        (transposed, "in PyTorch, beyond 0.0001", "stem"),
        (renamed, "the outputs are scores, probabilities, expected logits and probabilities", ""),
    ],
)
def test_a_file_that_answers_otherwise_is_not_written(
    trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fault: Fault, message: str, layer: str
) -> None:
    core = graph.core
    monkeypatch.setattr(graph, "core", lambda source: fault(core(source)))
    with pytest.raises(ParityError) as raised:
        export(tmp_path / "model.onnx", trained / "model.pt")
    error = raised.value
    assert error.exit_code == 3
    assert message in str(error)
    assert error.layer == layer
    assert not error.difference <= error.bound
    assert (tmp_path / "model.onnx").read_text() == OLD
    assert len(list(tmp_path.iterdir())) == 1


def test_a_wrong_mean_is_found_where_it_enters(trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The reference normalizes the pixels by itself, and not with the exporter's own code."""
    right = graph.with_pixels

    def wrong(model: onnx.ModelProto, manifest: Manifest) -> onnx.ModelProto:
        assert isinstance(manifest.mean, int | float)
        return right(model, replace(manifest, mean=manifest.mean - 1))

    monkeypatch.setattr(graph, "with_pixels", wrong)
    with pytest.raises(ParityError) as raised:
        export(tmp_path / "model.onnx", trained / "model.pt")
    assert raised.value.layer == graph.NORMALIZED


def test_batch_norms_of_a_network_left_in_train_mode_are_found(
    trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They divide by their own batch's spread, here that of the exporter's example."""

    def left_in_train_mode(network: FerNet) -> FerNet:
        trained = copy.deepcopy(network).train()
        for norm in (module for module in trained.modules() if isinstance(module, torch.nn.BatchNorm2d)):
            norm.momentum = 1.0  # what it keeps is its last batch's
        trained(torch.randn(8, 1, 48, 48, generator=torch.Generator().manual_seed(0)))
        return folded(trained)

    monkeypatch.setattr(graph, "folded", left_in_train_mode)
    with pytest.raises(ParityError) as raised:
        export(tmp_path / "model.onnx", trained / "model.pt")
    assert raised.value.layer == "stem"
    assert (tmp_path / "model.onnx").read_text() == OLD


def test_probabilities_must_be_the_softmax(trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    right = graph.with_probabilities
    monkeypatch.setattr(
        graph, "with_probabilities", lambda model, manifest: right(model, replace(manifest, temperature=3.0))
    )
    with pytest.raises(ParityError, match="are not the softmax of its logits") as raised:
        export(tmp_path / "model.onnx", trained / "model.pt", "--precision", "fp16")
    assert raised.value.output == "probabilities"


def test_fp16_is_half_the_size_and_proved(trained: Path, exported: dict[str, Path], tmp_path: Path) -> None:
    export(tmp_path / "model.fp16.onnx", trained / "model.pt", "--precision", "fp16", "--json", tmp_path / "r.json")
    report = json.loads((tmp_path / "r.json").read_text())["files"]["fp16"]
    assert report["max_relative_difference"] <= report["max_relative_difference_allowed"] == 2e-2
    assert (tmp_path / "model.fp16.onnx").stat().st_size < 0.6 * exported["fp32"].stat().st_size
    assert Classifier(tmp_path / "model.fp16.onnx").manifest.precision == "fp16"


def test_weights_that_float16_cannot_hold_are_refused(trained: Path, tmp_path: Path) -> None:
    source = checkpoint.load(trained / "model.pt")
    weights = source.network.state_dict()
    weights["head.weight"] *= 1e8
    source.network.load_state_dict(weights)
    checkpoint.save(source, tmp_path / "large.pt")
    with pytest.raises(GateError, match=r"fp16 cannot hold the weights .* beyond 65504"):
        export(tmp_path / "large.onnx", tmp_path / "large.pt", "--precision", "fp16")
    assert (tmp_path / "large.onnx").read_text() == OLD


def test_a_range_that_explodes_goes_back_to_fp32(trained: Path, judged_on: Path, tmp_path: Path) -> None:
    source = checkpoint.load(trained / "model.pt")
    source.ranges["blocks.0.relu2"] = (0.0, 1e6)
    checkpoint.save(source, tmp_path / "exploding.pt")
    out, report = tmp_path / "model.onnx", tmp_path / "report.json"
    export(out, tmp_path / "exploding.pt", "--precision", "int8", "--data", judged_on, "--json", report)
    plain = json.loads(report.read_text())
    found = plain["int8_search"]
    assert found["sensitivity"][0]["site"] == "blocks.0.relu2"
    first, *_, last = found["trials"]
    assert first["agreement"] < 0.98 <= last["agreement"]
    assert last["in_fp32"][0] == "blocks.0.relu2 (activation)"
    assert 100 * last["drop"] <= 0.5
    manifest = parse(onnx.load(out).metadata_props[0].value, "the file")
    assert manifest.quantization["fp32"] == last["in_fp32"]
    assert plain["pytorch"]["accuracy"] - plain["files"]["int8"]["scores"]["accuracy"] == pytest.approx(last["drop"])


def test_calibration_on_nothing_but_dark_noise(
    trained: Path, judged_on: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Ranges of noise clip what faces give: no method fits, all layers would have to go back, no file is written."""
    rng = np.random.RandomState(0)
    for label in ("happy", "neutral", "sad"):
        (tmp_path / "noise" / label).mkdir(parents=True)
        for index in range(10):
            picture = rng.randint(125, 133, (48, 48)).astype(np.uint8)
            cv2.imwrite(str(tmp_path / "noise" / label / f"{index}.png"), picture)
    out, report = tmp_path / "model.onnx", tmp_path / "report.json"
    arguments = ["--precision", "int8", "--data", judged_on, "--calibration", tmp_path / "noise", "--json", report]
    with pytest.raises(
        DropError, match=r"int8 loses too much, even with \d+ nodes back in fp32: .* points \(at most 0.5\)"
    ):
        export(out, trained / "model.pt", *arguments)
    assert out.read_text() == OLD
    assert not report.exists()
    assert "no file was written" in capsys.readouterr().err


def test_an_int8_that_is_not_faster(trained: Path, judged_on: Path, tmp_path: Path) -> None:
    """No int8 is a thousand times faster: refused when asked for, passed over by auto."""
    slow = ["--data", judged_on, "--min-speedup", 1000]
    with pytest.raises(SpeedError, match=r"int8 is \d+\.\d+ times as fast as fp32 on this CPU, less than 1000 times: "):
        export(tmp_path / "model.onnx", trained / "model.pt", "--precision", "int8", *slow)
    assert (tmp_path / "model.onnx").read_text() == OLD
    export(tmp_path / "model.onnx", trained / "model.pt", "--precision", "auto", *slow, "--json", tmp_path / "r.json")
    report = json.loads((tmp_path / "r.json").read_text())
    assert report["precision"] == "fp32"
    assert set(report["files"]) == {"fp32", "fp16", "int8"}
    assert any("fp32 is kept" in note for note in report["notes"])
    assert Classifier(tmp_path / "model.onnx").manifest.precision == "fp32"


def test_an_int8_that_is_slower(
    trained: Path, judged_on: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Half as fast: a warning, a refusal where a ratio was asked for, and none where any will do."""
    measured = speedup.race

    def slowed(*arguments: Any) -> dict[str, Timing]:
        timings = measured(*arguments)
        return timings | {"int8": replace(timings["int8"], ratio=0.5)}

    monkeypatch.setattr(speedup, "race", slowed)
    out, arguments = tmp_path / "model.onnx", [trained / "model.pt", "--precision", "int8", "--data", judged_on]
    with pytest.raises(SpeedError, match=r"int8 is 0.50 times as fast as fp32 on this CPU, less than 1 times: "):
        export(out, *arguments, "--min-speedup", 1)
    for extra, warned in (([], True), (["--min-speedup", 0], False)):
        export(out, *arguments, *extra, "--json", tmp_path / "r.json")
        notes = json.loads((tmp_path / "r.json").read_text())["notes"]
        assert any("fp32 may serve better here" in note for note in notes) == warned
        assert Classifier(out).manifest.precision == "int8"


def test_auto_keeps_int8_that_pays_and_names_the_file(trained: Path, judged_on: Path, tmp_path: Path) -> None:
    arguments = ["--precision", "auto", "--data", str(judged_on), "--min-speedup", "0.001", "--out", str(tmp_path)]
    cli.main([str(trained / "model.pt"), *arguments], standalone_mode=False)
    (file,) = tmp_path.iterdir()
    assert file.name == "model.int8.onnx"
    assert Classifier(file).manifest.precision == "int8"


def test_auto_needs_labelled_faces(trained: Path, tmp_path: Path) -> None:
    with pytest.raises(FerError, match="--precision auto compares accuracies: give the labelled faces with --data"):
        export(tmp_path / "model.onnx", trained / "model.pt", "--precision", "auto")


def test_the_drop_is_paired() -> None:
    """Two lost, one won of eight: an eighth, whatever the accuracies are."""
    labels = np.zeros(8, np.int64)
    right, wrong = np.array([1.0, 0.0]), np.array([0.0, 1.0])
    expected = np.array([right] * 6 + [wrong] * 2, np.float32)
    found = np.array([right] * 4 + [wrong] * 2 + [right] + [wrong], np.float32)
    drop, interval = paired_drop(expected, found, labels)
    assert drop == pytest.approx(1 / 8)
    assert interval == pytest.approx(1.96 * np.std([0, 0, 0, 0, 1, 1, -1, 0]) / np.sqrt(8))
