"""Plain ONNX classifiers in fer-bench: what their input and the options say, and what they are fed."""

import json
from pathlib import Path

import numpy as np
import onnx
import pytest
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from fer_benchmarks.classifiers import backends, specs
from fer_runtime.errors import FerError
from fer_runtime.model.normalization import ForeignOptions
from fer_runtime.records import from_plain


def channels_last_network(path: Path) -> NDArray[np.float32]:
    """A float classifier of rgb [1, 16, 16, 3], one face at a time, that gives logits; its weights [3, 2]."""
    weights = np.array([[1, -1], [0.5, 0], [0, 2]], np.float32)
    nodes = [
        helper.make_node("ReduceMean", ["x", "axes"], ["means"], keepdims=0),
        helper.make_node("MatMul", ["means", "w"], ["logits"]),
    ]
    graph = helper.make_graph(
        nodes, "means", [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 16, 16, 3])],
        [helper.make_tensor_value_info("logits", TensorProto.FLOAT, [1, 2])],
        [numpy_helper.from_array(weights, "w"), numpy_helper.from_array(np.array([1, 2]), "axes")],
    )  # fmt: skip
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9), path)
    return weights


def what_it_expects(spec: specs.ModelSpec) -> backends.Plain:
    """As its worker is told."""
    plain = from_plain(backends.Task, json.loads(spec.command[-2])).plain
    assert plain
    return plain


def test_a_foreign_file_gets_what_the_options_say(tmp_path: Path) -> None:
    weights = channels_last_network(tmp_path / "net.onnx")
    given = ForeignOptions(labels=("sad", "happy"), mean=(0.5, 0.4, 0.3), std=(0.25,))
    (spec,) = specs.of_files([tmp_path / "net.onnx"], given, [])
    assert (spec.size, spec.colour, spec.labels) == (16, "rgb", ("sad", "happy"))
    assert (spec.facts.macs, spec.facts.parameters) == (6, 6)
    predict = backends.of_plain(tmp_path / "net.onnx", 1, what_it_expects(spec))
    crops = np.random.RandomState(0).randint(0, 256, (5, 16, 16, 3)).astype(np.uint8)
    logits = ((crops[..., ::-1] / 255 - (0.5, 0.4, 0.3)) / 0.25).mean((1, 2)) @ weights
    expected = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    assert np.allclose(predict(crops), expected, atol=1e-5)
    pixels = ForeignOptions(labels=("sad", "happy"), mean=(127.5, 102, 76.5), std=(63.75,))
    (same,) = specs.of_files([tmp_path / "net.onnx"], pixels, [])
    again = backends.of_plain(tmp_path / "net.onnx", 1, what_it_expects(same))
    assert np.allclose(again(crops), expected, atol=1e-5)
    with pytest.raises(FerError, match="expected one, or one for each of 3 channels"):
        specs.of_files([tmp_path / "net.onnx"], ForeignOptions(labels=("sad", "happy"), mean=(0.5, 0.5)), [])


@pytest.mark.parametrize("mean", [(0.5,), (0.5, 0.4, 0.3)])
def test_grey_faces_go_into_all_three_channels(tmp_path: Path, mean: tuple[float, ...]) -> None:
    weights = channels_last_network(tmp_path / "net.onnx")
    options = ForeignOptions(labels=("sad", "happy"), colour="grey", mean=mean, std=(0.25,))
    (spec,) = specs.of_files([tmp_path / "net.onnx"], options, [])
    assert (spec.colour, spec.facts.macs, spec.notes) == ("grey", 6, ())
    crops = np.random.RandomState(0).randint(0, 256, (5, 16, 16)).astype(np.uint8)
    pixels = np.repeat(crops[..., None] / 255, 3, 3)
    logits = ((pixels - mean) / 0.25).mean((1, 2)) @ weights
    found = backends.of_plain(tmp_path / "net.onnx", 1, what_it_expects(spec))(crops)
    assert np.allclose(found, np.exp(logits) / np.exp(logits).sum(1, keepdims=True), atol=1e-5)
    (assumed,) = specs.of_files([tmp_path / "net.onnx"], ForeignOptions(labels=("sad", "happy")), [])
    assert "rgb is assumed" in assumed.notes[0]
