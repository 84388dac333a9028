"""--mean, --std and --labels of foreign networks: one parser and one check for every command."""

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from conftest import Run
from fer_runtime.errors import FerError
from fer_runtime.model.normalization import ForeignOptions, check_labels, normalization, normalized


@pytest.mark.parametrize(
    ("mean", "std", "channels", "expected"),
    [
        ((), (), 1, ((0.0,), (255.0,))),
        ((0.5,), (0.5,), 1, ((127.5,), (127.5,))),
        ((0.5, 0.25, 0.5), (0.5,), 3, ((127.5, 63.75, 127.5), (127.5,))),
        ((129,), (65,), 1, ((129,), (65,))),
        ((), (255,), 1, ((0.0,), (255.0,))),
        ((103.5, 116.5, 123.5), (1,), 3, ((103.5, 116.5, 123.5), (1,))),  # Caffe's: a mean alone
        ((), (1 / 255,), 1, ((0.0,), (1.0,))),  # raw pixels
    ],
)
def test_units_are_told_by_the_values(
    mean: tuple[float, ...], std: tuple[float, ...], channels: int, expected: tuple[tuple[float, ...], ...]
) -> None:
    found = normalization(ForeignOptions(mean=mean, std=std), channels)
    assert (found.mean, found.std) == expected


@pytest.mark.parametrize(
    ("mean", "std", "message"),
    [
        ((129,), (), "--mean 129 is of pixels of 0..255: give their --std too"),
        ((0.5,), (65,), "are in different units"),
        ((129,), (0.25,), "are in different units"),
        ((-0.5,), (0.5,), "--mean is -0.5: expected 0 to 1"),
        ((300,), (65,), "--mean is 300: expected 0 to 255"),
        ((), (0,), "--std is 0: expected"),
        ((), (float("nan"),), "--std is nan: expected"),
        ((), (-65,), "--std is -65: expected"),
        ((0.1, 0.2), (), "--mean has 2 values: expected one, or one for each of 3 channels"),
    ],
)
def test_values_that_cannot_be(mean: tuple[float, ...], std: tuple[float, ...], message: str) -> None:
    with pytest.raises(FerError) as raised:
        normalization(ForeignOptions(mean=mean, std=std), 3)
    assert message in str(raised.value)


@pytest.mark.parametrize("labels", [(), ("a",), ("a", "b", "a"), ("a", "")])
def test_labels_that_cannot_be(labels: tuple[str, ...]) -> None:
    with pytest.raises(FerError, match="expected two or more different names"):
        check_labels(labels)


def test_pixels_are_normalized_by_channel() -> None:
    grey = np.full((2, 1, 8, 8), 100, np.uint8)
    assert normalized(grey, 50.0, 25.0).tolist() == np.full((2, 1, 8, 8), 2).tolist()
    three = normalized(grey, (50, 100, 0), (25, 1, 50))
    assert three[1, :, 0, 0].tolist() == [2, 0, 2]
    assert three.dtype == np.float32


def plain_network(path: Path, kind: int = TensorProto.FLOAT) -> Path:
    """An ONNX classifier that is not ours: its logits are the means of the picture's halves."""
    nodes = [
        helper.make_node("Cast", ["x"], ["x_float"], to=TensorProto.FLOAT),
        helper.make_node("AveragePool", ["x_float"], ["halves"], kernel_shape=[48, 24], strides=[48, 24]),
        helper.make_node("Flatten", ["halves"], ["logits"]),
    ]
    values = [helper.make_tensor_value_info("x", kind, ["n", 1, 48, 48])]
    outputs = [helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["n", 2])]
    graph = helper.make_graph(nodes, "halves", values, outputs)
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9), path)
    return path


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--mean", "129"], "give their --std too"),
        (["--mean", "0.5", "--std", "65"], "are in different units"),
        (["--std", "1e-9"], "--std is 1e-09: expected"),
        (["--labels", "a,a"], "expected two or more different names"),
    ],
)
def test_fer_bench_refuses_what_fer_export_refuses(
    command: Run, tmp_path: Path, options: list[str], message: str
) -> None:
    done = command("fer-bench", plain_network(tmp_path / "net.onnx"), "--labels", "a,b", "--duration", "0.1", *options)
    assert done.returncode == 1, done.stdout
    assert message in done.stderr


def test_raw_pixels_are_not_normalized_in_silence(command: Run, tmp_path: Path) -> None:
    file = plain_network(tmp_path / "net.onnx", TensorProto.UINT8)
    done = command("fer-bench", file, "--labels", "a,b", "--duration", "0.1", "--mean", "0.5", "--std", "0.5")
    assert done.returncode == 1, done.stdout
    assert "takes uint8 pixels as they are: leave out --mean and --std" in done.stderr
