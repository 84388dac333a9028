"""Checkpoints, states and models that somebody or something spoiled."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import onnx
import pytest
import torch

from conftest import Run
from fer_benchmarks.demo_clip import render
from helpers.failures import fails

Harm = Callable[[dict[str, Any]], object]  # what spoils a checkpoint or a state, as torch.load gives it


def ranges(low: float, high: float) -> Harm:
    return lambda plain: plain["ranges"].update(relu=(low, high))


def stage(**facts: object) -> Harm:
    return lambda plain: plain["manifest"]["architecture"]["stages"][0].update(facts)


@pytest.mark.parametrize(
    ("harm", "message"),
    [
        (ranges(float("-inf"), float("inf")), "activation range of relu"),
        (ranges(5.0, -5.0), "activation range of relu"),
        (ranges(float("nan"), 1.0), "activation range of relu"),
        (ranges(0.0, 10**400), "is damaged"),
        (stage(stride=0), "stride is 0"),
        (stage(width=60_000), "width is 60000"),
        (stage(blocks=10**9), "blocks is 1000000000"),
        (stage(width="wide"), "width is 'wide'"),
        (lambda plain: plain["weights"]["head.bias"].fill_(float("nan")), "not finite"),
        (lambda plain: plain["weights"].pop("head.bias"), 'Missing key(s) in state_dict: "head.bias"'),
        (lambda plain: plain["manifest"].update(versions=None), "wrong in 'versions'"),
        (lambda plain: plain["manifest"].update(mean=10**400), "wrong in 'mean'"),
        (lambda plain: plain["manifest"].update(measured=[{"accuracy": float("nan")}]), "is damaged"),
        (lambda plain: plain.pop("manifest"), "is damaged"),
    ],
)
def test_tampered_checkpoints(command: Run, trained: Path, tmp_path: Path, harm: Harm, message: str) -> None:
    plain = torch.load(trained / "model.pt", weights_only=True)
    harm(plain)
    torch.save(plain, tmp_path / "model.pt")
    fails(command("fer-export", "model.pt", "--precision", "int8", cwd=tmp_path), message)
    assert not (tmp_path / "model.int8.onnx").exists()


def changed(file: Path, out: Path, change: Callable[[onnx.ModelProto], object]) -> Path:
    model = onnx.load(file)
    change(model)
    onnx.save(model, out)
    return out


def not_a_number(model: onnx.ModelProto) -> None:
    bias = next(i for i in model.graph.initializer if i.name == "head.bias")
    bias.CopyFrom(onnx.numpy_helper.from_array(np.full(3, np.nan, np.float32), bias.name))


def fixed_batch(model: onnx.ModelProto) -> None:
    for value in (*model.graph.input, *model.graph.output):
        value.type.tensor_type.shape.dim[0].dim_value = 1


def outside_weights(model: onnx.ModelProto) -> None:
    bias = next(i for i in model.graph.initializer if i.name == "head.bias")
    bias.ClearField("raw_data")
    bias.data_location = onnx.TensorProto.EXTERNAL
    bias.external_data.add(key="location", value="weights.bin")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (not_a_number, "not finite"),
        (fixed_batch, "takes batches of 1 only"),
        (outside_weights, "holds weights outside the file"),
    ],
)
def test_tampered_models(
    command: Run, exported: dict[str, Path], tmp_path: Path, change: Callable[[onnx.ModelProto], object], message: str
) -> None:
    (tmp_path / "weights.bin").write_bytes(bytes(64))
    file = tmp_path / "model.onnx"
    model = onnx.load(exported["fp32"])
    change(model)
    file.write_bytes(model.SerializeToString())
    cv2.imwrite(str(tmp_path / "two.png"), render(0))
    fails(command("fer-run", "--model", file, "--source", "two.png", "--headless", cwd=tmp_path), message)
    fails(command("fer-bench", file, cwd=tmp_path), message)


@pytest.mark.parametrize(
    "harm",
    [
        lambda state: state.update(job=5),
        lambda state: state.update(network={}),
        lambda state: state.update(history=5),
        lambda state: state.update(best={}),
        lambda state: [state.pop(key) for key in list(state) if key != "job"],
    ],
)
def test_damaged_states_are_not_resumed(
    command: Run, trained: Path, faces_zip: Path, tmp_path: Path, harm: Harm
) -> None:
    state = torch.load(trained / "last.pt", weights_only=True)
    harm(state)
    torch.save(state, tmp_path / "last.pt")
    arguments = ["--model", "nano", "--epochs", 16, "--device", "cpu", "--out", tmp_path, "--resume"]
    fails(command("fer-train", "fit", faces_zip, *arguments), "is not a whole checkpoint of fer-train fit")


def test_other_epochs_are_named_alone(command: Run, trained: Path, faces_zip: Path) -> None:
    arguments = ["--model", "nano", "--epochs", 17, "--device", "cpu", "--out", trained, "--resume"]
    fails(command("fer-train", "fit", faces_zip, *arguments), "its epochs is 16, now 17;")
